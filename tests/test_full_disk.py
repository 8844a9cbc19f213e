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


@pytest.fixture
def way(hub, client, device):
    """Sessions with it, whose transcripts the hub wants."""
    ThroughHub.prefer(client, hubTranscriptEnabled=True)
    until(
        "it has a channel", lambda: client.get_connection_status(Target=device.node)["Status"] == "connected"
    )
    return ThroughHub(client, device)


def test_a_shell_opens_with_a_full_disk_and_repairs_it_though_there_is_no_transcript(hub, device, way):
    device.fill()
    shell = way.shell()
    shell.type_in(f"rm {device.disk}/fill && echo re''paired\n")
    shell.until("repaired")
    shell.type_in("exit\n")
    assert shell.ended() == ""
    assert device.free() > 0
    (line,) = hub.session("list").splitlines()
    assert line.split("\t")[-1] == "wanted", "none was begun"


def test_a_shell_opens_where_no_file_can_be_made_any_more_and_repairs_it(hub, device, way):
    device.fill_with_files()
    shell = way.shell()
    shell.type_in(f"rm -r {device.disk}/fill.d && echo re''paired\n")
    shell.until("repaired")
    shell.type_in("exit\n")
    assert shell.ended() == ""
    (line,) = hub.session("list").splitlines()
    assert line.split("\t")[-1] == "wanted", "none was begun"
    # The next has a folder again, and a transcript.
    whole = way.interactive("echo whole")
    assert whole.ended() == ""
    assert _transcript(hub, whole) == "whole\n"


def test_a_session_goes_on_when_the_disk_is_full_and_its_transcript_ends_there(hub, device, way):
    session = way.interactive("stty -echo; seq 1 2000; read none; seq 2001 6000; read none")
    session.until("\r\n2000\r\n")
    device.fill()
    session.type_in("\n")
    session.until("\r\n6000\r\n")
    device.make_room()
    session.type_in("\n")
    assert session.ended() == ""
    sent = _transcript(hub, session)
    numbers = "".join(f"{n}\n" for n in range(1, 6001))
    # What fits into the file's last page was written; then nothing more, lest there be a gap.
    assert numbers.startswith(sent) and numbers.index("2001\n") <= len(sent) < numbers.index("4000\n")


def _transcript(hub, session) -> str:
    """A session's transcript, as soon as the hub has all that is to come."""

    def has_come() -> bool:
        lines = [line.split("\t") for line in hub.session("list").splitlines()]
        return any(line[0] == session.session and line[-1].isdigit() for line in lines)

    until("its transcript has come", has_come)
    return hub.session("transcript", session.session)
