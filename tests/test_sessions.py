"""Sessions on a device that has no open port: the real agent, and a client of another make, through the real
hub and through a server of another make."""

import hashlib
import random
import re
from pathlib import Path

import pytest

from harness import processes
from harness.mgs import codec, plugin, ports
from harness.mgs.faults import Faults
from harness.mgs.ports import Port
from harness.mgs.server import Server
from harness.mgs.ways import ACTIVATION, ThroughHub, ThroughServer
from harness.wait import until

MEGABYTE = 1_000_000


@pytest.fixture
def through_server(new_agent):
    """The Python server, and the agent that is there."""
    server = Server()
    agent = new_agent()
    agent.register(server, ACTIVATION)
    agent.start()
    server.control()
    yield ThroughServer(server, agent)
    agent.clean_up()
    server.close()


@pytest.fixture
def through_hub(client, agent):
    """The real hub, on which the agent is connected."""
    connected = lambda: client.get_connection_status(Target=agent.node)["Status"] == "connected"  # noqa: E731
    until("the node has a channel", connected)
    return ThroughHub(client, agent)


@pytest.fixture(params=["hub", "server"])
def way(request):
    """Both."""
    return request.getfixturevalue(f"through_{request.param}")


@pytest.fixture
def port():
    """Ports to be forwarded to."""
    made = []

    def make(serve) -> Port:
        made.append(Port(serve))
        return made[-1]

    yield make
    for each in made:
        each.close()


def data(count: int = 10 * MEGABYTE, seed: int = 5) -> bytes:
    """So many bytes that are not like each other."""
    return random.Random(seed).randbytes(count)


def of(raw: bytes) -> bytes:
    """Its SHA-256."""
    return hashlib.sha256(raw).digest()


def alive(pid: int) -> bool:
    """Whether the process is there, and not only its number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def session_processes(agent) -> list[processes.Process]:
    """The processes of this agent's sessions."""
    return [p for p in processes.mentioning(f"{agent.state}") if "session" in p.argv[1:2]]


# --- shells -------------------------------------------------------------------------------------------


def test_a_shell_takes_what_is_typed_and_ends_with_exit(way):
    shell = way.shell()
    shell.resize(80, 24)
    shell.type_in("echo a$((40+2))\n")
    shell.until("a42")
    shell.type_in("tty; echo $TERM-$$\n")
    shell.until("/dev/pts/")
    shell.until("xterm-256color-")
    shell.type_in("exit\n")
    assert shell.ended() == ""
    until("its process is gone", lambda: not session_processes(way.agent))


def test_a_window_that_changes_its_size_is_told_to_the_program(way):
    shell = way.shell()
    shell.resize(101, 33)
    shell.type_in("stty size; trap 'echo now $(stty size)' WINCH\n")
    shell.until("33 101")
    shell.type_in("echo tr''apped\n")
    shell.until("trapped")
    shell.resize(90, 20)
    shell.type_in("\n")
    shell.until("now 20 90")


def test_an_interrupt_ends_the_program_in_front_and_not_the_shell(way):
    shell = way.shell()
    # It says itself that it is in front: between the shell's own word and that, an interrupt may find the
    # shell waiting for a program that it hasn't handed the terminal to yet, and then neither of them ends.
    shell.type_in("sh -c 'echo be\"\"gun; exec sleep 1000'; echo still\n")
    shell.until("begun")
    shell.type_in(b"\x03")
    shell.type_in("echo al''ive\n")
    assert b"still\r" not in shell.until("alive")


def test_a_session_that_is_terminated_takes_its_programs_along(way, home):
    shell = way.shell()
    mark = home / "pid"
    shell.type_in(f"sleep 1000 & echo $! > {mark}; echo st''arted\n")
    shell.until("started")
    pid = int(mark.read_text())
    assert alive(pid)
    way.terminate(shell)
    until("the program is gone", lambda: not alive(pid))
    until("the session is gone", lambda: not session_processes(way.agent))


@pytest.mark.parametrize("limit, word", [("idle_seconds", "idle"), ("longest_seconds", "maximum")])
def test_a_session_that_the_hub_ends_at_a_limit_takes_its_programs_along(through_hub, hub, home, limit, word):
    shell = through_hub.shell()
    mark = home / "pid"
    shell.type_in(f"sleep 1000 & echo $! > {mark}; echo st''arted\n")
    shell.until("started")
    pid = int(mark.read_text())
    assert alive(pid)
    hub.pretend(f"UPDATE session SET {limit} = 1 WHERE id = ?", shell.session)
    assert word in shell.ended()
    until("the program is gone", lambda: not alive(pid))
    until("the session is gone", lambda: not session_processes(through_hub.agent))


