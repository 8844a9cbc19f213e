"""Waiting for something to become true, with a deadline and a reason."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

# Long enough for a loaded two-core machine, short enough that a hang is noticed.
PATIENCE = 45.0
_PAUSE_MIN = 0.02
_PAUSE_MAX = 0.4

T = TypeVar("T")


def until(what: str, probe: Callable[[], T], patience: float = PATIENCE) -> T:
    """Calls `probe` until it returns something true and returns that.

    The pauses grow, so that quick things are noticed quickly and slow ones cost little. When the
    time is up, the error tells what was waited for and what was seen last.
    """
    deadline = time.monotonic() + patience
    pause = _PAUSE_MIN
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s until {what}; last seen: {seen!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, _PAUSE_MAX)


def said(file: Path) -> str:
    """What a program has written into a file, which is there and empty before its first word."""
    return until(f"{file.name} has a word", lambda: file.exists() and file.read_text())
