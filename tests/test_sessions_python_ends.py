"""The hub between an agent and a client of another make: what one sends, the other gets, whatever breaks."""

import hashlib
import random
import threading

import pytest

from harness.mgs import agent as mgs
from harness.mgs import codec, payloads, plugin
from harness.mgs.agent import Control, Device
from harness.mgs.faults import Faults
from harness.mgs.plugin import Plugin

MEGABYTE = 1_000_000


@pytest.fixture
def control(node) -> Control:
    """The control channel of the simulated node."""
    return mgs.control(node)


@pytest.fixture
def begin(client, node, control):
    """Begins a session; both its ends."""

    def make(document: str = "", **parameters: str) -> tuple[Plugin, Device]:
        operator = plugin.start(client, node.node, document, **parameters)
        order = control.order()
        assert order["SessionId"] == operator.session
        return operator, Device(node, order["SessionId"])

    return make


def data(count: int, seed: int = 5) -> bytes:
    """So many bytes that are not like each other."""
    return random.Random(seed).randbytes(count)


def of(raw: bytes) -> bytes:
    """Its SHA-256."""
    return hashlib.sha256(raw).digest()


def test_a_shell_from_its_first_prompt_to_its_end(begin, control):
    operator, device = begin()
    device.show("$ ")
    operator.until("$ ")
    operator.resize(101, 33)
    operator.type_in("exit\n")
    device.typed("exit\n")
    assert device.window == {"cols": 101, "rows": 33}
    device.leave()
    control.complete(device.session, times=2)
    assert operator.ended() == ""


def test_ten_megabytes_in_each_direction_at_once(begin):
    operator, device = begin()
    down, up = data(10 * MEGABYTE, 1), data(10 * MEGABYTE, 2)
    typing = threading.Thread(target=operator.stream, args=[codec.OUTPUT, up], daemon=True)
    typing.start()
    device.show(down)
    operator.wait("all came", lambda: len(operator.output) == len(down), 120)
    device.wait("all came", lambda: len(device.input) == len(up), 120)
    assert (of(operator.output), of(device.input)) == (of(down), of(up))


@pytest.mark.parametrize("end", ["client", "agent"])
def test_an_end_whose_socket_breaks_in_the_middle_of_ten_megabytes_goes_on(begin, end):
    operator, device = begin()
    raw = data(10 * MEGABYTE)
    # This agent, as the original, doesn't get over an acknowledgement that went down with a socket.
    operator.inc.answers_old = True
    (operator if end == "client" else device).cut_after = len(raw) // 2
    device.show(raw)
    operator.wait("all came", lambda: len(operator.output) == len(raw), 120)
    assert of(operator.output) == of(raw)
    assert (operator.resumed, device.resumed) == ((1, 0) if end == "client" else (0, 1))


def test_a_hub_that_is_killed_in_the_middle_loses_nothing_of_a_session(hub, begin):
    operator, device = begin()
    operator.inc.answers_old = True
    raw = data(3 * MEGABYTE)
    showing = threading.Thread(target=device.show, args=[raw], daemon=True)
    showing.start()
    operator.wait("a third is here", lambda: len(operator.output) > len(raw) // 3, 60)
    hub.kill()
    hub.start()
    operator.wait("all came", lambda: len(operator.output) == len(raw), 120)
    assert of(operator.output) == of(raw)


@pytest.mark.parametrize("what", ["lost", "doubled", "overtaken"])
def test_the_two_ends_agree_over_a_bad_way(begin, what):
    operator, device = begin()
    for each in (operator, device):
        each.on_the_way_out = Faults(**{what: 0.1})
    down, up = data(100_000, 1), data(50_000, 2)
    typing = threading.Thread(target=operator.stream, args=[codec.OUTPUT, up], daemon=True)
    typing.start()
    device.show(down)
    operator.wait("all came", lambda: len(operator.output) == len(down), 120)
    device.wait("all came", lambda: len(device.input) == len(up), 120)
    assert (operator.output, device.input) == (down, up)
    assert operator.on_the_way_out.happened[what] and device.on_the_way_out.happened[what]


def test_an_agent_whose_client_has_gone_is_paused_and_goes_on_with_the_next(client, node, begin):
    operator, device = begin()
    device.show("$ ")
    operator.until("$ ")
    operator.hang_up()
    device.wait("it is told to pause", lambda: device.paused, 60)
    token = client.resume_session(SessionId=operator.session)
    again = Plugin({**token, "SessionId": operator.session, "StreamUrl": operator.url})
    device.wait("it is told to go on", lambda: not device.paused, 60)
    # The same program, so the same numbers.
    again.inc.expected, again.out.next = operator.inc.expected, operator.out.next
    again.type, again._ready = "Standard_Stream", True
    device.show("still here")
    again.until("still here")


def test_a_handshake_and_separate_errors_go_through(begin, control):
    operator, device = begin("AWS-StartNonInteractiveCommand", command="true")
    response = device.shake_hands("NonInteractiveCommands")
    assert response["ClientVersion"] == payloads.CLIENT_VERSION
    for kind, words in [(codec.OUTPUT, b"out"), (codec.STDERR, b"err"), (codec.EXIT_CODE, b"EXIT_CODE: 7")]:
        device.say(kind, words)
    operator.wait("it has ended", lambda: operator.exit_text)
    assert (operator.output, operator.errors, operator.exit_text) == (b"out", b"err", b"EXIT_CODE: 7")
    control.complete(device.session, "Failed", "it could not be")
    assert operator.ended() == "it could not be"


def test_a_session_that_is_terminated_ends_at_both_ends(client, begin):
    operator, device = begin()
    device.show("$ ")
    operator.until("$ ")
    client.terminate_session(SessionId=operator.session)
    operator.ended()
    device.wait("it is told", lambda: device.closed_with)


def test_an_order_whose_data_channel_is_long_in_coming_still_begins_a_session(client, node, control):
    operator = plugin.start(client, node.node)
    operator.type_in("early\n")
    order = control.order()
    device = Device(node, order["SessionId"])
    device.show("$ ")
    device.typed("early\n")
    operator.until("$ ")


def test_a_dozen_sessions_of_one_node_do_not_mix(begin):
    pairs = [begin() for _ in range(12)]
    for number, (operator, device) in enumerate(pairs):
        device.show(f"this is {number}.")
        operator.type_in(f"and you are {number}.")
    for number, (operator, device) in enumerate(pairs):
        operator.until(f"this is {number}.")
        device.typed(f"and you are {number}.")
        assert len(operator.output) == 0 and len(device.input) == 0
