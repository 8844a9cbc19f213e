"""Finding processes by what their command line says, as `ps` would."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One running process: its id and its command line."""

    pid: int
    argv: tuple[str, ...]


def mentioning(text: str) -> list[Process]:
    """The processes whose command line contains `text`; zombies have none and are not listed."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
        except OSError:
            continue  # It ended while we looked.
        argv = tuple(word.decode(errors="replace") for word in words)
        if any(text in word for word in argv):
            found.append(Process(int(entry.name), argv))
    return found
