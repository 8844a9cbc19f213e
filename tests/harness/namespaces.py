"""Agents in a mount namespace of their own: the machine as they are to see it, and nobody else."""

import subprocess

from .agent import Agent
from .programs import AGENT, Program, environment


def may_mount() -> bool:
    """Whether this process may make mount namespaces."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


class Mounted(Agent):
    """`stint run` after a command of the shell has mounted something."""

    def mount(self) -> str:
        """What is to be mounted, as a command of the shell."""
        raise NotImplementedError

    def start(self) -> "Mounted":
        """`stint run` in the background."""
        command = ["unshare", "--mount", "sh", "-c", f'{self.mount()} && exec "$@"', "sh", AGENT, "run"]
        command += ["--state-dir", self.state, "--config", self.config]
        log = self.home / f"{self.name}.log"
        self.program = Program(command, log, environment(self.home, **self.environment))
        return self


class WithoutGroups(Mounted):
    """`stint run` where there are no control groups."""

    def mount(self) -> str:
        """An empty folder in their place."""
        return "mount -t tmpfs none /sys/fs/cgroup"
