"""Reports reach the hub, each for itself: one that isn't taken holds up no other."""

import json

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.tap import Tap
from harness.wait import until


@pytest.fixture
def tap(hub):
    tap = Tap(hub)
    yield tap
    tap.close()


@pytest.fixture
def tapped(client, activate, new_agent, tap):
    """An agent that is Online through the tap."""
    agent = new_agent()
    agent.register(tap, activate())
    agent.start()
    wait_until_online(client, agent.node)
    return agent


def test_a_report_that_nobody_takes_holds_up_no_other_and_is_tried_again(client, tap, tapped):
    # A captive portal, or a proxy with a limit of its own.
    held = [""]
    tap.holds_back = lambda operation, body: operation == "SendReply" and held[0] in body["MessageId"]
    commands = sorted(shell(client, [tapped.node], f"echo {number}") for number in range(5))
    outbox = tapped.state / "outbox"
    until("all of them wait", lambda: len(list(outbox.glob("*.json"))) == len(commands))
    held[0] = commands[0]
    for command in commands[1:]:
        assert finished(client, command, tapped.node)["Status"] == "Success"
    until("it alone waits", lambda: len(list(outbox.glob("*.json"))) == 1)
    held[0] = "none"
    assert finished(client, commands[0], tapped.node)["Status"] == "Success"
    until("nothing waits", lambda: not list(outbox.glob("*.json")))


STEPS = 20
# The original's limit for a reply on the message gateway.
MOST_BYTES = 120_000


def noisy(client, node: str) -> str:
    """Sends a document of many steps whose output is as large as JSON can make it; the command id."""
    # The worst that 24,000 bytes can be: each becomes six.
    noise = ["head -c 30000 /dev/zero | tr '\\0' '\\1'", "head -c 30000 /dev/zero | tr '\\0' '\\2' >&2"]
    action = {"action": "aws:runShellScript", "inputs": {"runCommand": noise}}
    steps = [{**action, "name": f"step{number}"} for number in range(STEPS)]
    content = json.dumps({"schemaVersion": "2.2", "mainSteps": steps})
    client.create_document(Name="Noisy", DocumentType="Command", Content=content)
    sent = client.send_command(DocumentName="Noisy", InstanceIds=[node])
    return sent["Command"]["CommandId"]


def heard_of_all_steps(client, command: str, node: str) -> None:
    """Each step and some of what it said is at the hub."""
    for number in range(STEPS):
        words = {"CommandId": command, "InstanceId": node, "PluginName": f"step{number}"}
        step = client.get_command_invocation(**words)
        assert step["Status"] == "Success"
        assert len(step["StandardOutputContent"]) > 2000 and "\2" in step["StandardErrorContent"]


def test_a_report_of_many_noisy_steps_is_told_in_replies_of_bounded_size(client, tap, tapped):
    command = noisy(client, tapped.node)
    assert finished(client, command, tapped.node)["Status"] == "Success"
    heard_of_all_steps(client, command, tapped.node)
    replies = [body["Payload"] for body in tap.requests("SendReply")]
    assert all(len(reply) <= MOST_BYTES for reply in replies)
    # Each step is told once: what is sent grows with the number of steps, and not with its square.
    told = [name for reply in replies for name in json.loads(reply)["runtimeStatus"] or {}]
    assert sorted(told) == sorted(f"step{number}" for number in range(STEPS))


def test_a_report_of_many_noisy_steps_is_taken_over_the_control_channel(client, agent):
    command = noisy(client, agent.node)
    assert finished(client, command, agent.node)["Status"] == "Success"
    heard_of_all_steps(client, command, agent.node)
