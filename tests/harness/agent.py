"""An agent of the test's own: a state directory, and the commands a person would type."""

import json
import os
import signal
from pathlib import Path
from subprocess import CompletedProcess

from . import processes
from .hub import Hub
from .programs import AGENT, Program, environment, run


class Agent:
    """`stint` with a state directory of its own."""

    def __init__(self, home: Path, name: str = "agent"):
        self.home = home
        self.name = name
        self.state = home / name
        self.config: Path | None = None
        self.program: Program | None = None
        self.node = ""
        # What `stint run` finds in its environment besides the usual.
        self.environment: dict[str, str] = {}
        # Most tests that kill the agent decide themselves when there is another.
        self.guarded = False

    def configure(self, **members: object) -> "Agent":
        """Writes its configuration."""
        self.config = self.home / f"{self.name}.json"
        self.config.write_text(json.dumps(members))
        return self

    def command(self, *words: object, binary: Path = AGENT, stdin: str = "", **more: str) -> CompletedProcess:
        """Runs one `stint` command to its end."""
        return run([binary, *words], self.home, stdin=stdin, **more)

    def try_to_register(self, hub: Hub, activation: dict, *options: object) -> CompletedProcess:
        """`stint register`, whatever comes of it."""
        config = ["--config", self.config] if self.config else []
        words = ["register", "--endpoint", hub.endpoint, "--region", hub.region]
        words += ["--activation-id", activation["ActivationId"]]
        words += ["--activation-code", activation["ActivationCode"]]
        return self.command(*words, "--state-dir", self.state, *config, *options, **self.environment)

    def register(self, hub: Hub, activation: dict, *options: object) -> str:
        """Registers and returns the node id."""
        done = self.try_to_register(hub, activation, *options)
        assert done.returncode == 0, f"stint register failed: {done.stderr}"
        self.node = done.stdout.splitlines()[-1]
        return self.node

    def start(self) -> "Agent":
        """`stint run` in the background."""
        config = ["--config", self.config] if self.config else []
        log = self.home / f"{self.name}.log"
        command = [AGENT, "run", "--state-dir", self.state, *config]
        self.program = Program(command, log, self.surroundings())
        return self

    def surroundings(self) -> dict[str, str]:
        """The environment of `stint run`."""
        more = {} if self.guarded else {"STINT_RESPAWNED": "yes"}
        return environment(self.home, **more, **self.environment)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.program.stop()

    def kill(self) -> None:
        """kill -9 of the agent itself. Workers live on, as they should."""
        self.program.kill()
        # A guardian, where there is one, has a daemon below it that must go too.
        for process in self.daemons():
            _kill(process.pid)

    def daemons(self) -> list[processes.Process]:
        """The processes of `stint run` on this state directory."""
        return [p for p in processes.mentioning(str(self.state)) if "run" in p.argv[1:2]]

    def daemon(self) -> int:
        """The process id of the daemon itself, below a guardian if there is one."""
        _, seen = self.status()
        return seen["pid"]

    def workers(self) -> list[processes.Process]:
        """The worker processes of this agent."""
        return [p for p in processes.mentioning(f"{self.state}/") if "worker" in p.argv[1:2]]

    def kill_a_worker(self) -> bool:
        """kill -9 of one worker; false if none runs."""
        return any(_kill(process.pid) for process in self.workers()[:1])

    def status(self) -> tuple[int, dict]:
        """`stint status --json`: the exit code and what it says."""
        return self.command_json("status", "--json")

    def command_json(self, *words: object) -> tuple[int, dict]:
        """A command of this agent that prints JSON: its exit code and what it says."""
        done = self.command(*words, "--state-dir", self.state)
        return done.returncode, json.loads(done.stdout)

    def logs(self) -> str:
        """What `stint run` has logged."""
        return (self.home / f"{self.name}.log").read_text(errors="replace")

    def clean_up(self) -> None:
        """Ends everything that names this state directory: the daemon, then workers and scripts."""
        if self.program and self.program.alive():
            self.program.kill()
        for process in processes.mentioning(f"{self.state}"):
            if process.pid != os.getpid():
                _kill(process.pid)


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
