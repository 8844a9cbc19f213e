"""The agent's control channel, against a server of its own for it. The rest it has with the real hub."""

import json
import uuid

import pytest

from harness.channelserver import ChannelServer
from harness.clients import finished, shell, wait_until_online
from harness.tap import Tap
from harness.wait import until


@pytest.fixture
def gateway():
    """The server of channels."""
    gateway = ChannelServer()
    yield gateway
    gateway.close()


@pytest.fixture
def tap(hub):
    """The way to the hub, on which requests are seen."""
    tap = Tap(hub)
    yield tap
    tap.close()


@pytest.fixture
def start(tap, activate, new_agent, gateway, home):
    """Starts a registered agent whose channel is at the gateway."""

    def make(**config):
        agent = new_agent()
        agent.config = home / "agent.json"
        agent.config.write_text(json.dumps({"endpoints": {"ssmmessages": gateway.endpoint}, **config}))
        agent.register(tap, activate())
        return agent.start()

    return make


def _polls(tap) -> int:
    return len(tap.requests("GetMessages"))


def _command() -> str:
    return str(uuid.uuid4())


def test_a_command_comes_over_the_channel_and_its_replies_go_back(start, gateway, tap, client):
    agent = start()
    channel = gateway.channel()
    path, headers, body = gateway.posts[0]
    assert path == f"/v1/control-channel/{agent.node}"
    assert body["MessageSchemaVersion"] == "1.0" and uuid.UUID(body["RequestId"])
    headers = {name.lower(): value for name, value in headers.items()}
    assert "/ssmmessages/aws4_request" in headers["authorization"]
    assert channel.target == f"{path}?role=subscribe&stream=input"
    assert channel.opening["TokenValue"] == "token<&1"
    assert channel.opening["PlatformType"] == "linux" and channel.opening["Cookie"] is None
    command = _command()
    job = channel.job(agent.node, command, "echo hello", "exit 3")
    ack = channel.expect("agent_job_ack").payload
    assert (ack["acknowledgedMessageId"], ack["statusCode"]) == (job.id, "200")
    assert ack["jobId"] == f"aws.ssm.{command}.{agent.node}"
    last = channel.replies_to_the_end()[-1]
    assert last["documentStatus"] == "Failed"
    step = last["runtimeStatus"]["s"]
    assert (step["code"], step["standardOutput"]) == (3, "hello\n")
    # Nobody has polled for it.
    assert _polls(tap) == 0
    assert not tap.requests("SendReply") and not tap.requests("AcknowledgeMessage")


@pytest.mark.long
def test_the_health_report_says_by_which_way_commands_come(start, gateway, tap):
    start(healthIntervalMinutes=1)
    gateway.channel()
    said = lambda: [x["SSMConnectionChannel"] for x in tap.requests("UpdateInstanceInformation")]  # noqa: E731
    until("it says so", lambda: "ssmmessages" in said(), patience=120)


def test_a_reply_is_sent_again_until_it_is_acknowledged_also_over_the_next_channel(start, gateway):
    agent = start()
    channel = gateway.channel()
    channel.job(agent.node, _command(), "true")
    channel.expect("agent_job_ack")
    first = channel.expect("agent_job_reply")
    again = channel.expect("agent_job_reply")
    assert again.id == first.id
    channel.cut()
    said = gateway.channel().replies_to_the_end()
    assert said[-1]["documentStatus"] == "Success"


def test_a_job_that_comes_again_by_either_way_runs_once(start, gateway, client, tap, home):
    agent = start()
    channel = gateway.channel()
    command, ran = _command(), home / "ran"
    for _ in range(3):
        channel.job(agent.node, command, f"echo x >> {ran}; sleep 1")
    acks, status = 0, ""
    while acks < 3 or status != "Success":
        message = channel.arrived.get(timeout=60)
        acks += message.kind == "agent_job_ack"
        if message.kind == "agent_job_reply":
            channel.acknowledge(message)
            status = json.loads(message.payload["content"])["documentStatus"]
    again = channel.job(agent.node, command, f"echo x >> {ran}")
    ack = until("it is acknowledged", lambda: _ack_of(channel, again.id))
    assert ack["statusCode"] in ("200", "51405")
    assert ran.read_text() == "x\n"


def _ack_of(channel, ident: str) -> dict | None:
    message = channel.arrived.get(timeout=60)
    if message.kind == "agent_job_reply":
        channel.acknowledge(message)
    return message.payload if message.payload["acknowledgedMessageId"] == ident else None


