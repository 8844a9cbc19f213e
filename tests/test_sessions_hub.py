"""The hub carries sessions between an operator's plugin and a node, in order, and knows who was where."""

import json
import threading

import pytest
import websocket

from harness.clients import boto3_client, error_code
from harness.hub import read_credentials
from harness.mgs import agent as gateway
from harness.mgs import bare, codec
from harness.mgs.agent import Control
from harness.mgs.codec import Frame
from harness.mgs.line import PATIENCE
from harness.original import OriginalAgent
from harness.wait import until

SHELL = "SSM-SessionManagerRunShell"


@pytest.fixture
def channel(hub, node) -> Control:
    """The control channel of the simulated node."""
    return gateway.control(node)


@pytest.fixture
def start(client, node, channel):
    """Starts sessions: the answer to the client, and both ends."""

    def make(**more) -> tuple[dict, bare.Bare, bare.Bare]:
        answer = client.start_session(Target=node.node, **more)
        operator = bare.plugin(answer)
        order = channel.expect("interactive_shell").json
        assert json.loads(order["Content"])["SessionId"] == answer["SessionId"]
        agent = bare.agent_end(node, answer["SessionId"])
        until("both are here", lambda: shown(client, answer)["Status"] == "Connected")
        # The client was there first, so the agent is told that it may speak.
        agent.expect("start_publication")
        return answer, operator, agent

    return make


def shown(client, answer: dict) -> dict:
    """What DescribeSessions says of a session."""
    filters = [{"key": "SessionId", "value": answer["SessionId"]}]
    for state in ("Active", "History"):
        found = client.describe_sessions(State=state, Filters=filters)["Sessions"]
        if found:
            return found[0]
    raise AssertionError(f"{answer['SessionId']} is not known")


def test_a_node_is_told_of_a_session_as_the_original_reads_it(client, node, channel):
    answer = client.start_session(
        Target=node.node,
        DocumentName="AWS-StartPortForwardingSessionToRemoteHost",
        Parameters={"portNumber": ["5432"], "host": ["db.internal"]},
    )
    order = channel.expect("interactive_shell").json
    assert order["TaskId"] == answer["SessionId"]
    content = json.loads(order["Content"])
    assert content["DocumentName"] == "AWS-StartPortForwardingSessionToRemoteHost"
    assert content["SessionId"] == answer["SessionId"]
    assert content["Parameters"] == {"portNumber": "5432", "host": "db.internal", "localPortNumber": "0"}
    document = content["DocumentContent"]
    assert (document["schemaVersion"], document["sessionType"]) == ("1.0", "Port")
    assert document["properties"]["type"] == "LocalPortForwarding"
    place = node.endpoint.replace("http://", "ws://")
    path = f"/v1/data-channel/{answer['SessionId']}?role=publish_subscribe"
    assert answer["StreamUrl"] == place + path


def test_what_goes_through_is_the_same_and_in_order(client, start):
    _, operator, agent = start()
    said = [operator.type(b"ls\n"), operator.type(b"\x00" * 1024, codec.SIZE)]
    assert [agent.expect("input_stream_data").bytes() for _ in said] == [frame.bytes() for frame in said]
    acknowledged = agent.acknowledge(said[0])
    assert operator.expect("acknowledge").bytes() == acknowledged.bytes()
    lines = [agent.show(f"line {n}\n".encode()) for n in range(300)]
    for line in lines:
        assert operator.expect("output_stream_data").bytes() == line.bytes()


def test_a_client_that_reads_slowly_gets_everything_whole_and_slows_the_agent_down(client, start):
    _, operator, agent = start()
    # More than the system's own buffers hold on both ways.
    count, size = 4096, 16 * 1024
    sent = threading.Event()

    def speak() -> None:
        for n in range(count):
            agent.show(bytes([n % 251]) * size)
        sent.set()

    threading.Thread(target=speak, daemon=True).start()
    # Nobody reads: the agent's line fills up instead of the hub's memory.
    assert not sent.wait(2)
    for n in range(count):
        frame = operator.expect("output_stream_data")
        assert (frame.sequence, frame.payload) == (n, bytes([n % 251]) * size)
    assert sent.wait(PATIENCE)


def test_a_slow_client_gets_the_last_output_of_a_session_that_is_over(client, channel, start):
    answer, operator, agent = start()
    count, size = 4096, 16 * 1024

    def speak() -> None:
        for n in range(count):
            agent.show(bytes([n % 251]) * size)
        agent.cut()

    speaking = threading.Thread(target=speak, daemon=True)
    speaking.start()
    speaking.join(2)
    assert speaking.is_alive(), "nobody reads, so most of it still waits at the agent"
    channel.complete(answer["SessionId"])
    # As long as the hub waits for the last word of an agent that is silent.
    speaking.join(6)
    for n in range(count):
        frame = operator.expect("output_stream_data")
        assert (frame.sequence, frame.payload) == (n, bytes([n % 251]) * size)
    assert operator.expect("channel_closed").json["SessionId"] == answer["SessionId"]
    assert operator.closed()


