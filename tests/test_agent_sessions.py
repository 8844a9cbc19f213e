"""Sessions on the device: the real agent and its session processes, between a server and a client that were
written in Python from the facts alone."""

import hashlib
import json
import os
import random
import socket
import threading
import time

import pytest

from harness import processes
from harness.mgs.plugin import Plugin
from harness.mgs.server import Server
from harness.wait import until

ACTIVATION = {
    "ActivationCode": "abcdefghij0123456789",
    "ActivationId": "00000000-0000-0000-0000-000000000000",
}


@pytest.fixture
def server():
    """A server without a store."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def start(server, new_agent, home):
    """Starts a registered agent that holds a control channel."""

    def make(**config):
        agent = new_agent()
        agent.config = home / "agent.json"
        agent.config.write_text(json.dumps(config))
        agent.register(server, ACTIVATION)
        agent.start()
        server.control(patience=60)
        return agent

    return make


def _session(server, kind: str, properties: dict | None = None, **more) -> Plugin:
    started = server.start(kind, properties, **more)
    return Plugin(started, lambda: server.resume(started["SessionId"]))


def _run(line: str) -> dict:
    return {"linux": {"commands": line}}


def _open(agent) -> int:
    return agent.status()[1]["sessions"]


def test_a_shell_is_opened_used_and_left(server, start):
    agent = start()
    plugin = _session(server, "Standard_Stream", inputs={"shellProfile": {"linux": "PS1='> '"}})
    plugin.resize(101, 33)
    plugin.type_in("stty size\n")
    plugin.until("33 101")
    plugin.type_in("echo $TERM-$((6*7)) && env | sort && echo all\n")
    seen = plugin.until("\nall").decode()
    assert "xterm-256color-42" in seen
    # Nothing of the agent's environment but a short list.
    assert "STINT" not in seen and "AWS_" not in seen
    assert _open(agent) == 1
    plugin.type_in("exit\n")
    done = server.completed(plugin.session)
    assert (done["FinalTaskStatus"], done["Output"], done["InstanceId"]) == ("Success", "", agent.node)
    assert server.sessions[plugin.session].states == ["Connected", "Terminating"]
    until("it isn't counted any more", lambda: _open(agent) == 0)


def test_a_session_survives_the_agent_and_both_ends_of_its_channel(server, start):
    agent = start()
    plugin = _session(server, "InteractiveCommands", _run("read a; echo one-$a; read b; echo two-$b; read c"))
    plugin.type_in("x\n")
    plugin.until("one-x")
    agent.kill()
    agent.start()
    server.control(server.controls[-1], patience=60)
    server.sessions[plugin.session].agent.cut()
    plugin.cut()
    plugin.wait("the client is back", lambda: plugin.resumed)
    server.wait("the agent is back", lambda: server.sessions[plugin.session].agents == 2)
    plugin.type_in("y\n")
    plugin.until("two-y")
    until("the new agent knows it", lambda: _open(agent) == 1)
    plugin.type_in("z\n")
    assert server.completed(plugin.session, 60)["FinalTaskStatus"] == "Success"


@pytest.mark.parametrize("by", ["control", "data"])
def test_an_ended_session_leaves_no_process(server, start, by):
    start()
    plugin = _session(server, "InteractiveCommands", _run("echo pid=$$.; sleep 600 & sleep 600"))
    plugin.until("pid=")
    pid = int(plugin.until(".").decode().removesuffix("."))
    server.end(plugin.session, by)
    assert server.completed(plugin.session)["FinalTaskStatus"] == "Success"
    until("its shell is gone", lambda: not os.path.exists(f"/proc/{pid}"))


def test_a_command_s_streams_and_its_exit_code(server, start):
    start()
    properties = {
        "linux": {"commands": "sh -c 'echo out; echo err >&2; exit 7'", "separateOutputStream": True}
    }
    plugin = _session(server, "NonInteractiveCommands", properties)
    done = server.completed(plugin.session)
    # The command's code is the client's business.
    assert done["FinalTaskStatus"] == "Success"
    assert (bytes(plugin.output), bytes(plugin.errors)) == (b"out\n", b"err\n")
    assert plugin.exit_text == b"EXIT_CODE: 7"


def test_ten_megabytes_through_a_port_that_is_cut_in_the_middle_are_whole(server, start):
    start()
    data = random.Random(7).randbytes(10_000_000)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection = listener.accept()[0]
        with connection:
            assert connection.recv(4) == b"get\n"
            connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    port = str(listener.getsockname()[1])
    plugin = _session(server, "Port", {"portNumber": port, "type": "LocalPortForwarding"})
    connection = plugin.connect()
    assert plugin.multiplexes
    server.sessions[plugin.session].cut_agent_after = 4_000_000
    connection.send(b"get\n")
    got = connection.read(len(data), 120)
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()
    assert server.sessions[plugin.session].agents == 2
    plugin.terminate()
    assert server.completed(plugin.session)["FinalTaskStatus"] == "Success"


def test_what_can_t_be_had_is_told_with_the_reason(server, start):
    agent = start(session={"limit": 1})
    why = lambda kind, **more: server.completed(_session(server, kind, **more).session)  # noqa: E731
    failed = why("Standard_Stream", inputs={"runAsEnabled": True, "runAsDefaultUser": "nobdy"})
    assert (failed["FinalTaskStatus"], failed["Output"]) == (
        "Failed",
        "there is no user nobdy in /etc/passwd",
    )
    assert "Standard_Strm" in why("Standard_Strm")["Output"]
    assert "portNumber" in why("Port")["Output"]
    until("they aren't counted any more", lambda: _open(agent) == 0)
    first = _session(server, "InteractiveCommands", _run("echo up; read a"))
    first.until("up")
    assert "session.limit" in why("Standard_Stream")["Output"]
    first.type_in("\n")
    assert server.completed(first.session)["FinalTaskStatus"] == "Success"


def test_a_flood_waits_for_a_client_that_has_gone_and_takes_no_memory(server, start):
    start()
    plugin = _session(server, "InteractiveCommands", _run("yes 0123456789"))
    plugin.until("0123456789")
    plugin.hang_up()
    process = next(each.pid for each in processes.mentioning(plugin.session) if "session" in each.argv)
    session = server.sessions[plugin.session]
    _until_still(lambda: session.relayed)
    before = _memory(process)
    assert before < 16 * 1024 * 1024
    _until_still(lambda: session.relayed)
    assert _memory(process) - before < 256 * 1024
    server.end(plugin.session)
    assert server.completed(plugin.session)["FinalTaskStatus"] == "Success"


def test_the_oom_killer_spares_the_holder_of_a_session_as_the_agent_and_its_programs_not(server, start):
    score = "/proc/{}/oom_score_adj"
    with open(score.format(start().daemon()), "w") as file:
        file.write("40")
    plugin = _session(
        server, "InteractiveCommands", _run(f"echo it is $(cat {score.format('self')}).; read a")
    )
    plugin.until("it is 0.")
    process = next(each.pid for each in processes.mentioning(plugin.session) if "session" in each.argv)
    with open(score.format(process)) as file:
        assert file.read() == "40\n"


def _until_still(count) -> None:
    """Waits until little more than repetitions of one message is counted."""
    while (before := count()) is not None:
        time.sleep(1)
        if count() - before < 16 * 1024:
            return


def _memory(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
