"""Event scripts: a controller tells a device its period and asks whether it is ready."""

import json

import pytest

from harness.clients import finished, wait_until_online
from harness.wait import until


class Scripts:
    """The folder of event scripts of an agent."""

    def __init__(self, home, agent):
        self.folder = home / "events"
        self.folder.mkdir()
        self.ran = home / "ran"
        agent.config = home / "agent.json"
        # The second folder isn't there, as on most devices.
        events = {"folders": [str(self.folder), str(home / "none")], "scriptSeconds": 2, "retrySeconds": 1}
        agent.config.write_text(json.dumps({"events": events, "allowPlainHttp": True}))

    def put(self, event: str, text: str) -> None:
        """A script for an event, which notes that it ran."""
        path = self.folder / event
        path.write_text(f"#!/bin/sh\necho {event} $1 >>{self.ran}\n{text}\n")
        path.chmod(0o755)

    def runs(self) -> list[str]:
        """What ran, with its argument."""
        return self.ran.read_text().splitlines() if self.ran.exists() else []


@pytest.fixture
def device(hub, client, activate, new_agent, home):
    """An agent that is Online, with a folder for scripts."""
    agent = new_agent()
    agent.scripts = Scripts(home, agent)
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)
    return agent


def tell(client, node: str, event: str, **more: str) -> dict:
    """Stint-Event, to its end."""
    parameters = {"Event": [event], **{name: [value] for name, value in more.items()}}
    sent = client.send_command(DocumentName="Stint-Event", InstanceIds=[node], Parameters=parameters)
    return finished(client, sent["Command"]["CommandId"], node)


READY = "instance-ready-for-shutdown"
ENTER = "enter-maintenance-window-period"
EXIT = "exit-maintenance-window-period"


def test_an_operator_asks_with_the_aws_command_line_and_no_script_is_a_yes(aws, device):
    sent = aws(
        "send-command", "--document-name", "Stint-Event", "--instance-ids", device.node,
        "--parameters", f"Event={READY}",
    )  # fmt: skip
    command = sent["Command"]["CommandId"]
    aws("wait command-executed", "--command-id", command, "--instance-id", device.node)
    seen = aws("get-command-invocation", "--command-id", command, "--instance-id", device.node)
    assert (seen["Status"], seen["StandardOutputContent"]) == ("Success", "STATUS:SUCCESS\n")


def test_a_device_that_is_not_ready_is_asked_again_until_it_is(client, device, home):
    device.scripts.put(READY, f"test -e {home}/drained")
    seen = tell(client, device.node, READY, Generation="g1", PreviousState="draining")
    assert (seen["Status"], seen["ResponseCode"]) == ("Failed", 75)
    assert seen["StandardOutputContent"].startswith("STATUS:FAILED\nDETAILS:")
    assert "it ended with 1" in seen["StandardOutputContent"]
    until("it is asked again", lambda: len(device.scripts.runs()) >= 3)
    assert set(device.scripts.runs()) == {f"{READY} draining"}
    (home / "drained").touch()
    until("it agrees", lambda: "event.acknowledged" in device.logs())
    count = len(device.scripts.runs())
    # The same wish again is answered with what is known.
    assert tell(client, device.node, READY, Generation="g1")["Status"] == "Success"
    assert len(device.scripts.runs()) == count
    assert tell(client, device.node, READY, Generation="g2")["Status"] == "Success"
    assert len(device.scripts.runs()) == count + 1


def test_a_script_that_hangs_is_killed_and_at_its_deadline_the_wish_is_given_up(client, device):
    device.scripts.put(READY, "sleep 1000")
    seen = tell(client, device.node, READY, DeadlineSeconds="4")
    assert seen["Status"] == "Failed" and "it was killed after 2 s" in seen["StandardOutputContent"]
    until("it is given up", lambda: f"{READY} is given up" in device.logs())
    device.scripts.put(READY, "exit 0")
    assert tell(client, device.node, READY)["Status"] == "Success"


def test_a_wish_outlives_the_agent(client, device, home):
    device.scripts.put(ENTER, f"test -e {home}/open")
    assert tell(client, device.node, ENTER)["Status"] == "Failed"
    device.kill()
    count = len(device.scripts.runs())
    device.start()
    until("it is asked again", lambda: len(device.scripts.runs()) > count)
    (home / "open").touch()
    until("it agrees", lambda: f"event.acknowledged: {ENTER}" in device.logs())


def test_the_opposite_period_ends_the_tries_and_a_boot_hears_the_period_again(client, device, home):
    device.scripts.put(ENTER, "exit 1")
    device.scripts.put(EXIT, "exit 0")
    assert tell(client, device.node, ENTER)["Status"] == "Failed"
    assert tell(client, device.node, EXIT)["Status"] == "Success"
    entered = device.scripts.runs().count(f"{ENTER} ".strip())
    device.stop()
    wishes = device.state / "events" / "wishes.json"
    known = json.loads(wishes.read_text())
    assert [wish["event"] for wish in known] == [EXIT]
    # Another boot, as far as the agent can see.
    known[0]["boot"] = "another"
    wishes.write_text(json.dumps(known))
    device.start()
    until("the period is told again", lambda: device.scripts.runs().count(EXIT) == 2)
    assert device.scripts.runs().count(ENTER) == entered


def test_an_event_that_nobody_knows_is_refused(client, device):
    with pytest.raises(client.exceptions.InvalidParameters):
        tell(client, device.node, "dance")