def test_a_client_can_not_speak_for_the_hub_or_the_agent(client, node, channel, start):
    _, operator, agent = start()
    for kind in ["channel_closed", "pause_publication", "output_stream_data", "agent_session_state"]:
        operator.say(kind, {"SessionState": "Terminating"})
    agent.say("channel_closed", {})
    operator.type(b"x")
    assert agent.expect("input_stream_data").payload == b"x"
    agent.show(b"y")
    assert operator.expect("output_stream_data").payload == b"y"


def test_a_session_that_the_shell_ends_ends_for_the_client_after_its_last_output(
    client, node, channel, start
):
    answer, operator, agent = start(Reason="ticket 7")
    agent.show(b"logout\n")
    agent.state(answer["SessionId"], "Terminating")
    last = operator.expect("output_stream_data")
    # What it acknowledges now still arrives.
    operator.acknowledge(last)
    closed = operator.expect("channel_closed").json
    assert (closed["SessionId"], closed["Output"]) == (answer["SessionId"], "")
    assert operator.closed()
    assert agent.expect("acknowledge").json["AcknowledgedMessageId"] == last.id
    channel.complete(answer["SessionId"])
    session = shown(client, answer)
    assert (session["Status"], session["Reason"]) == ("Terminated", "ticket 7")
    assert session["EndDate"] >= session["StartDate"]
    assert channel.silent(1), "the node ended it itself, and is not told to"


def test_a_session_that_fails_says_why(client, node, channel):
    answer = client.start_session(Target=node.node)
    operator = bare.plugin(answer)
    channel.expect("interactive_shell")
    channel.complete(answer["SessionId"], "Failed", "no such user")
    assert operator.expect("channel_closed").json["Output"] == "no such user"
    session = shown(client, answer)
    assert (session["Status"], session["Details"]) == ("Failed", "no such user")
    # The original says so twice.
    channel.complete(answer["SessionId"], "Failed", "once more")
    assert shown(client, answer)["Details"] == "no such user"


def test_a_client_that_comes_after_its_session_has_failed_hears_why(hub, client, node, channel):
    answer = client.start_session(Target=node.node)
    channel.expect("interactive_shell")
    channel.complete(answer["SessionId"], "Failed", "no such user")
    until("it is over", lambda: shown(client, answer)["Status"] == "Failed")
    assert bare.plugin(answer, "wrong").closed()
    operator = bare.plugin(answer)
    assert operator.expect("channel_closed").json["Output"] == "no such user"
    assert operator.closed()
    # Once, and only as long as its token is good.
    assert bare.plugin(answer).closed()
    hub.pretend("UPDATE session SET ended_at = ended_at - 60000 WHERE id = ?", answer["SessionId"])
    with pytest.raises(websocket.WebSocketBadStatusException):
        bare.plugin(answer)
    assert shown(client, answer)["Status"] == "Failed"


def test_terminate_session_tells_both_ends(client, node, channel, start):
    answer, operator, agent = start()
    assert client.terminate_session(SessionId=answer["SessionId"])["SessionId"] == answer["SessionId"]
    for end in (operator, agent):
        assert end.expect("channel_closed").json["SessionId"] == answer["SessionId"]
    told = channel.expect("channel_closed").json
    assert told["SessionId"] == answer["SessionId"] and told["CreatedDate"].endswith("Z")
    assert shown(client, answer)["Status"] == "Terminating"
    channel.complete(answer["SessionId"])
    assert shown(client, answer)["Status"] == "Terminated"
    assert error_code(client.resume_session, SessionId=answer["SessionId"]) == "DoesNotExistException"


def test_a_lost_client_resumes_and_the_agent_pauses_meanwhile(client, start):
    answer, operator, agent = start()
    agent.show(b"one")
    operator.expect("output_stream_data")
    operator.cut()
    agent.expect("pause_publication")
    agent.show(b"two")
    until("it is missed", lambda: shown(client, answer)["Status"] == "Disconnected")
    resumed = client.resume_session(SessionId=answer["SessionId"])
    # The plugin uses the first answer's URL with the new token.
    newer = bare.plugin({**answer, "TokenValue": resumed["TokenValue"]})
    agent.expect("start_publication")
    assert newer.expect("output_stream_data").payload == b"two"
    newer.said = operator.said
    newer.type(b"back")
    assert agent.expect("input_stream_data").payload == b"back"
    assert shown(client, answer)["Status"] == "Connected"


