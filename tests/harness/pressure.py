"""A group of processes that share so much memory and no more, and how it is filled."""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from .wait import until

# Holds memory until the group of all has so much, says so, and keeps it.
_HOLD = """
import sys
held = []
while int(open(sys.argv[1]).read()) < int(sys.argv[2]):
    held.append(b'x' * 65536)
print(len(held), flush=True)
sys.stdin.read()
"""


def _mounted() -> tuple[Path, bool]:
    """Where groups limit memory, and whether that is version 2; skips where they can't."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ")
        point, (kind, _, options) = Path(before.split()[4]), after.split()
        if not os.access(point, os.W_OK):
            continue
        if kind == "cgroup" and "memory" in options.split(","):
            return point, False
        if kind == "cgroup2" and "memory" in (point / "cgroup.subtree_control").read_text().split():
            return point, True
    pytest.skip("this machine lets nobody limit memory by control groups")


class Group:
    """A control group with so many bytes of memory, and no swap."""

    def __init__(self, limit: int):
        point, self._unified = _mounted()
        self.limit, self._held = limit, []
        self.folder = point / f"stint-test-{uuid.uuid4().hex[:12]}"
        try:
            self.folder.mkdir()
            if self._unified:
                self._write("memory.max", limit)
                self._write("memory.swap.max", 0)
            else:
                self._write("memory.limit_in_bytes", limit)
                self._write("memory.swappiness", 0)
        except OSError as error:
            self.close()
            pytest.skip(f"this machine lets nobody limit memory: {error}")

    def _write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(str(value))

    def inside(self, *command: object, score: int = 0) -> list[str]:
        """The command, for a process that enters the group first, and takes this score for the OOM killer
        where it may."""
        enter = f"echo $$ >{self.folder}/cgroup.procs; echo {score} >/proc/self/oom_score_adj"
        return ["sh", "-c", f'{enter}; exec "$@"', "sh", *map(str, command)]

    def pids(self) -> list[int]:
        """Who is in it."""
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def kills(self) -> int:
        """How many processes the kernel has killed there."""
        file = "memory.events" if self._unified else "memory.oom_control"
        words = dict(line.split() for line in (self.folder / file).read_text().splitlines())
        return int(words["oom_kill"])

    def fill(self, left: int) -> None:
        """Takes all of its memory but so many bytes, by three programs of the same size about."""
        file = self.folder / ("memory.current" if self._unified else "memory.usage_in_bytes")
        used = int(file.read_text())
        for part in (1, 2, 3):
            goal = used + (self.limit - left - used) * part // 3
            hold = self.inside(sys.executable, "-c", _HOLD, file, goal)
            pipe = subprocess.PIPE
            self._held.append(subprocess.Popen(hold, stdin=pipe, stdout=pipe))
            # Nothing comes if it is killed before it has all.
            assert int(self._held[-1].stdout.readline() or 0) > 0, "there was memory for it"

    def close(self) -> None:
        """Ends whoever is in it, and takes it away."""
        if not self.folder.exists():
            return

        def gone() -> bool:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for piece in self._held:
                piece.poll()
            with contextlib.suppress(OSError):
                self.folder.rmdir()
            return not self.folder.exists()

        until("the group is gone", gone)
        for piece in self._held:
            piece.communicate()
