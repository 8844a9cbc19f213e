"""How the agent comes to its control channel, and what it does without one, at a server of another make."""

import json
import uuid

import pytest

from harness.agent import Agent
from harness.mgs.server import content
from harness.mgs.ways import ACTIVATION
from harness.wait import until


@pytest.fixture
def start(gateway, new_agent):
    """Starts a registered agent; `config` is its configuration."""

    def make(**config: object) -> Agent:
        agent = new_agent().configure(**config)
        agent.register(gateway, ACTIVATION)
        return agent.start()

    return make


def polled(agent: Agent, command: str, *lines: str) -> dict:
    """A command as a poll hands it out."""
    return {
        "CreatedDate": "2026-11-22T08:20:04.365Z",
        "MessageId": f"aws.ssm.{command}.{agent.node}",
        "Payload": json.dumps(content(command, *lines)),
        "Topic": f"aws.ssm.sendCommand.{agent.node}",
    }


@pytest.mark.long
def test_the_health_report_says_by_which_way_commands_come(start, gateway):
    start(healthIntervalMinutes=1)
    gateway.control()
    said = lambda: [report.get("SSMConnectionChannel") for report in gateway.reports]  # noqa: E731
    gateway.wait("it says so", lambda: "ssmmessages" in said(), patience=120)


@pytest.mark.parametrize("how", ["denied", 404, 200, "refused", "closed"])
def test_without_a_channel_it_polls_and_with_one_it_does_not(gateway, start, how):
    if how in ("refused", "closed"):
        gateway.websockets = how
    else:
        gateway.creation = how
    agent = start()
    gateway.wait("it polls", lambda: "GetMessages" in gateway.calls)
    command = str(uuid.uuid4())
    gateway.messages.append(polled(agent, command, "echo polled"))
    ended = lambda: [r for r in gateway.replies if '"documentStatus":"Success"' in r["Payload"]]  # noqa: E731
    gateway.wait("it is reported", ended, 60)
    assert gateway.messages == [] and gateway.controls == []
    gateway.creation, gateway.websockets = 201, ""
    # It tries again by itself, less and less often.
    gateway.control(patience=120)
    job = gateway.job("echo pushed")
    assert gateway.outcome(job)["documentStatus"] == "Success"
    before = gateway.calls.count("GetMessages")
    for _ in range(3):
        gateway.outcome(gateway.job("sleep 1"))
    assert gateway.calls.count("GetMessages") == before


def test_the_same_command_by_poll_and_by_channel_runs_once(gateway, start, home):
    gateway.creation = 404
    agent = start()
    log, command = home / "ran", str(uuid.uuid4())
    lines = f"echo x >> {log}; sleep 2"
    gateway.messages.append(polled(agent, command, lines))
    until("it runs", log.exists)
    gateway.creation = 201
    gateway.control(patience=120)
    job = gateway.job(lines, ident=command)
    gateway.wait("it is acknowledged", lambda: gateway.acks(job))
    assert gateway.outcome(gateway.job("true"))["documentStatus"] == "Success"
    assert log.read_text() == "x\n"


@pytest.mark.long
def test_a_server_that_says_nothing_any_more_is_left_for_a_new_channel(start, gateway):
    """About a minute: a ping that isn't answered tells."""
    gateway.answers_pings = False
    agent = start()
    first = gateway.control()
    gateway.control(older=first, patience=120)
    assert first.socket.pings
    assert "the control channel was up for" in agent.logs()


def test_the_configuration_can_forbid_the_channel(start, gateway):
    agent = start(ssm={"controlChannel": False})
    gateway.messages.append(polled(agent, str(uuid.uuid4()), "true"))
    gateway.wait("it is polled and reported", lambda: gateway.replies)
    assert "CreateControlChannel" not in gateway.calls


def test_a_job_that_was_taken_before_a_crash_is_reported_over_the_next_channel(start, gateway, home):
    agent, gate = start(), home / "gate"
    control = gateway.control()
    job = gateway.job(f"while [ ! -e {gate} ]; do sleep 0.1; done")
    gateway.wait("it is taken", lambda: gateway.acks(job))
    until("it runs", agent.workers)
    agent.kill()
    gate.touch()
    agent.start()
    newer = gateway.control(older=control)
    assert gateway.outcome(job)["documentStatus"] == "Success"
    assert newer.heard("agent_job_reply") and not gateway.replies
