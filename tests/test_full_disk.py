"""A full disk: new commands are refused with the reason, and everything else goes on."""

import json

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.mgs.ways import ThroughHub
from harness.programs import AGENT
from harness.smalldisk import SmallDisk
from harness.wait import until


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


def test_a_shell_opens_with_a_full_disk_and_repairs_it_though_there_is_no_transcript(hub, client, device):
    ThroughHub.prefer(client, hubTranscriptEnabled=True)
    until(
        "it has a channel", lambda: client.get_connection_status(Target=device.node)["Status"] == "connected"
    )
    device.fill()
    shell = ThroughHub(client, device).shell()
    shell.type_in(f"rm {device.disk}/fill && echo re''paired\n")
    shell.until("repaired")
    shell.type_in("exit\n")
    assert shell.ended() == ""
    assert device.free() > 0
    (line,) = hub.session("list").splitlines()
    assert line.split("\t")[-1] == "wanted", "none was begun"
