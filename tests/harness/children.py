"""Child agents of one `stint`: their definitions, what they have done, what is said of them."""

import contextlib
import json
import os
import signal
import uuid
from pathlib import Path

from .agent import Agent
from .wait import until

# The founding page's rule, 60 times faster.
ACCELERATED = {"checkSeconds": 1, "cooldownSeconds": 3, "windowSeconds": 15, "retries": 3}


class Children:
    """The children of an agent that is configured here and not started yet."""

    def __init__(self, agent: Agent, **supervise: object):
        self.agent = agent
        self.definitions = agent.home / "children.d"
        self.definitions.mkdir(exist_ok=True)
        self.marks = agent.home / "marks"
        self.marks.mkdir(exist_ok=True)
        # For what their scripts have to say.
        self.notes = agent.home / "notes"
        self.notes.mkdir(exist_ok=True)
        # Groups are the machine's: no test must meet another's.
        self.cgroup = f"stint-test-{uuid.uuid4().hex[:12]}"
        config = {
            "childrenDir": str(self.definitions),
            "allowPlainHttp": True,
            "supervise": {**ACCELERATED, "cgroup": self.cgroup, **supervise},
        }
        agent.config = agent.home / f"{agent.name}.json"
        agent.config.write_text(json.dumps(config))

    def define(self, name: str, script: str, file: str = "", **more: object) -> None:
        """Defines a child that runs a shell script, and notes its process id in a file first."""
        # The state folder's name is in its command line, so that the agent's clean-up finds it.
        noting = f": {self.agent.state}; echo $$ >>{self.marks}/{name}; {script}"
        definition = {"name": name, "exec": "/bin/sh", "args": ["-c", noting], "autostart": True, **more}
        self.write(file or f"{name}.json", json.dumps(definition))

    def write(self, file: str, text: str) -> None:
        """Writes a definition file as it is."""
        (self.definitions / file).write_text(text)

    def job(self, action: str, name: str = "", **inputs: object) -> tuple[int, str]:
        """Has the agent do a job, by a document step; the step's code and what it says."""
        if self.agent.program and self.agent.program.alive():
            until("the agent listens", self.is_heard)
        step = {"action": "stint:configureAgent", "name": "job"}
        step["inputs"] = {"action": action, "name": name, **inputs}
        file = self.agent.home / f"job-{uuid.uuid4().hex}.json"
        file.write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [step]}))
        words = ["run-document", file, "--json", "--config", self.agent.config]
        _, said = self.agent.command_json(*words)
        ended = said["steps"][0]
        return ended["code"], (ended["stdout"] or ended["stderr"]).strip()

    def is_heard(self) -> bool:
        """Whether somebody listens to the inbox's bell."""
        try:
            os.close(os.open(self.agent.state / "supervise" / "inbox" / "bell", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def pids(self, name: str) -> list[int]:
        """The processes that have been started, oldest first."""
        file = self.marks / name
        return [int(word) for word in file.read_text().split()] if file.exists() else []

    def folder(self, name: str) -> Path:
        """Its folder in the state."""
        return self.agent.state / "children" / name

    def living(self, name: str) -> list[int]:
        """Those of them that live. A number that somebody else has by now isn't among them."""
        ours = carrying(f"HOME={self.agent.home}")
        return [pid for pid in self.pids(name) if pid in ours]

    def started(self, name: str, times: int = 1) -> int:
        """Waits for the n-th start; its process."""
        return until(f"{name} has been started {times} times", lambda: self.pids(name)[times - 1 :])[0]

    def record(self, name: str) -> dict:
        """What the agent has noted of it."""
        try:
            return json.loads((self.folder(name) / "record.json").read_text())
        except (OSError, ValueError):
            return {}

    def of_status(self) -> dict[str, dict]:
        """What `stint status` says, by name."""
        _, said = self.agent.command_json("status", "--json", "--config", self.agent.config)
        return {child["name"]: child for child in said["children"]}

    def status(self, name: str) -> str:
        """Its state as `stint status` says it; empty if it isn't there."""
        return self.of_status().get(name, {}).get("status", "")

    def clean_up(self) -> None:
        """Ends the agent, its children, and their control groups."""
        self.agent.clean_up()
        # By their environment and not by the numbers noted: those may be others' by now.
        for pid in carrying(f"HOME={self.agent.home}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        hierarchies = [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*/")]
        for ours in [hierarchy / self.cgroup for hierarchy in hierarchies]:
            for folder in [*ours.glob("*/"), ours]:
                with contextlib.suppress(OSError, TimeoutError):
                    for pid in (folder / "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                    until(f"{folder} is removed", lambda folder=folder: _removed(folder), 5)

    def wait_for(self, name: str, status: str, patience: float = 60) -> dict:
        """Waits until it has this state; what is said of it then."""

        def probe() -> dict | None:
            child = self.of_status().get(name, {})
            return child if child.get("status") == status else None

        return until(f"{name} is {status}", probe, patience)

    def events(self, name: str = "") -> list[dict]:
        """The events that wait for a server, oldest first."""
        folder = self.agent.state / "supervise" / "events"
        events = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
        return [event for event in events if not name or event.get("subject") == name]

    def categories(self, name: str) -> list[str]:
        """What kinds of events there were."""
        return [event["category"] for event in self.events(name)]


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return ") Z " not in stat


def carrying(mark: str) -> list[int]:
    """The processes that have this in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in environment.split(b"\0") and alive(int(entry.name)):
                found.append(int(entry.name))
    return found