def test_a_command_without_a_terminal_is_never_paused(client, node, channel):
    answer = client.start_session(
        Target=node.node, DocumentName="AWS-StartNonInteractiveCommand", Parameters={"command": ["true"]}
    )
    operator = bare.plugin(answer)
    channel.expect("interactive_shell")
    agent = bare.agent_end(node, answer["SessionId"])
    operator.type(b"x")
    agent.expect("input_stream_data")
    operator.cut()
    # A pause would end the original's command.
    assert agent.silent(2)


def test_an_agent_that_comes_again_hears_the_acknowledgements_that_a_cut_has_swallowed(client, node, start):
    answer, operator, agent = start()
    shown_frame = agent.show(b"one")
    ack = operator.acknowledge(operator.expect("output_stream_data"))
    agent.cut()
    newer = bare.agent_end(node, answer["SessionId"])
    heard = newer.expect("acknowledge")
    assert heard.bytes() == ack.bytes()
    assert heard.json["AcknowledgedMessageId"] == shown_frame.id
    operator.type(b"still there")
    while (frame := newer.expect("input_stream_data", "acknowledge")).kind == "acknowledge":
        pass
    assert frame.payload == b"still there"


def test_the_newest_of_two_clients_has_the_session(client, start):
    answer, operator, agent = start()
    token = client.resume_session(SessionId=answer["SessionId"])["TokenValue"]
    newer = bare.plugin(answer, token)
    assert operator.closed()
    agent.expect("start_publication")
    agent.show(b"hello")
    assert newer.expect("output_stream_data").payload == b"hello"


def test_a_token_opens_its_session_once_and_nothing_else(client, node, channel, start):
    answer, _, agent = start()
    other = client.start_session(Target=node.node)
    for token in ["", "wrong", answer["TokenValue"], other["TokenValue"]]:
        assert bare.plugin(answer, token).closed()
    # The client's token is none of the agent's.
    words = {"TokenValue": other["TokenValue"], "ClientInstanceId": node.node}
    path = f"data-channel/{other['SessionId']}?role=publish_subscribe"
    assert gateway.dial(node, path, words).closed()
    agent.show(b"undisturbed")


def test_a_session_is_its_node_s_own(hub, client, activate, node, channel):
    other = OriginalAgent(hub.endpoint, hub.region).come_online(activate())
    answer = client.start_session(Target=node.node)
    path = f"data-channel/{answer['SessionId']}"
    status, body = gateway.create(other, path)
    assert status == 400 and "AccessDeniedException" in body
    with pytest.raises(websocket.WebSocketBadStatusException):
        gateway.dial(other, f"{path}?role=publish_subscribe", None)
    status, body = gateway.create(node, "data-channel/no-such")
    assert status == 404 and "Session is already terminated" in body
    with pytest.raises(websocket.WebSocketBadStatusException):
        bare.plugin({**answer, "StreamUrl": answer["StreamUrl"].replace(answer["SessionId"], "none")})
    # Another node's word about it counts for nothing.
    others = gateway.control(other)
    others.complete(answer["SessionId"])
    assert shown(client, answer)["Status"] == "Connecting"


def test_sessions_of_a_node_start_one_after_the_other(client, node, channel):
    answers = [client.start_session(Target=node.node) for _ in range(3)]
    for answer in answers:
        assert channel.expect("interactive_shell").json["TaskId"] == answer["SessionId"]
        assert channel.silent(1)
        bare.agent_end(node, answer["SessionId"])


def test_a_session_that_is_not_taken_up_is_announced_again(client, node, channel):
    answer = client.start_session(Target=node.node)
    for _ in range(2):
        assert channel.expect("interactive_shell").json["TaskId"] == answer["SessionId"]


def test_an_idle_session_ends_and_both_are_told(hub, client, channel, start):
    answer, operator, agent = start()
    hub.pretend("UPDATE session SET idle_seconds = 1 WHERE id = ?", answer["SessionId"])
    assert "idle" in operator.expect("channel_closed").json["Output"]
    assert agent.expect("channel_closed") and channel.expect("channel_closed")
    assert "idle" in shown(client, answer)["Details"]


def test_a_session_ends_at_its_maximum_however_busy_it_is(hub, client, channel, start):
    answer, operator, _ = start()
    hub.pretend("UPDATE session SET longest_seconds = 1 WHERE id = ?", answer["SessionId"])
    operator.type(b"busy")
    assert "maximum" in operator.expect("channel_closed").json["Output"]


def test_a_session_survives_a_restart_of_the_hub(hub, client, node, channel, start):
    answer, operator, agent = start()
    hub.kill()
    assert operator.closed() and agent.closed()
    hub.start()
    client = boto3_client(hub)
    gateway.control(node)
    newer_agent = bare.agent_end(node, answer["SessionId"])
    resumed = client.resume_session(SessionId=answer["SessionId"])
    newer = bare.plugin({**answer, "TokenValue": resumed["TokenValue"]})
    newer_agent.expect("start_publication")
    newer_agent.show(b"as before")
    assert newer.expect("output_stream_data").payload == b"as before"


