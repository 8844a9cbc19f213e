"""What a server, a client or a network may do to a session, and the agent must take: orders that make no
sense, or come twice, and messages that are none."""

import json
import time

import pytest

from harness import processes
from harness.mgs import codec, payloads
from harness.mgs.codec import FROM_CLIENT, Frame
from harness.mgs.plugin import Plugin
from harness.mgs.ways import ACTIVATION, ThroughServer, of_commands
from harness.wait import until

RUN_AS = {"inputs": {"runAsEnabled": True}}


@pytest.fixture
def agent(gateway, new_agent):
    """The agent, which has a channel there."""
    agent = new_agent()
    agent.register(gateway, ACTIVATION)
    agent.start()
    gateway.control()
    return agent


@pytest.fixture
def way(gateway, agent) -> ThroughServer:
    """Starts sessions."""
    return ThroughServer(gateway, agent)


def session_processes(agent) -> list[processes.Process]:
    """The processes of this agent's sessions."""
    return [p for p in processes.mentioning(f"{agent.state}") if "session" in p.argv[1:2]]


@pytest.mark.parametrize(
    ("kind", "properties", "more", "words"),
    [
        ("Weather", {}, {}, "Weather"),
        ("InteractiveCommands", of_commands(""), {}, "ommand"),
        ("InteractiveCommands", {"windows": {"commands": "dir"}}, {}, "ommand"),
        ("NonInteractiveCommands", of_commands("/no/such/program"), {}, "/no/such/program"),
        ("Port", {"type": "LocalPortForwarding"}, {}, "portNumber"),
        ("Port", {"portNumber": "99999"}, {}, "portNumber"),
        ("Port", {"portNumber": "80", "host": "169.254.169.254"}, {}, "forbidden"),
        ("Standard_Stream", {}, {"RunAsUser": "nobody-knows-me", **RUN_AS}, "nobody-knows-me"),
        ("Standard_Stream", {}, {"RunAsUser": "root", **RUN_AS}, "root"),
        ("Standard_Stream", {}, {"inputs": {"kmsKeyId": "alias/k"}}, "take kmsKeyId out"),
        ("InteractiveCommands", of_commands("true"), {"inputs": {"kmsKeyId": "alias/k"}}, "kmsKeyId"),
    ],
)
def test_a_session_that_cannot_be_is_refused_with_its_reason(gateway, agent, kind, properties, more, words):
    started = gateway.start(kind, properties, **more)
    # Some are found out only when the client is there.
    client = Plugin(started)
    complete = gateway.completed(started["SessionId"], 60)
    assert complete["FinalTaskStatus"] == "Failed" and words in complete["Output"], complete
    assert words in client.ended()
    until("nothing is left of it", lambda: not session_processes(agent))


def test_an_order_that_comes_twice_begins_one_session(gateway, agent, way):
    shell = way.shell()
    shell.type_in("echo re''ady\n")
    shell.until("ready")
    content = {
        "DocumentName": "A-Test",
        "DocumentContent": {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}},
        "SessionId": shell.session,
        "Parameters": {},
    }
    gateway.control().say("interactive_shell", payloads.interactive_shell(content))
    shell.type_in("echo st''ill\n")
    shell.until("still")
    assert len(session_processes(agent)) == 1
    assert gateway.sessions[shell.session].agents == 1


def test_one_denial_of_its_data_channel_does_not_end_a_session(gateway, agent):
    gateway.creation = "denied"
    started = gateway.start("Standard_Stream")
    gateway.wait("it is denied", lambda: "CreateDataChannel" in gateway.calls)
    gateway.creation = 201
    shell = Plugin(started)
    shell.type_in("echo re''ady\n")
    shell.until("ready")


def test_sessions_beyond_the_limit_are_refused_and_the_others_go_on(gateway, agent, way):
    shells = [way.shell() for _ in range(4)]
    for shell in shells:
        shell.type_in("echo re''ady\n")
        shell.until("ready")
    refused = gateway.start("Standard_Stream")
    complete = gateway.completed(refused["SessionId"])
    assert complete["FinalTaskStatus"] == "Failed" and "session.limit" in complete["Output"]
    shells[0].type_in("exit\n")
    shells[0].ended()
    until("one is gone", lambda: len(session_processes(agent)) == 3)
    shells[1].type_in("echo st''ill\n")
    shells[1].until("still")


def test_the_end_of_a_session_is_told_until_it_is_acknowledged(gateway, way):
    shell = way.shell()
    shell.type_in("echo re''ady\n")
    shell.until("ready")
    gateway.unacknowledged = 2
    shell.type_in("exit\n")
    shell.ended()
    gateway.wait("it has been told three times", lambda: gateway.unacknowledged == 0)
    gateway.wait("and acknowledged", lambda: len(gateway.sessions[shell.session].complete) >= 3)
    frames = [frame for control in gateway.controls for frame in control.heard("agent_task_complete")]
    assert len({frame.id for frame in frames}) == 1
    assert [frame.json["RetryNumber"] for frame in frames] == sorted(
        frame.json["RetryNumber"] for frame in frames
    )


