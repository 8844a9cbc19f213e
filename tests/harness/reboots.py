"""An agent on a device that "reboots": its mount namespace shows it a boot id of the test's own."""

import json
from pathlib import Path

from .agent import Agent
from .programs import AGENT, Program

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class RebootingAgent(Agent):
    """`stint` whose reboot command leaves a mark instead of ending the test's machine."""

    def __init__(self, home: Path, name: str, command: list[str] | None = None):
        super().__init__(home, name)
        self._boot = home / f"{name}.boot"
        self._boots = 0
        self._wishes = home / f"{name}.wishes"
        self._wishes.write_text("")
        script = home / f"{name}.reboot"
        script.write_text(f"#!/bin/sh\necho reboot >>{self._wishes}\n")
        script.chmod(0o755)
        self.config = home / f"{name}.json"
        self.config.write_text(json.dumps({"rebootCommand": command or [str(script)]}))

    def start(self) -> "RebootingAgent":
        """`stint run` in the boot that the device is in."""
        self._boot.write_text(f"boot-{self._boots}\n")
        script = f'mount --bind "$0" {_BOOT_ID} && exec "$@"'
        inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, self._boot]
        command = [AGENT, "run", "--state-dir", self.state, "--config", self.config]
        log = self.home / f"{self.name}.log"
        self.program = Program([*inside, *command], log, self.surroundings())
        return self

    def wishes(self) -> int:
        """How often the agent has called its reboot command."""
        return len(self._wishes.read_text().splitlines())

    def reboot(self) -> None:
        """What a reboot is to the agent: it ends, and starts in another boot."""
        self.kill()
        self._boots += 1
        self.start()
