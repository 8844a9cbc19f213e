"""Faults on purpose: what a debug build of the agent does when STINT_FAULTS is set (src/sys/faults.rs)."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

KILLS = ("kill-before", "kill-after")
ERRORS = ("ENOSPC", "EIO")
# For walks of minutes: every run of the tests has one kind, `make test-all` the others.
SAMPLED = (KILLS[0], *(pytest.param(kind, marks=pytest.mark.long) for kind in (KILLS[1], *ERRORS)))


@dataclass(frozen=True, order=True)
class Place:
    """One operation of the daemon (`run`) or of a worker: the n-th of that name in its process."""

    role: str
    name: str
    occurrence: int

    def can_suffer(self, kind: str) -> bool:
        """Operations on files suffer everything; the others are points where a process can die."""
        return "/" in self.name or kind == KILLS[0]


@dataclass(frozen=True, order=True)
class Fault:
    """What is to happen at a place."""

    place: Place
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.place.role}'s {self.place.name} ({self.place.occurrence})"


class Faults:
    """The folder by which one agent is told its fault and tells what it did."""

    def __init__(self, folder: Path, fault: Fault | None = None):
        self.folder = folder
        folder.mkdir()
        if fault:
            place = fault.place
            plan = f"{place.role} {fault.kind} {place.occurrence} {place.name}\n"
            (folder / "plan").write_text(plan)

    def environment(self) -> dict[str, str]:
        """What the agent must find in its environment."""
        return {"STINT_FAULTS": str(self.folder)}

    def struck(self) -> bool:
        """Whether the fault has happened."""
        return (self.folder / "struck").exists()

    def places(self) -> list[Place]:
        """The places that were reached. Only if no process died, or they are counted too high."""
        seen: Counter[tuple[str, str]] = Counter()
        places = []
        for line in (self.folder / "points").read_text().splitlines():
            role, _, name = line.partition(" ")
            seen[role, name] += 1
            places.append(Place(role, name, seen[role, name]))
        return places