def test_a_shell_survives_the_agent_s_end(way):
    shell = way.shell()
    shell.type_in("here=still; echo re''ady\n")
    shell.until("ready")
    way.agent.kill()
    shell.type_in("echo $here-there\n")
    shell.until("still-there")
    way.agent.start()
    shell.type_in("echo $here-again; exit\n")
    shell.until("still-again")
    assert shell.ended(60) == ""


def test_what_a_shell_prints_comes_whole_and_in_order_to_a_client_on_a_bad_way(way):
    shell = way.shell()
    shell.on_the_way_in = Faults(lost=0.05, doubled=0.05, overtaken=0.1)
    shell.on_the_way_out = Faults(doubled=0.1, overtaken=0.1, lost=0.05)
    shell.type_in("stty -echo\n")
    shell.type_in("echo be''gin; seq 1 12000; echo e''nd\n")
    shell.until("begin", 60)
    printed = shell.until("end", 120)
    assert re.findall(rb"^\d+", printed, re.MULTILINE) == [b"%d" % n for n in range(1, 12001)]
    assert sum(shell.on_the_way_in.happened.values()) > 5


def test_what_a_shell_prints_comes_whole_though_acknowledgements_get_lost(way):
    """As they do with a socket that breaks; and the client never repeats one."""
    shell = way.shell()
    shell.of_acks = Faults(lost=0.05)
    shell.type_in("echo be''gin; seq 1 30000; echo e''nd\n")
    shell.until("begin", 60)
    printed = shell.until("end", 120)
    assert re.findall(rb"^\d+", printed, re.MULTILINE) == [b"%d" % n for n in range(1, 30001)]
    assert shell.of_acks.happened["lost"] > 3


# --- commands -----------------------------------------------------------------------------------------


def test_a_command_on_a_terminal_is_run_by_a_shell_and_asks(way):
    session = way.interactive("printf 'name? '; read name; echo hello-$name; test -t 0 && echo terminal")
    session.until("name? ")
    session.type_in("you\n")
    session.until("hello-you")
    session.until("terminal")
    assert session.ended() == ""


def test_a_command_without_a_terminal_is_no_shell_s(way):
    session = way.command("echo one '$HOME' \"two three\"")
    session.until("one $HOME two three\n")
    assert session.type == "NonInteractiveCommands"
    assert session.ended() == ""


def test_errors_and_the_exit_code_come_apart(way):
    session = way.separate("sh -c 'echo out; echo err >&2; exit 7'")
    session.wait("it has ended", lambda: session.exit_text)
    assert (session.output, session.errors) == (b"out\n", b"err\n")
    assert session.exit_text == b"EXIT_CODE: 7"
    assert session.ended() == ""


def test_what_a_command_prints_comes_whole(way):
    session = way.separate("seq 1 100000")
    assert session.ended(90) == ""
    assert session.output == b"".join(b"%d\n" % number for number in range(1, 100_001))
    assert session.exit_text == b"EXIT_CODE: 0"


def test_preferences_that_want_encryption_let_nothing_go_without(through_hub):
    """No document's silence is a way around them."""
    through_hub.prefer(through_hub.client, kmsKeyId="alias/sessions")
    for session in (through_hub.shell(), through_hub.interactive("echo x"), through_hub.command("echo x")):
        assert "take kmsKeyId out" in session.ended()
        assert not session.output


# --- ports --------------------------------------------------------------------------------------------


def test_ten_megabytes_come_through_a_forwarded_port(way, port):
    raw = data()
    client = way.port(port(ports.says(raw)).number)
    assert of(client.connect().rest(120)) == of(raw)
    assert client.multiplexes


def test_ten_megabytes_go_through_a_forwarded_port(way, port):
    raw = data()
    connection = way.port(port(ports.digest).number).connect()
    connection.send(raw)
    connection.close()
    assert connection.rest(120) == of(raw)


def test_many_connections_share_a_forwarded_port(way, port):
    listener = port(ports.echo)
    client = way.port(listener.number)
    connections = [client.connect() for _ in range(8)]
    pieces = [data(40_000, seed) for seed in range(8)]
    for at in range(0, 40_000, 10_000):
        for connection, piece in zip(connections, pieces, strict=True):
            connection.send(piece[at : at + 10_000])
    for connection in connections:
        connection.close()
    assert [connection.rest(60) for connection in connections] == pieces
    assert listener.connections == 8
    again = client.connect()
    again.send(b"one more")
    assert again.read(8) == b"one more"


def test_a_port_of_another_host_is_found_by_the_host_s_name(through_hub, port):
    """Any spelling of it but the usual one is looked up like other names."""
    client = plugin.start(
        through_hub.client,
        through_hub.agent.node,
        "AWS-StartPortForwardingSessionToRemoteHost",
        portNumber=str(port(ports.echo).number),
        host="LocalHost",
    )
    connection = client.connect()
    connection.send(b"hello")
    assert connection.read(5) == b"hello"
    assert client.multiplexes and client.properties["host"] == "LocalHost"


