"""The agent against a server of another make, which checks every signature and every message: commands over
the control channel, on which acknowledgements get lost, things come twice, and sockets break."""

import json
import uuid

import pytest

from harness.agent import Agent
from harness.mgs import payloads
from harness.mgs.ways import ACTIVATION
from harness.wait import until


@pytest.fixture
def stint(gateway, new_agent) -> Agent:
    """The agent, running."""
    agent = new_agent()
    agent.register(gateway, ACTIVATION)
    return agent.start()


def outputs(gateway, job: str) -> list[str]:
    """What the steps of a job have printed, by each reply that has steps."""
    steps = [answer["runtimeStatus"] or {} for answer in gateway.answers(job)]
    return [step["standardOutput"] for each in steps for step in each.values()]


def test_a_command_is_acknowledged_run_and_reported(gateway, stint):
    control = gateway.control()
    assert control.node == stint.node
    job = gateway.job("echo hello; echo oops >&2; exit 3")
    outcome = gateway.outcome(job)
    assert outcome["documentStatus"] == "Failed"
    (step,) = outcome["runtimeStatus"].values()
    assert (step["code"], step["standardOutput"]) == (3, "hello\n")
    assert step["standardError"].startswith("oops\n")
    (ack,) = gateway.acks(job)
    assert (ack["statusCode"], ack["errorMessage"]) == ("200", "Successful")
    # A command that comes this way is told of this way.
    assert not gateway.replies
    assert "SendReply" not in gateway.calls and "AcknowledgeMessage" not in gateway.calls


def test_commands_run_in_the_order_in_which_they_came(gateway, stint, home):
    gateway.control()
    log = home / "ran"
    jobs = [gateway.job(f"echo {number} >> {log}") for number in range(8)]
    for job in jobs:
        assert gateway.outcome(job)["documentStatus"] == "Success"
        assert gateway.acks(job)[0]["statusCode"] == "200"
    assert sorted(log.read_text().split()) == [str(number) for number in range(8)]
    taken = [frame.json["jobId"] for frame in gateway.controls[-1].heard("agent_job_ack")]
    assert taken == jobs


def test_a_message_in_fragments_is_read(gateway, stint):
    gateway.control()
    assert gateway.outcome(gateway.job("echo " + "x" * 5000, pieces=7))["documentStatus"] == "Success"


def test_a_job_that_comes_three_times_runs_once(gateway, stint, home):
    control = gateway.control()
    log, command = home / "ran", str(uuid.uuid4())
    jobs = {gateway.job(f"echo x >> {log}", ident=command) for _ in range(3)}
    (job,) = jobs
    gateway.outcome(job)
    gateway.wait("each is acknowledged", lambda: len(gateway.acks(job)) == 3)
    assert {ack["statusCode"] for ack in gateway.acks(job)} <= {"200", "51405"}
    control.cut()
    gateway.control(older=control)
    gateway.job(f"echo x >> {log}", ident=command)
    gateway.wait("it is acknowledged again", lambda: len(gateway.acks(job)) == 4)
    assert log.read_text() == "x\n"


def test_replies_that_nobody_acknowledges_come_again_with_their_ids(gateway, stint):
    gateway.control()
    gateway.unacknowledged = 3
    job = gateway.job("echo once")
    assert gateway.outcome(job)["documentStatus"] == "Success"
    gateway.wait("all are acknowledged", lambda: gateway.unacknowledged == 0)
    frames = [frame for control in gateway.controls for frame in control.heard("agent_job_reply")]
    idents = [frame.id for frame in frames]
    assert len(set(idents)) < len(idents), "one came again"
    # The same id is the same reply, but for the time at which it was written.
    said = {frame.id: set() for frame in frames}
    for frame in frames:
        words = json.loads(frame.json["content"])
        said[frame.id].add((words["documentStatus"], json.dumps(words["runtimeStatus"])))
    assert all(len(contents) == 1 for contents in said.values())


def test_what_was_run_while_the_channel_was_cut_is_told_all_the_same(gateway, stint, home):
    control = gateway.control()
    gate = home / "gate"
    job = gateway.job(f"while [ ! -e {gate} ]; do sleep 0.1; done; echo through")
    gateway.wait("it is taken", lambda: gateway.acks(job))
    control.cut()
    gate.touch()
    # Or in between, by the other way.
    assert gateway.outcome(job)["documentStatus"] == "Success"
    newer = gateway.control(older=control)
    assert newer.opening["TokenValue"] != control.opening["TokenValue"]
    assert newer.opening["RequestId"] != control.opening["RequestId"]


def test_channels_that_break_again_and_again_lose_no_command(gateway, stint, home):
    log, jobs, control = home / "ran", [], None
    for number in range(4):
        # The pauses before the next channel grow.
        control = gateway.control(older=control, patience=90)
        jobs.append(gateway.job(f"echo {number} >> {log}"))
        gateway.wait("it is taken", lambda: gateway.acks(jobs[-1]))
        control.cut()
    for job in jobs:
        assert gateway.outcome(job)["documentStatus"] == "Success"
    assert sorted(log.read_text().split()) == list("0123")


def test_a_cancelled_command_is_reported_as_such(gateway, stint, home):
    gateway.control()
    begun = home / "begun"
    job = gateway.job(f"touch {begun}; sleep 600")
    until("it runs", begun.exists)
    cancel = gateway.cancel(job)
    assert gateway.outcome(job)["documentStatus"] == "Cancelled"
    assert gateway.acks(cancel)[0]["statusCode"] == "200"
    # Of the cancellation itself nothing final is said.
    assert {answer["documentStatus"] for answer in gateway.answers(cancel)} <= {"InProgress"}


def test_a_topic_that_nobody_knows_is_refused_by_its_number_and_the_channel_goes_on(gateway, stint):
    control = gateway.control()
    job = f"aws.ssm.{uuid.uuid4()}.{stint.node}"
    words = {"Content": "{}", "JobId": job, "Topic": "aws.ssm.brewCoffee.x", "SchemaVersion": 1}
    control.say("agent_job", json.dumps(words).encode())
    gateway.wait("it is refused", lambda: gateway.acks(job))
    assert [ack["statusCode"] for ack in gateway.acks(job)] == ["51408"]
    # Neither is any of these a reason to give up the channel.
    bad = f"aws.ssm.{uuid.uuid4()}.{stint.node}"
    topic = f"aws.ssm.sendCommand.{stint.node}"
    control.say("agent_job", payloads.agent_job({"DocumentName": "x"}, bad, topic))
    assert gateway.outcome(bad)["documentStatus"] == "Failed"
    gateway.wait("it is acknowledged", lambda: gateway.acks(bad))
    assert gateway.acks(bad)[0]["statusCode"] == "200"
    control.say("agent_job", b"{")
    control.say("agent_weather", b"{}")
    control.say("agent_task_acknowledge", b"{}")
    control.say("agent_job_reply_ack", b'{"jobId":"x","acknowledgedMessageId":"y"}')
    control.socket.send(b"no message at all")
    control.socket.send(b"")
    assert gateway.outcome(gateway.job("true"))["documentStatus"] == "Success"
    assert gateway.controls == [control]
