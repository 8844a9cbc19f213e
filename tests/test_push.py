"""The agent and the hub over a control channel: commands come without a poll, and none is lost on the way."""

import re

from harness.clients import finished, shell, wait_until_online
from harness.wait import until


def _log(hub) -> str:
    return (hub.home / "hub.log").read_text()


def _has_channel(hub, times: int = 1) -> None:
    until("the channel is open", lambda: _log(hub).count("control channel opened") >= times)


def _polls(hub) -> int:
    return len(re.findall(r'operation="GetMessages"', _log(hub)))


def test_a_node_with_a_channel_does_not_poll(hub, client, agent):
    _has_channel(hub)
    before = _polls(hub)
    for word in ("one", "two", "three"):
        command = shell(client, [agent.node], f"echo {word}")
        assert finished(client, command, agent.node)["StandardOutputContent"] == f"{word}\n"
    assert _polls(hub) == before
    assert not re.findall(r'operation="(SendReply|AcknowledgeMessage)"', _log(hub))


def test_commands_come_in_the_order_in_which_they_were_sent(hub, client, online, home, new_agent, activate):
    agent = new_agent()
    agent.config = home / "agent.json"
    agent.config.write_text('{"commandWorkers": 1}')
    agent.register(hub, activate())
    agent.start()
    wait_until_online(client, agent.node)
    _has_channel(hub)
    order = home / "order"
    commands = [shell(client, [agent.node], f"echo {n} >> {order}") for n in range(12)]
    for command in commands:
        assert finished(client, command, agent.node)["Status"] == "Success"
    assert order.read_text().split() == [str(n) for n in range(12)]


def test_a_hub_that_is_killed_under_a_command_gets_its_result_over_the_next_channel(hub, client, agent, home):
    _has_channel(hub)
    begun, gate = home / "begun", home / "gate"
    lines = f"touch {begun}; while [ ! -e {gate} ]; do sleep 0.1; done; echo done"
    command = shell(client, [agent.node], lines)
    until("it runs", begun.exists)
    hub.kill()
    gate.touch()
    until("it is over", lambda: not agent.workers())
    hub.start()
    assert finished(client, command, agent.node)["StandardOutputContent"] == "done\n"
    _has_channel(hub)


def test_a_long_output_fits_through_the_channel(hub, client, agent):
    _has_channel(hub)
    command = shell(client, [agent.node], "yes 123456789 | head -c 200000")
    done = finished(client, command, agent.node)
    assert done["Status"] == "Success"
    assert done["StandardOutputContent"].startswith("123456789\n123456789\n")


def test_a_cancelled_command_is_stopped_over_the_channel(hub, client, agent, home):
    _has_channel(hub)
    begun = home / "begun"
    command = shell(client, [agent.node], f"touch {begun}; sleep 600")
    until("it runs", begun.exists)
    client.cancel_command(CommandId=command)
    assert finished(client, command, agent.node)["Status"] == "Cancelled"