def test_a_cancellation_over_the_channel_stops_the_command(start, gateway, home):
    agent = start()
    channel = gateway.channel()
    command, begun = _command(), home / "begun"
    channel.job(agent.node, command, f"touch {begun}; sleep 600")
    channel.expect("agent_job_ack")
    until("it runs", begun.exists)
    cancel = {"CancelMessageId": f"aws.ssm.{command}.{agent.node}"}
    sent = channel.say(agent.node, _command(), "aws.ssm.cancelCommand", cancel)
    seen, status = [], ""
    while status != "Cancelled" or sent.id not in seen:
        message = channel.arrived.get(timeout=60)
        if message.kind == "agent_job_reply":
            channel.acknowledge(message)
            status = json.loads(message.payload["content"])["documentStatus"]
        else:
            seen.append(message.payload["acknowledgedMessageId"])


def test_what_cannot_be_read_is_answered_and_the_channel_goes_on(start, gateway):
    agent = start()
    channel = gateway.channel()
    channel.send("agent_weather", {"Rain": True})
    channel.send("agent_job", {"Topic": "aws.ssm.sendCommand"})
    unknown = channel.say(agent.node, _command(), "aws.ssm.brewCoffee", {})
    ack = channel.expect("agent_job_ack").payload
    assert (ack["acknowledgedMessageId"], ack["statusCode"]) == (unknown.id, "51408")
    bad = channel.say(agent.node, _command(), "aws.ssm.sendCommand", {"DocumentName": "x"})
    assert channel.replies_to_the_end()[-1]["documentStatus"] == "Failed"
    assert channel.expect("agent_job_ack").payload["acknowledgedMessageId"] == bad.id
    channel.ping()
    channel.job(agent.node, _command(), "true")
    channel.expect("agent_job_ack")
    assert channel.replies_to_the_end()[-1]["documentStatus"] == "Success"


@pytest.mark.parametrize("how", ["denied", "absent", "refused", "closed"])
def test_without_a_channel_commands_are_polled_until_there_is_one(how, start, gateway, client, tap):
    denied = "<AccessDeniedException><Message>no</Message></AccessDeniedException>"
    gateway.refusal = {"denied": (400, denied), "absent": (404, "{}")}.get(how)
    gateway.websockets = how if gateway.refusal is None else ""
    agent = start()
    wait_until_online(client, agent.node)
    command = shell(client, [agent.node], "echo polled")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "polled\n"
    assert gateway.posts and _polls(tap)
    assert agent.status()[1]["links"][0]["online"]
    gateway.refusal, gateway.websockets = None, ""
    channel = gateway.channel(120)
    channel.job(agent.node, _command(), "true")
    channel.expect("agent_job_ack")
    assert channel.replies_to_the_end()[-1]["documentStatus"] == "Success"


def test_a_server_that_says_nothing_any_more_is_left_for_a_new_channel(start, gateway):
    """About a minute: a ping that isn't answered tells."""
    gateway.answers_pings = False
    agent = start()
    first = gateway.channel()
    gateway.channel(120)
    assert first.pings >= 1
    assert "the control channel was up for" in agent.logs()


def test_the_configuration_can_forbid_the_channel(start, gateway, client):
    agent = start(ssm={"controlChannel": False})
    wait_until_online(client, agent.node)
    command = shell(client, [agent.node], "true")
    assert finished(client, command, agent.node)["Status"] == "Success"
    assert gateway.posts == []


def test_a_job_that_was_taken_before_a_crash_is_reported_over_the_next_channel(start, gateway, home):
    agent = start()
    channel = gateway.channel()
    gate = home / "gate"
    channel.job(agent.node, _command(), f"while [ ! -e {gate} ]; do sleep 0.1; done")
    channel.expect("agent_job_ack")
    until("it runs", agent.workers)
    agent.kill()
    gate.touch()
    agent.start()
    assert gateway.channel().replies_to_the_end()[-1]["documentStatus"] == "Success"


def test_a_session_that_cannot_be_started_is_refused_and_said_so(start, gateway):
    start()
    channel = gateway.channel()
    content = {"DocumentContent": {"schemaVersion": "1.0", "sessionType": "Weather"}, "SessionId": "s-1"}
    channel.send("interactive_shell", {"Content": json.dumps(content), "TaskId": "s-1"})
    complete = channel.expect("agent_task_complete")
    assert (complete.payload["TaskId"], complete.payload["FinalTaskStatus"]) == ("s-1", "Failed")
    again = channel.expect("agent_task_complete")
    assert again.id == complete.id
    words = {"SchemaVersion": 1, "MessageId": again.id, "TaskId": "s-1", "Topic": "agent_task_complete"}
    channel.send("agent_task_acknowledge", words)
    channel.send("channel_closed", {"SessionId": "s-1"})