def test_messages_that_are_none_do_a_session_no_harm(gateway, way):
    shell = way.shell()
    shell.type_in("echo re''ady\n")
    shell.until("ready")
    socket = gateway.sessions[shell.session].agent

    def frame(kind: str, payload: bytes, **more) -> bytes:
        return Frame(kind, payload, **more).bytes()

    good = frame(FROM_CLIENT, b"x", type=codec.OUTPUT, sequence=5)
    broken = [
        b"",
        b"\0" * 120,
        good[:60],
        good[:119],
        b"\xff\xff\xff\xff" + good[4:],
        frame("agent_weather", b"{}"),
        frame("acknowledge", b"{"),
        frame("acknowledge", payloads.acknowledge("output_stream_data", "x", 10**15)),
        frame("acknowledge", payloads.acknowledge("output_stream_data", "x", -1)),
        frame(FROM_CLIENT, b"early", type=codec.OUTPUT, sequence=2**62),
        frame(FROM_CLIENT, b"late", type=codec.OUTPUT, sequence=-1),
        frame(FROM_CLIENT, b"{", type=codec.HANDSHAKE_RESPONSE, sequence=10**9),
    ]
    for raw in broken:
        socket.send(raw)
    # In their turn, too.
    for kind, payload in [(codec.SIZE, b"{"), (codec.FLAG, b"\0"), (999, b"?"), (codec.STDERR, b"?")]:
        shell.send(kind, payload)
    shell.type_in("echo st''ill\n")
    shell.until("still")


def test_messages_that_come_much_too_early_are_not_all_kept(gateway, agent, way):
    shell = way.shell()
    shell.type_in("echo re''ady\n")
    shell.until("ready")
    socket = gateway.sessions[shell.session].agent
    (process,) = session_processes(agent)
    # The client's own numbers are far behind.
    shell.knows_its_numbers = False
    for number in range(20_000):
        words = Frame(FROM_CLIENT, b"x" * 1024, type=codec.OUTPUT, sequence=1000 + number)
        socket.send(words.bytes())
    shell.type_in("echo st''ill\n")
    shell.until("still", 60)
    resident = processes_memory(process.pid)
    assert resident < 40_000, f"{resident} kB: twenty megabytes were sent"


def processes_memory(pid: int) -> int:
    """Anonymous memory of a process, kB."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["RssAnon"].split()[0])


def test_a_paused_agent_sends_nothing_until_it_is_told_to(gateway, way):
    shell = way.shell()
    shell.type_in("(sleep 2; echo la''ter) & echo re''ady\n")
    shell.until("ready")
    socket = gateway.sessions[shell.session].agent
    # What has been shown is acknowledged, and each acknowledgement would end the pause.
    time.sleep(1)
    socket.send(Frame("pause_publication").bytes())
    time.sleep(3)
    assert b"later" not in shell.output
    socket.send(Frame("start_publication").bytes())
    shell.until("later")


def test_a_client_that_cannot_do_what_is_asked_ends_the_session(gateway, agent):
    started = gateway.start("NonInteractiveCommands", of_commands("echo never"))

    class Unable(Plugin):
        def _shake_hands(self, request: dict) -> None:
            self.send(codec.HANDSHAKE_RESPONSE, payloads.handshake_response(3, "too old"))

    client = Unable(started)
    assert "too old" in client.ended()
    assert gateway.completed(started["SessionId"])["FinalTaskStatus"] == "Failed"
    assert not client.output


def test_a_parameter_stands_where_the_document_says(gateway, agent):
    document = {
        "schemaVersion": "1.0",
        "sessionType": "InteractiveCommands",
        "parameters": {"word": {"type": "String", "default": "nothing"}, "other": {"type": "String"}},
        "properties": of_commands("echo '{{ word }}' {{other}}"),
    }
    started = gateway.start("InteractiveCommands", DocumentContent=document, Parameters={"other": "given"})
    Plugin(started).until("nothing given")


def test_a_shell_profile_is_typed_first(gateway, agent):
    profile = {"shellProfile": {"linux": "echo pro''file; cd /", "windows": "dir"}}
    shell = Plugin(gateway.start("Standard_Stream", inputs=profile))
    shell.until("profile")
    shell.type_in("pwd | sed s/^/at:/\n")
    shell.until("at:/\r")


def test_a_session_s_order_is_not_in_anybody_s_command_line(gateway, agent, way):
    session = way.interactive("read line; echo secret-word-in-the-order")
    session.type_in("\n")
    session.until("secret-word-in-the-order")
    for process in session_processes(agent):
        assert "secret-word" not in json.dumps(process.argv)
