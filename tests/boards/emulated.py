"""An agent of another processor, run by qemu-user as if it were this machine's.

The kernel is told by binfmt_misc which emulator runs which program. Since Linux 6.7 a user namespace
has a binfmt_misc of its own, so the machine's stays as it is. It must be the kernel that picks the
emulator: a worker is started as /proc/self/exe, which otherwise would be the emulator itself.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.agent import Agent
from harness.programs import Program, run

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("STINT_TARGET") or os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")

_RULES = Path("/usr/lib/binfmt.d")
_MOUNT = "/proc/sys/fs/binfmt_misc"


@dataclass(frozen=True)
class Emulator:
    """How one target's programs are run: the emulator's name, and the processor it shall be."""

    target: str
    name: str | None  # None: this machine runs it as it is.
    cpu: str | None = None

    @property
    def binary(self) -> Path:
        """The target's agent, as `make build TARGET=…` leaves it."""
        return OUT / "cross" / self.target / "release" / "stint"

    def command(self, *words: object) -> list[object]:
        """The command line that runs `words` where the kernel knows the emulator."""
        if self.name is None:
            return list(words)
        rule = _RULES / f"qemu-{self.name}.conf"
        script = f'mount -t binfmt_misc none {_MOUNT} && cat "$0" >{_MOUNT}/register && exec "$@"'
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, rule, *words]

    def environment(self) -> dict[str, str]:
        """What the emulator reads from the environment."""
        return {"QEMU_CPU": self.cpu} if self.cpu else {}

    def missing(self) -> str | None:
        """Why this target's agent can't be run here; None if it can."""
        if not self.binary.exists():
            return f"not built: make build TARGET={self.target}"
        if self.name is None:
            return None
        if not (_RULES / f"qemu-{self.name}.conf").exists():
            return "qemu-user-static is not installed: make toolchain"
        done = subprocess.run([str(w) for w in self.command("true")], capture_output=True, text=True)
        if done.returncode != 0:
            return f"no binfmt_misc in a user namespace (Linux 6.7 has it): {done.stderr.strip()}"
        return None


class EmulatedAgent(Agent):
    """`stint` of another processor, with a state directory of its own."""

    def __init__(self, home: Path, emulator: Emulator):
        super().__init__(home, emulator.target)
        self.emulator = emulator

    def command(self, *words: object, stdin: str = "", **more: str) -> subprocess.CompletedProcess:
        """Runs one `stint` command to its end."""
        command = self.emulator.command(self.emulator.binary, *words)
        return run(command, self.home, stdin, 240, **self.emulator.environment(), **more)

    def start(self) -> "EmulatedAgent":
        """`stint run` in the background."""
        command = self.emulator.command(self.emulator.binary, "run", "--state-dir", self.state)
        log = self.home / f"{self.name}.log"
        env = {**self.surroundings(), **self.emulator.environment()}
        self.program = Program(command, log, env)
        return self
