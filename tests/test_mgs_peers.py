"""The Python client, server and agent of the message gateway among themselves: what the tests of the real
programs rest on. Whatever fails here is no fault of theirs."""

import hashlib
import random

import pytest

from harness.mgs import agent, codec, payloads, smux
from harness.mgs.agent import Device
from harness.mgs.faults import Faults
from harness.mgs.plugin import Plugin
from harness.original import OriginalAgent

ACTIVATION = {"ActivationCode": "c", "ActivationId": "i"}


@pytest.fixture
def node(gateway) -> OriginalAgent:
    """A node that is online there."""
    return OriginalAgent(gateway.endpoint, gateway.region).come_online(ACTIVATION)


@pytest.fixture
def control(node):
    """Its control channel."""
    return agent.control(node)


def begin(gateway, control, node, kind: str, properties: dict | None = None) -> tuple[Plugin, Device]:
    """A session with both of its ends."""
    started = gateway.start(kind, properties)
    plugin = Plugin(started, lambda: gateway.resume(started["SessionId"]))
    order = control.order()
    assert order["SessionId"] == started["SessionId"]
    return plugin, Device(node, order["SessionId"])


def test_a_job_its_replies_and_their_acknowledgements(gateway, control):
    job = gateway.job("true")
    control.carry_out(control.job(), "hello\n")
    assert gateway.outcome(job)["documentStatus"] == "Success"
    assert [ack["statusCode"] for ack in gateway.acks(job)] == ["200"]
    assert len(gateway.answers(job)) == 3


def test_a_shell_from_its_first_prompt_to_its_end(gateway, control, node):
    plugin, device = begin(gateway, control, node, "Standard_Stream")
    device.show("$ ")
    plugin.until("$ ")
    plugin.resize(101, 33)
    plugin.type_in("exit\n")
    device.typed("exit\n")
    assert device.window == {"cols": 101, "rows": 33}
    device.leave()
    control.complete(device.session, times=2)
    assert plugin.ended() == ""
    # By another socket than what ended the session.
    states = gateway.sessions[device.session].states
    gateway.wait("both states are known", lambda: states == ["Connected", "Terminating"])


def test_a_command_with_separate_errors_and_an_exit_code(gateway, control, node):
    plugin, device = begin(gateway, control, node, "NonInteractiveCommands")
    device.shake_hands("NonInteractiveCommands")
    for kind, data in [(codec.OUTPUT, b"out"), (codec.STDERR, b"err"), (codec.EXIT_CODE, b"EXIT_CODE: 7")]:
        device.say(kind, data)
    plugin.wait("it has ended", lambda: plugin.exit_text)
    assert (plugin.output, plugin.errors, plugin.exit_text) == (b"out", b"err", b"EXIT_CODE: 7")


@pytest.mark.parametrize("what", ["lost", "doubled", "overtaken"])
def test_both_directions_arrive_whole_over_a_bad_way(gateway, control, node, what):
    plugin, device = begin(gateway, control, node, "Standard_Stream")
    faults = []
    for end in (plugin, device):
        end.on_the_way_out = Faults(**{what: 0.2})
        end.on_the_way_in = Faults(**{what: 0.1}, seed=8) if what != "lost" else Faults()
        faults += [end.on_the_way_out, end.on_the_way_in]
    down, up = random.Random(1).randbytes(15_000), random.Random(2).randbytes(8_000)
    device.show(down)
    plugin.stream(codec.OUTPUT, up)
    plugin.wait("all came", lambda: len(plugin.output) == len(down), 60)
    device.wait("all came", lambda: len(device.input) == len(up), 60)
    assert (plugin.output, device.input) == (down, up)
    assert sum(fault.happened[what] for fault in faults) > 3


def test_a_session_goes_on_after_each_end_has_lost_its_socket_in_the_middle(gateway, control, node):
    plugin, device = begin(gateway, control, node, "Standard_Stream")
    data = random.Random(3).randbytes(200_000)
    plugin.cut_after, device.cut_after = 70_000, 180_000
    # The real plugin says nothing to what it has had before: an acknowledgement that goes down with a socket
    # is missing for ever, and this agent, as the original, doesn't get over that.
    plugin.inc.answers_old = True
    device.show(data)
    plugin.wait("all came", lambda: len(plugin.output) == len(data), 60)
    assert hashlib.sha256(plugin.output).digest() == hashlib.sha256(data).digest()
    assert (plugin.resumed, device.resumed) == (1, 1)


def test_connections_share_a_port_s_channel(gateway, control, node):
    plugin, device = begin(gateway, control, node, "Port")
    properties = {"portNumber": "22", "type": "LocalPortForwarding"}
    device.shake_hands("Port", properties)
    one, two = plugin.connect(), plugin.connect()
    two.send(b"ping!")
    device.typed(smux.frame(smux.SYN, 3) + smux.frame(smux.SYN, 5) + smux.pushes(5, b"ping!"))
    device.show(smux.pushes(3, b"to one") + smux.pushes(5, b"to two") + smux.frame(smux.FIN, 3))
    assert (one.rest(), two.read(6)) == (b"to one", b"to two")


def test_with_an_older_agent_a_port_is_one_connection_at_a_time(gateway, control, node):
    plugin, device = begin(gateway, control, node, "Port")
    device.shake_hands("Port", {"portNumber": "22", "type": "LocalPortForwarding"}, version="3.0.196.0")
    connection = plugin.connect()
    connection.send(b"raw")
    device.typed("raw")
    device.show("back")
    assert connection.read(4) == b"back"
    connection.close()
    device.wait("the flag came", lambda: device.flags == [codec.DISCONNECT_TO_PORT])


def test_an_agent_s_version_that_isn_t_four_numbers_is_found_out(gateway, control, node):
    plugin, device = begin(gateway, control, node, "Port")
    device.say(codec.HANDSHAKE_REQUEST, payloads.handshake_request("Port", {}, "3.3"))
    with pytest.raises(AssertionError, match="thread has failed"):
        plugin.begun()
