"""What a process costs, read from /proc: memory, threads, context switches, processor time."""

import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """Bytes. PSS counts a page shared by n processes as 1/n; anonymous pages are the process's own
    and can't be dropped under pressure, unlike those of the program file."""

    pss: int
    anonymous: int


def memory(pids: list[int]) -> Memory:
    """The sum over some processes."""
    pss = anonymous = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        pss += _kilobytes(text, "Pss")
        anonymous += _kilobytes(text, "Anonymous")
    return Memory(pss, anonymous)


def _kilobytes(text: str, name: str) -> int:
    return int(re.search(rf"^{name}: +(\d+) kB", text, re.MULTILINE)[1]) * 1024


def threads(pids: list[int]) -> int:
    """How many threads some processes have together."""
    return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)


@dataclass(frozen=True)
class Activity:
    """What has been done so far: context switches of both kinds, and seconds of processor time."""

    switches: int
    cpu: float

    def __sub__(self, earlier: "Activity") -> "Activity":
        return Activity(self.switches - earlier.switches, self.cpu - earlier.cpu)


def of_living(pids: list[int]) -> Activity:
    """Of the threads that live now, since they began."""
    switches = ticks = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            text = (task / "status").read_text()
            switches += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", text))
        # After the command's name, which may hold anything, utime and stime are fields 12 and 13.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return Activity(switches, ticks / _TICKS)


class Waits:
    """Counts how often threads go to sleep, from its making on: each voluntary switch is a wake-up before it.
    Looked at often, it sees threads that come and go, too; what one does after the last look is missed."""

    def __init__(self, pids: list[int]):
        self._pids = pids
        self._before = self._now()
        self._last = dict(self._before)

    def _now(self) -> dict[tuple[int, int, str], int]:
        found = {}
        for pid in self._pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    text = (task / "status").read_text()
                except OSError:
                    continue  # It ended while we looked.
                switches = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)
                name = text.partition("\n")[0].removeprefix("Name:").strip()
                found[pid, int(task.name), name] = int(switches[1])
        return found

    def look(self) -> None:
        """Looks at all threads."""
        self._last |= self._now()

    def _since(self, thread: tuple[int, int, str]) -> int:
        return self._last[thread] - self._before.get(thread, 0)

    @property
    def all(self) -> int:
        """Of all threads."""
        return sum(map(self._since, self._last))

    def of(self, name: str) -> int:
        """Of the threads of this name alone."""
        return sum(self._since(thread) for thread in self._last if thread[2] == name)


def of_children_that_ended() -> Activity:
    """Of all children that have been waited for, with all of their threads, ended ones too."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Activity(usage.ru_nvcsw + usage.ru_nivcsw, usage.ru_utime + usage.ru_stime)
