"""Where the two programs are, and how one of them is started, watched and ended."""

import os
import signal
import subprocess
import threading
from pathlib import Path

from .wait import until

_ROOT = Path(__file__).resolve().parents[2]
_TARGET = Path(os.environ.get("STINT_TARGET") or os.environ.get("CARGO_TARGET_DIR") or _ROOT / "target")

# The debug build is what `cargo test` has just built; the environment names another one.
AGENT = Path(os.environ.get("STINT_AGENT", _TARGET / "debug" / "stint"))
# Release builds are small, and can't be made to fail on purpose.
IS_RELEASE = AGENT.resolve().parent.name != "debug"
HUB = Path(os.environ.get("STINT_HUB", _TARGET / "debug" / "stint-hub"))
AWS = _TARGET / "venv" / "bin" / "aws"


def environment(home: Path, **more: str) -> dict[str, str]:
    """A small environment of our own: nothing of the user's AWS set-up leaks into a test."""
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "RUST_BACKTRACE": "1",
        **more,
    }


def run(command: list[object], home: Path, stdin: str = "", patience: float = 60, **more: str):
    """Runs a program to its end. Its standard input is what is given, then closed."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=home,
        env=environment(home, **more),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=patience,
    )


class Program:
    """A program that runs in the background, its standard error kept in a file.

    It leads a process group of its own, so that a signal to the test runner does not reach it by
    accident.
    """

    def __init__(self, command: list[object], log: Path, env: dict[str, str]):
        self.command = [str(word) for word in command]
        self.log = log
        self._stderr = log.open("ab")
        self.process = subprocess.Popen(
            self.command,
            cwd=self.log.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Has it not ended yet?"""
        return self.process.poll() is None

    def first_line(self, patience: float = 60) -> str:
        """The first line it prints to standard output."""

        def seen() -> str | None:
            if self.lines:
                return self.lines[0]
            if not self.alive():
                raise RuntimeError(f"{self.command[0]} ended with {self.process.returncode}:\n{self.logs()}")
            return None

        return until(f"{self.command[0]} prints its first line", seen, patience)

    def logs(self) -> str:
        """What it has written to standard error so far."""
        return self.log.read_text(errors="replace")

    def stop(self, patience: float = 20) -> int:
        """SIGTERM, then waits. Returns the exit code; kills what does not go, and says so."""
        if self.alive():
            self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise AssertionError(
                f"{self.command[0]} did not end within {patience} s of SIGTERM:\n{self.logs()}"
            ) from late
        finally:
            self._close()
        return self.process.returncode

    def kill(self) -> None:
        """kill -9, as the machine's out-of-memory killer would."""
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        self._close()

    def _close(self) -> None:
        # A child that outlives the program, as a worker does, may hold the pipe; don't wait for it.
        self._reader.join(0.2)
        self._stderr.close()