def test_a_port_at_which_nobody_listens_is_said_and_the_session_goes_on(way, port):
    listener = port(ports.echo)
    client = way.port(listener.number)
    listener.close()
    client.connect()
    client.wait("the flag came", lambda: client.flags == [codec.CONNECT_TO_PORT_ERROR])
    assert client.closed_with is None


def test_the_client_ends_a_forwarded_port(way, port):
    client = way.port(port(ports.echo).number)
    client.connect().send(b"x")
    client.terminate()
    client.ended()
    until("the session is gone", lambda: not session_processes(way.agent))


def test_ten_megabytes_go_and_come_over_one_raw_connection(way, port):
    raw = data()
    client = way.raw_port(port(ports.echo).number)
    connection = client.connect()
    for at in range(0, len(raw), 500_000):
        connection.send(raw[at : at + 500_000])
    assert of(connection.read(len(raw), 120)) == of(raw)
    assert not client.multiplexes


def test_a_raw_connection_that_the_port_ends_ends_the_session(way, port):
    client = way.raw_port(port(ports.says(b"banner\r\n")).number)
    assert client.connect().read(8) == b"banner\r\n"
    assert client.ended() == ""


# --- sockets that break -------------------------------------------------------------------------------


def test_a_client_whose_socket_breaks_in_the_middle_of_ten_megabytes_goes_on(way, port):
    raw = data()
    client = way.port(port(ports.says(raw)).number)
    client.cut_after = len(raw) // 2
    assert of(client.connect().rest(180)) == of(raw)
    assert client.resumed == 1


def test_a_client_whose_socket_breaks_while_it_sends_ten_megabytes_goes_on(way, port):
    raw = data()
    client = way.port(port(ports.digest).number)
    connection = client.connect()
    # What was lost comes again one by one, a tenth of a second each, and the newer is kept meanwhile: as much
    # as a client sends in that time that waits 2 ms after each, as the plugin does 1 ms.
    client.cut_after, client.pace = len(raw) // 2, 0.002
    connection.send(raw)
    connection.close()
    assert connection.rest(180) == of(raw)
    assert client.resumed == 1


def test_an_agent_whose_socket_breaks_in_the_middle_of_ten_megabytes_goes_on(through_server, port):
    raw, server = data(), through_server.server
    client = through_server.port(port(ports.says(raw)).number)
    session = server.sessions[client.session]
    session.cut_agent_after = len(raw) // 3
    assert of(client.connect().rest(180)) == of(raw)
    assert session.agents == 2


def test_a_hub_that_is_killed_in_the_middle_of_ten_megabytes_loses_none(through_hub, hub, port):
    raw = data()
    client = through_hub.port(port(ports.says(raw)).number)
    connection = client.connect()
    client.wait("half is here", lambda: len(connection.data) > len(raw) // 3, 60)
    hub.kill()
    hub.start()
    assert of(connection.rest(180)) == of(raw)
    assert client.resumed >= 1


def test_a_raw_connection_goes_on_though_acknowledgements_get_lost(through_server, port):
    """More of them than fit into the window: what a client had was sent again for ever, and took its room."""
    raw = data(3 * MEGABYTE)
    client = through_server.raw_port(port(ports.says(raw)).number)
    client.of_acks = Faults(lost=0.1)
    assert of(client.connect().read(len(raw), 120)) == of(raw)
    assert client.of_acks.happened["lost"] > 20


def test_a_raw_connection_goes_on_when_its_client_s_socket_breaks(way, port):
    raw = data(3 * MEGABYTE)
    client = way.raw_port(port(ports.says(raw)).number)
    client.cut_after = len(raw) // 2
    assert of(client.connect().read(len(raw), 120)) == of(raw)
    assert client.resumed == 1


def test_a_raw_connection_goes_on_when_the_hub_is_killed(through_hub, hub, port):
    raw = data(3 * MEGABYTE)
    client = through_hub.raw_port(port(ports.echo).number)
    connection = client.connect()
    connection.send(raw[: len(raw) // 2])
    client.wait("some is here", lambda: len(connection.data) > len(raw) // 4, 60)
    hub.kill()
    hub.start()
    connection.send(raw[len(raw) // 2 :])
    assert of(connection.read(len(raw), 120)) == of(raw)
    assert client.resumed >= 1


def test_a_shell_goes_on_after_its_client_s_socket_has_broken_often(way):
    shell = way.shell()
    shell.type_in("here=still; echo re''ady\n")
    shell.until("ready")
    for number in range(1, 6):
        shell.cut()
        shell.wait("it has resumed", lambda number=number: shell.resumed == number, 60)
        shell.type_in(f"echo $here-{number}\n")
        shell.until(f"still-{number}", 60)
    shell.type_in("exit\n")
    assert shell.ended() == ""
