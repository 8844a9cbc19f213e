"""Reports reach the hub, each for itself: one that isn't taken holds up no other."""

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.tap import Tap
from harness.wait import until


@pytest.fixture
def tap(hub):
    tap = Tap(hub)
    yield tap
    tap.close()


def test_a_report_that_nobody_takes_holds_up_no_other_and_is_tried_again(
    hub, client, activate, new_agent, tap
):
    agent = new_agent()
    agent.register(tap, activate())
    agent.start()
    wait_until_online(client, agent.node)
    # A captive portal, or a proxy with a limit of its own.
    held = [""]
    tap.holds_back = lambda operation, body: operation == "SendReply" and held[0] in body["MessageId"]
    commands = sorted(shell(client, [agent.node], f"echo {number}") for number in range(5))
    outbox = agent.state / "outbox"
    until("all of them wait", lambda: len(list(outbox.glob("*.json"))) == len(commands))
    held[0] = commands[0]
    for command in commands[1:]:
        assert finished(client, command, agent.node)["Status"] == "Success"
    until("it alone waits", lambda: len(list(outbox.glob("*.json"))) == 1)
    held[0] = "none"
    assert finished(client, commands[0], agent.node)["Status"] == "Success"
    until("nothing waits", lambda: not list(outbox.glob("*.json")))
