"""What processes cost in memory, watched while they work."""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PAUSE = 0.05
_LINE = re.compile(r"^(Pss|Anonymous): +(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Use:
    """Bytes. PSS counts a page shared by n processes as 1/n; anonymous pages are a process's own."""

    pss: int = 0
    anonymous: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(self.pss + other.pss, self.anonymous + other.anonymous)

    def most(self, other: "Use") -> "Use":
        """The larger of each."""
        return Use(max(self.pss, other.pss), max(self.anonymous, other.anonymous))


def use(pids: list[int]) -> Use:
    """What some processes use together; one that is gone uses nothing."""
    total = Use()
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kilobytes = {name: int(value) for name, value in _LINE.findall(text)}
        total += Use(kilobytes.get("Pss", 0) * 1024, kilobytes.get("Anonymous", 0) * 1024)
    return total


class Watch:
    """Looks again and again, as long as the `with` block lasts, and remembers the most it has seen."""

    def __init__(self, daemons: Callable[[], list[int]], workers: Callable[[], list[int]]):
        self.daemons, self.workers = daemons, workers
        self.daemon = self.worker = self.together = Use()
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            daemon, worker = use(self.daemons()), use(self.workers())
            self.daemon = self.daemon.most(daemon)
            self.worker = self.worker.most(worker)
            self.together = self.together.most(daemon + worker)
            self.looks += 1
            time.sleep(_PAUSE)
