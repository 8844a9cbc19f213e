"""The agent against a server of another make, which checks every signature and every message: commands over
the control channel, on which acknowledgements get lost, things come twice, and sockets break."""

import json
import uuid

import pytest

from harness.agent import Agent
from harness.mgs.server import Server, content
from harness.wait import until

ACTIVATION = {"ActivationId": str(uuid.uuid4()), "ActivationCode": "12345678901234567890"}


@pytest.fixture
def server():
    """A server that has nothing but one node and its channels."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def stint(server, new_agent) -> Agent:
    """The agent, running."""
    agent = new_agent()
    agent.register(server, ACTIVATION)
    return agent.start()


def outputs(server, job: str) -> list[str]:
    """What the steps of a job have printed, by each reply that has steps."""
    steps = [answer["runtimeStatus"] or {} for answer in server.answers(job)]
    return [step["standardOutput"] for each in steps for step in each.values()]


def test_a_command_is_acknowledged_run_and_reported(server, stint):
    control = server.control()
    assert control.node == stint.node
    job = server.job("echo hello; echo oops >&2; exit 3")
    outcome = server.outcome(job)
    assert outcome["documentStatus"] == "Failed"
    (step,) = outcome["runtimeStatus"].values()
    assert (step["code"], step["standardOutput"]) == (3, "hello\n")
    assert step["standardError"].startswith("oops\n")
    (ack,) = server.acks(job)
    assert (ack["statusCode"], ack["errorMessage"]) == ("200", "Successful")
    # A command that comes this way is told of this way.
    assert not server.replies
    assert "SendReply" not in server.calls and "AcknowledgeMessage" not in server.calls


def test_commands_run_in_the_order_in_which_they_came(server, stint, home):
    server.control()
    log = home / "ran"
    jobs = [server.job(f"echo {number} >> {log}") for number in range(8)]
    for job in jobs:
        assert server.outcome(job)["documentStatus"] == "Success"
        assert server.acks(job)[0]["statusCode"] == "200"
    assert sorted(log.read_text().split()) == [str(number) for number in range(8)]
    taken = [frame.json["jobId"] for frame in server.controls[-1].heard("agent_job_ack")]
    assert taken == jobs


def test_a_message_in_fragments_is_read(server, stint):
    server.control()
    assert server.outcome(server.job("echo " + "x" * 5000, pieces=7))["documentStatus"] == "Success"


def test_a_job_that_comes_three_times_runs_once(server, stint, home):
    control = server.control()
    log, command = home / "ran", str(uuid.uuid4())
    jobs = {server.job(f"echo x >> {log}", ident=command) for _ in range(3)}
    (job,) = jobs
    server.outcome(job)
    server.wait("each is acknowledged", lambda: len(server.acks(job)) == 3)
    assert {ack["statusCode"] for ack in server.acks(job)} <= {"200", "51405"}
    control.cut()
    server.control(older=control)
    server.job(f"echo x >> {log}", ident=command)
    server.wait("it is acknowledged again", lambda: len(server.acks(job)) == 4)
    assert log.read_text() == "x\n"


def test_replies_that_nobody_acknowledges_come_again_with_their_ids(server, stint):
    server.control()
    server.unacknowledged = 3
    job = server.job("echo once")
    assert server.outcome(job)["documentStatus"] == "Success"
    server.wait("all are acknowledged", lambda: server.unacknowledged == 0)
    frames = [frame for control in server.controls for frame in control.heard("agent_job_reply")]
    idents = [frame.id for frame in frames]
    assert len(set(idents)) < len(idents), "one came again"
    # The same id is the same reply, but for the time at which it was written.
    said = {frame.id: set() for frame in frames}
    for frame in frames:
        words = json.loads(frame.json["content"])
        said[frame.id].add((words["documentStatus"], json.dumps(words["runtimeStatus"])))
    assert all(len(contents) == 1 for contents in said.values())


def test_what_was_run_while_the_channel_was_cut_is_told_all_the_same(server, stint, home):
    control = server.control()
    gate = home / "gate"
    job = server.job(f"while [ ! -e {gate} ]; do sleep 0.1; done; echo through")
    server.wait("it is taken", lambda: server.acks(job))
    control.cut()
    gate.touch()
    # Or in between, by the other way.
    assert server.outcome(job)["documentStatus"] == "Success"
    newer = server.control(older=control)
    assert newer.opening["TokenValue"] != control.opening["TokenValue"]
    assert newer.opening["RequestId"] != control.opening["RequestId"]


def test_channels_that_break_again_and_again_lose_no_command(server, stint, home):
    log, jobs, control = home / "ran", [], None
    for number in range(4):
        # The pauses before the next channel grow.
        control = server.control(older=control, patience=90)
        jobs.append(server.job(f"echo {number} >> {log}"))
        server.wait("it is taken", lambda: server.acks(jobs[-1]))
        control.cut()
    for job in jobs:
        assert server.outcome(job)["documentStatus"] == "Success"
    assert sorted(log.read_text().split()) == list("0123")


def test_a_cancelled_command_is_reported_as_such(server, stint, home):
    server.control()
    begun = home / "begun"
    job = server.job(f"touch {begun}; sleep 600")
    until("it runs", begun.exists)
    cancel = server.cancel(job)
    assert server.outcome(job)["documentStatus"] == "Cancelled"
    assert server.acks(cancel)[0]["statusCode"] == "200"
    # Of the cancellation itself nothing final is said.
    assert {answer["documentStatus"] for answer in server.answers(cancel)} <= {"InProgress"}


def test_a_topic_that_nobody_knows_is_refused_by_its_number_and_the_channel_goes_on(server, stint):
    control = server.control()
    job = f"aws.ssm.{uuid.uuid4()}.{stint.node}"
    words = {"Content": "{}", "JobId": job, "Topic": "aws.ssm.brewCoffee.x", "SchemaVersion": 1}
    control.say("agent_job", json.dumps(words).encode())
    server.wait("it is refused", lambda: server.acks(job))
    assert [ack["statusCode"] for ack in server.acks(job)] == ["51408"]
    # Neither is any of these a reason to give up the channel.
    control.say("agent_job", b"{")
    control.say("agent_weather", b"{}")
    control.say("agent_task_acknowledge", b"{}")
    control.say("agent_job_reply_ack", b'{"jobId":"x","acknowledgedMessageId":"y"}')
    control.socket.send(b"no message at all")
    control.socket.send(b"")
    assert server.outcome(server.job("true"))["documentStatus"] == "Success"
    assert server.controls == [control]


@pytest.mark.parametrize("how", ["denied", 404, 200])
def test_without_a_channel_it_polls_and_with_one_it_does_not(server, new_agent, how):
    server.creation = how
    agent = new_agent()
    agent.register(server, ACTIVATION)
    agent.start()
    server.wait("it polls", lambda: "GetMessages" in server.calls)
    command = str(uuid.uuid4())
    polled = {
        "CreatedDate": "2026-11-22T08:20:04.365Z",
        "MessageId": f"aws.ssm.{command}.{agent.node}",
        "Payload": json.dumps(content(command, "echo polled")),
        "Topic": f"aws.ssm.sendCommand.{agent.node}",
    }
    server.messages.append(polled)
    ended = lambda: [r for r in server.replies if '"documentStatus":"Success"' in r["Payload"]]  # noqa: E731
    server.wait("it is reported", ended, 60)
    assert server.messages == [] and server.controls == []
    server.creation = 201
    # It tries again by itself, less and less often.
    server.control(patience=120)
    job = server.job("echo pushed")
    assert server.outcome(job)["documentStatus"] == "Success"
    before = server.calls.count("GetMessages")
    for _ in range(3):
        server.outcome(server.job("sleep 1"))
    assert server.calls.count("GetMessages") == before


def test_the_same_command_by_poll_and_by_channel_runs_once(server, new_agent, home):
    server.creation = 404
    agent = new_agent()
    agent.register(server, ACTIVATION)
    agent.start()
    log, command = home / "ran", str(uuid.uuid4())
    lines = f"echo x >> {log}; sleep 2"
    server.messages.append(
        {
            "CreatedDate": "2026-11-22T08:20:04.365Z",
            "MessageId": f"aws.ssm.{command}.{agent.node}",
            "Payload": json.dumps(content(command, lines)),
            "Topic": f"aws.ssm.sendCommand.{agent.node}",
        }
    )
    until("it runs", log.exists)
    server.creation = 201
    server.control(patience=120)
    job = server.job(lines, ident=command)
    server.wait("it is acknowledged", lambda: server.acks(job))
    assert server.outcome(server.job("true"))["documentStatus"] == "Success"
    assert log.read_text() == "x\n"
