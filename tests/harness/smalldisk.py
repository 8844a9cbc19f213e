"""An agent on a small disk, which a test can fill."""

import json
import subprocess

from .agent import Agent
from .programs import AGENT, Program
from .wait import until

# A tmpfs of this size holds an agent's state, and little else.
_SIZE = "1m"

# … so many files, and hardly more.
_FILES = 250


class SmallDisk(Agent):
    """An agent whose state is on a file system of its own, which the test can fill."""

    def register(self, hub, activation, *options) -> str:
        """On the large disk; `start` moves it."""
        self.disk = self.state
        self.state = self.home / "registered"
        node = super().register(hub, activation, *options)
        self.state = self.disk
        self.disk.mkdir()
        return node

    def start(self) -> "SmallDisk":
        """`stint run` with its state on a small file system."""
        mount = f"mount -t tmpfs -o size={_SIZE},nr_inodes={_FILES} none {self.disk}"
        inside = f'{mount} && cp -a {self.home}/registered/. "$0" && exec "$@"'
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, self.disk]
        log = self.home / f"{self.name}.log"
        config = self.home / "agent.json"
        config.write_text(json.dumps({"healthIntervalMinutes": 1}))
        command += [AGENT, "run", "--state-dir", self.state, "--config", config]
        self.program = Program(command, log, self.surroundings())
        return self

    def inside(self, *words: object) -> subprocess.CompletedProcess:
        """Runs a command that sees the small file system."""
        enter = ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", self.program.pid]
        return subprocess.run([str(w) for w in [*enter, *words]], capture_output=True, text=True, timeout=60)

    def fill(self) -> None:
        """Takes the last free byte."""
        self.inside("dd", "if=/dev/zero", f"of={self.disk}/fill", "bs=4k")
        until("the disk is full", lambda: self.free() == 0)

    def fill_with_files(self) -> None:
        """Takes the last file that can be made; there is room for bytes."""
        folder = f"{self.disk}/fill.d"
        self.inside("sh", "-c", f"mkdir {folder}; n=0; while : >{folder}/$n; do n=$((n+1)); done")
        assert self.inside("stat", "-f", "-c", "%d", self.disk).stdout == "0\n" and self.free() > 0

    def free(self) -> int:
        """Free bytes."""
        return int(self.inside("stat", "-f", "-c", "%f", self.disk).stdout)

    def make_room(self) -> None:
        """Gives it all back."""
        self.inside("rm", f"{self.disk}/fill")