def test_a_stopping_hub_lets_its_sessions_go(hub, start):
    _, operator, agent = start()
    assert hub.stop() == 0
    assert operator.closed() and agent.closed()


def test_every_session_is_on_record_with_who_where_why_and_how_much(hub, client, node, channel, start):
    answer, operator, agent = start(Reason="look\tat it")
    operator.type(b"12345")
    agent.expect("input_stream_data")
    agent.show(b"123")
    # What is sent again counts once.
    agent.said = 0
    agent.show(b"123")
    operator.expect("output_stream_data")
    client.terminate_session(SessionId=answer["SessionId"])
    channel.expect("channel_closed")
    channel.complete(answer["SessionId"])
    (line,) = hub.session("list").splitlines()
    fields = line.split("\t")
    key = hub.credentials()[0]
    assert fields[0] == answer["SessionId"]
    assert fields[3:9] == [
        "Terminated",
        f"arn:aws:iam::000000000000:user/{key}",
        node.node,
        SHELL,
        "5",
        "3",
    ]
    assert fields[9:] == ["look at it", f"{key} terminated the session.", "-"]


def test_with_a_rule_only_what_it_allows_is_open(hub, client, node, channel):
    key, secret = read_credentials(hub.access_key("create"))
    other = boto3_client(hub, key=(key, secret))
    assert other.start_session(Target=node.node)["SessionId"].startswith(key)
    hub.session("allow", key, "--documents", "AWS-Start*", "--where", "tag:site=berlin")
    ssh = {"Target": node.node, "DocumentName": "AWS-StartSSHSession"}
    assert error_code(other.start_session, Target=node.node) == "AccessDeniedException"
    assert error_code(other.start_session, **ssh) == "AccessDeniedException"
    assert error_code(client.start_session, Target=node.node) == "AccessDeniedException"
    tag = {"Key": "site", "Value": "berlin"}
    client.add_tags_to_resource(ResourceType="ManagedInstance", ResourceId=node.node, Tags=[tag])
    assert other.start_session(**ssh)["SessionId"]
    assert hub.session("rules") == f"{key}\tdefault\tAWS-Start*\ttag:site=berlin\n"
    hub.session("forbid", key)
    assert client.start_session(Target=node.node)["SessionId"]


def test_a_session_is_resumed_by_the_key_that_opened_it_alone(hub, client, node, channel):
    other = boto3_client(hub, key=read_credentials(hub.access_key("create")))
    answer = client.start_session(Target=node.node)
    assert error_code(other.resume_session, SessionId=answer["SessionId"]) == "AccessDeniedException"
    # Whoever may deregister the node may also end what runs on it.
    other.terminate_session(SessionId=answer["SessionId"])
    assert error_code(client.resume_session, SessionId=answer["SessionId"]) == "DoesNotExistException"


def test_a_session_ends_with_the_key_that_opened_it(hub, client, node, channel):
    key, secret = read_credentials(hub.access_key("create"))
    answer = boto3_client(hub, key=(key, secret)).start_session(Target=node.node)
    operator = bare.plugin(answer)
    channel.expect("interactive_shell")
    hub.access_key("delete", key)
    assert "deleted" in operator.expect("channel_closed").json["Output"]


def test_a_session_ends_with_its_node(client, node, start):
    answer, operator, agent = start()
    client.deregister_managed_instance(InstanceId=node.node)
    assert "deregistered" in operator.expect("channel_closed").json["Output"]
    assert agent.expect("channel_closed")
    assert shown(client, answer)["Status"] == "Terminated"


def test_the_cli_without_the_plugin_ends_the_session_that_it_has_started(hub, aws, client, node, channel):
    error = aws.fails("start-session", "--target", node.node)
    assert "SessionManagerPlugin is not found" in str(error)
    (session,) = (
        client.describe_sessions(State="History")["Sessions"]
        or client.describe_sessions(State="Active")["Sessions"]
    )
    assert session["Status"] in ("Terminated", "Terminating")
    assert "terminated" in session["Details"]


def test_the_cli_hears_that_a_node_is_not_connected(aws, node):
    assert aws("get-connection-status", "--target", node.node)["Status"] == "notconnected"
    assert "TargetNotConnected" in str(aws.fails("start-session", "--target", node.node))
    channel = gateway.control(node)
    assert aws("get-connection-status", "--target", node.node)["Status"] == "connected"
    channel.cut()


def test_a_message_that_is_none_disturbs_nobody(start):
    _, operator, agent = start()
    for end in (operator, agent):
        end.socket.send_binary(b"")
        end.socket.send_binary(b"\xff" * 200)
        end.send(Frame("what_is_this", b"{"))
    operator.type(b"x")
    assert agent.expect("input_stream_data").payload == b"x"
