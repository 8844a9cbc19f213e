"""A full disk: new commands are refused with the reason, and everything else goes on."""

import json
import subprocess

import pytest

from harness.agent import Agent
from harness.clients import finished, shell, wait_until_online
from harness.programs import AGENT, Program
from harness.wait import until

# A tmpfs of this size holds an agent's state, and little else.
_SIZE = "1m"


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
        mount = f"mount -t tmpfs -o size={_SIZE} none {self.disk}"
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

    def free(self) -> int:
        """Free bytes."""
        return int(self.inside("stat", "-f", "-c", "%f", self.disk).stdout)

    def make_room(self) -> None:
        """Gives it all back."""
        self.inside("rm", f"{self.disk}/fill")


@pytest.fixture
def device(home, hub, client, activate):
    """A registered, running agent on a small disk."""
    agent = SmallDisk(home, "device")
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)
    yield agent
    agent.clean_up()


def test_a_full_disk_refuses_commands_with_the_reason_until_it_has_room(client, device):
    device.fill()
    refused = finished(client, shell(client, [device.node], "echo hello"), device.node)
    assert refused["Status"] == "Failed"
    assert "disk is full" in refused["StandardErrorContent"]
    device.make_room()
    seen = finished(client, shell(client, [device.node], "echo again"), device.node)
    assert (seen["Status"], seen["StandardOutputContent"]) == ("Success", "again\n")


def test_a_running_command_is_cancelled_and_reported_with_a_full_disk(home, client, device):
    marker = home / "running"
    command = shell(client, [device.node], f"touch {marker}; sleep 600")
    until("it runs", marker.exists)
    device.fill()
    client.cancel_command(CommandId=command)
    assert finished(client, command, device.node)["Status"] == "Cancelled"


def test_a_running_command_ends_well_and_is_reported_with_a_full_disk(home, client, device):
    marker, go_on = home / "running", home / "go-on"
    script = f"touch {marker}; while [ ! -e {go_on} ]; do sleep 0.1; done; seq 2000"
    command = shell(client, [device.node], script)
    until("it runs", marker.exists)
    device.fill()
    go_on.touch()
    seen = finished(client, command, device.node)
    assert seen["Status"] == "Success"
    assert seen["StandardOutputContent"].endswith("2000\n")


def test_status_and_health_go_on_with_a_full_disk(hub, client, device):
    device.fill()
    before = client.describe_instance_information()["InstanceInformationList"][0]["LastPingDateTime"]
    hub.stop()

    def status() -> dict:
        return json.loads(device.inside(AGENT, "status", "--json", "--state-dir", device.state).stdout)

    until("status shows the back-off", lambda: status()["lastError"])
    hub.start()
    until("status shows it online", lambda: status()["online"], 150)

    def heard() -> bool:
        seen = client.describe_instance_information()["InstanceInformationList"][0]
        return seen["LastPingDateTime"] > before

    until("the hub hears it", heard, 150)
