"""What processes cost in memory, watched while they work."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.lookout import Lookout

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


class Watch(Lookout):
    """Looks as long as the `with` block lasts, and remembers the most it has seen."""

    def __init__(self, daemons: Callable[[], list[int]], workers: Callable[[], list[int]]):
        super().__init__(_PAUSE)
        self.daemons, self.workers = daemons, workers
        self.daemon = self.worker = self.together = Use()

    def look(self) -> None:
        """One round."""
        daemon, worker = use(self.daemons()), use(self.workers())
        self.daemon = self.daemon.most(daemon)
        self.worker = self.worker.most(worker)
        # A worker that comes or goes meanwhile shares the daemon's pages in one reading and not in the other;
        # the smaller one is of the time when it was there.
        again = use(self.daemons())
        self.together = self.together.most(min(daemon, again, key=lambda seen: seen.pss) + worker)
