"""A hub and a device with a network and a disk of their own, all in namespaces that end with the run."""

import json
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

from harness.agent import Agent
from harness.clients import boto3_client
from harness.hub import Hub
from harness.programs import AGENT, Program, environment
from harness.wait import until

HUB_ADDRESS = "10.98.0.1"
DEVICE = "device"
LINK = "chaos0"
_DISK = "size=6m,nr_inodes=1500"

# So that a daemon that hangs is noticed within a round; the default is a minute.
DEADLINE = 5


def sh(*words: object) -> None:
    """Runs a command that has to work."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=30)


def inside(*words: object) -> list[str]:
    """A command as it is run in the device's network."""
    return ["ip", "netns", "exec", DEVICE, *(str(word) for word in words)]


class Device(Agent):
    """`stint run` below its guardian, as an init starts it once."""

    def command(self, *words: object, **more):
        """Runs one `stint` command in the device's network."""
        command = inside(AGENT, *words)
        env = environment(self.home)
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, stdin=-3)

    def start(self) -> "Device":
        """`stint run` in the device's network."""
        command = inside(AGENT, "run", "--state-dir", self.state, "--config", self.config)
        self.program = Program(command, self.home / f"{self.name}.log", self.surroundings())
        return self


class World:
    """Everything a fault can be done to."""

    def __init__(self, home: Path):
        self.home = home
        self.address = 2
        # Commands that were under way in a backup: what became of them was told to a hub that is gone.
        self.doubtful: set[str] = set()
        self._make_network()
        self.hub = Hub(home, ["--insecure-http"])
        self.hub.listen = f"{HUB_ADDRESS}:0"
        self.hub.start()
        self.client = boto3_client(self.hub)
        self.device = Device(home, "device")
        self.device.guarded = True
        self.device.config = home / "agent.json"
        guardian = {"enabled": True, "deadlineSeconds": DEADLINE}
        settings = {"allowPlainHttp": True, "healthIntervalMinutes": 1, "guardian": guardian}
        self.device.config.write_text(json.dumps(settings))
        self.device.state.mkdir()
        sh("mount", "-t", "tmpfs", "-o", _DISK, "none", self.device.state)
        activation = self.client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
        self.node = self.device.register(self.hub, activation)
        self.device.start()

    def _make_network(self) -> None:
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "netns", "add", DEVICE)
        sh("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", DEVICE)
        sh("ip", "addr", "add", f"{HUB_ADDRESS}/24", "dev", LINK)
        sh("ip", "link", "set", LINK, "up")
        sh(*inside("ip", "link", "set", "lo", "up"))
        sh(*inside("ip", "addr", "add", f"10.98.0.{self.address}/24", "dev", "eth0"))
        sh(*inside("ip", "link", "set", "eth0", "up"))

    def moved(self) -> None:
        """The device has another address."""
        old, self.address = self.address, 2 + self.address % 200
        sh(*inside("ip", "addr", "del", f"10.98.0.{old}/24", "dev", "eth0"))
        sh(*inside("ip", "addr", "add", f"10.98.0.{self.address}/24", "dev", "eth0"))

    # --- processes: none is signalled that this run hasn't started ---------------------------------

    def guardian(self) -> int:
        """The process that init started."""
        return self.device.program.pid

    def daemon(self) -> int | None:
        """Its daemon, if there is one."""
        found = [p.pid for p in self.device.daemons() if p.pid != self.guardian()]
        return found[0] if found else None

    def init(self) -> None:
        """Starts the agent again, as the init of a device does."""
        if not self.device.program.alive():
            self.device.start()

    # --- the hub ----------------------------------------------------------------------------------

    def back_up(self) -> Path:
        """A copy of the hub's data, made as docs/OPERATIONS.md says, while it runs."""
        copy = self.home / "backup.db"
        copy.unlink(missing_ok=True)
        with (
            sqlite3.connect(self.hub.data / "hub.db", timeout=20) as store,
            sqlite3.connect(copy) as target,
        ):
            store.backup(target)
            under_way = "SELECT command_id FROM invocation WHERE status IN ('Pending', 'InProgress')"
            self.doubtful |= {row[0] for row in target.execute(under_way)}
        return copy

    def restore(self, copy: Path) -> None:
        """Puts the copy in the place of the data of a hub that is down."""
        for name in ["hub.db", "hub.db-wal", "hub.db-shm"]:
            (self.hub.data / name).unlink(missing_ok=True)
        shutil.copy(copy, self.hub.data / "hub.db")

    def three_days_later(self, command: str) -> None:
        """Makes the hub believe that it has waited for a command as long as it waits for any."""
        days = 4 * 24 * 3600 * 1000
        sql = "UPDATE invocation SET acknowledged_at = acknowledged_at - ? WHERE command_id = ?"
        self.hub.pretend(sql, days, command)

    # --- what has to hold -------------------------------------------------------------------------

    def until_online(self, since: float, patience: float) -> float:
        """Waits until the hub lists the node as Online, has heard it since then, and has got it to run a
        command sent since then; how long that took, seconds."""
        began = time.monotonic()
        sent: list[str] = []

        def send() -> None:
            answer = self.client.send_command(
                DocumentName="AWS-RunShellScript",
                InstanceIds=[self.node],
                Parameters={"commands": ["true"]},
                TimeoutSeconds=600,
            )
            sent.append(answer["Command"]["CommandId"])

        def probe() -> bool:
            self.init()
            filters = [{"Key": "InstanceIds", "Values": [self.node]}]
            found = self.client.describe_instance_information(Filters=filters)["InstanceInformationList"]
            if [n["PingStatus"] for n in found] != ["Online"]:
                return False
            if not sent:
                send()
            answer = self.client.get_command_invocation(CommandId=sent[0], InstanceId=self.node)
            return answer["Status"] == "Success"

        until("the node is Online and runs what it is sent", probe, patience)
        return time.monotonic() - began

    def end(self) -> None:
        """Ends what was started."""
        self.device.clean_up()
        if self.hub.program and self.hub.program.alive():
            self.hub.kill()
