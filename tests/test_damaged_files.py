"""A spool file that worn-out flash has damaged is set aside and reported; the rest goes on."""

import os
import random

import pytest

from harness import processes
from harness.clients import finished, shell
from harness.faults import Fault, Faults, Place
from harness.wait import until

DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "noise": lambda content: random.Random(len(content)).randbytes(len(content) or 100),
}
damages = pytest.mark.parametrize("damage", DAMAGES)


def ruin(agent, pattern: str, damage: str) -> None:
    """Damages the one file below the state folder that matches."""
    (path,) = agent.state.glob(pattern)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))


def is_set_aside(agent) -> bool:
    """Somebody can look at it, and the log says so."""
    return any((agent.state / "spool" / "corrupt").iterdir()) and "kept in" in agent.logs()


def takes_the_next_command(client, agent) -> None:
    """The agent is none the worse for it."""
    assert finished(client, shell(client, [agent.node], "echo on"), agent.node)["Status"] == "Success"
    folders = ["spool/pending", "spool/current", "outbox"]
    until("nothing is left", lambda: not [p for f in folders for p in (agent.state / f).iterdir()])


def trace(client, command: str) -> str:
    """What the hub says of the invocation as a whole."""
    answer = client.list_command_invocations(CommandId=command, Details=True)
    return str(answer["CommandInvocations"][0])


@pytest.fixture
def interrupted(client, agent, home):
    """A command whose only script was running when the power went; and the file where it left its mark."""
    ran = home / "ran"
    command = shell(client, [agent.node], f"echo once >> {ran}", f"sleep 600 # {home}")
    # The shell makes the file before it writes into it.
    until("the script has left its mark", lambda: ran.exists() and ran.read_text() == "once\n")
    agent.clean_up()
    for process in processes.mentioning(str(home)):
        if process.argv[0].endswith("sleep") or "worker" in process.argv[1:2]:
            os.kill(process.pid, 9)
    return command, ran


@damages
def test_a_damaged_waiting_job_is_reported(hub, client, activate, new_agent, home, damage):
    agent = new_agent()
    agent.register(hub, activate())
    accepted = Fault(Place("run", "fsync spool/pending", 1), "kill-after")
    agent.environment = Faults(home / "faults", accepted).environment()
    command = shell(client, [agent.node], f"echo once >> {home / 'ran'}")
    agent.start()
    until("it has died", lambda: not agent.program.alive())
    ruin(agent, "spool/pending/*.json", damage)
    agent.start()
    assert finished(client, command, agent.node)["Status"] == "Failed"
    assert "damaged" in trace(client, command)
    assert is_set_aside(agent)
    assert not (home / "ran").exists()
    takes_the_next_command(client, agent)


def test_many_damaged_jobs_are_all_reported(client, agent, home):
    ran = home / "ran"
    lines = [f"echo once >> {ran}", f"while [ ! -e {home}/gate ]; do sleep 0.1; done"]
    commands = [shell(client, [agent.node], *lines) for _ in range(20)]
    until("all are taken", lambda: len(list(agent.state.glob("spool/pending/*.json"))) == 17)
    agent.clean_up()
    for path in agent.state.glob("spool/pending/*.json"):
        path.write_bytes(b"{")
    (home / "gate").touch()
    agent.start()
    for command in commands:
        assert finished(client, command, agent.node)["Status"] == "Failed"
    assert len(ran.read_text().split()) == 3
    assert len(list((agent.state / "spool" / "corrupt").iterdir())) == 8
    takes_the_next_command(client, agent)


@damages
def test_a_damaged_running_job_is_reported_and_not_run_again(client, agent, interrupted, damage):
    command, ran = interrupted
    ruin(agent, "spool/current/*/job.json", damage)
    agent.start()
    assert finished(client, command, agent.node)["Status"] == "Failed"
    assert "damaged" in trace(client, command)
    assert is_set_aside(agent)
    takes_the_next_command(client, agent)
    assert ran.read_text() == "once\n"


@damages
def test_with_a_damaged_journal_the_step_counts_as_started(client, agent, interrupted, damage):
    command, ran = interrupted
    ruin(agent, "spool/current/*/journal", damage)
    agent.start()
    assert "interrupted" in finished(client, command, agent.node)["StandardErrorContent"]
    # Half a journal may look like a whole one, but the script's files are there.
    assert damage in ("truncated", "empty") or is_set_aside(agent)
    takes_the_next_command(client, agent)
    assert ran.read_text() == "once\n"


@damages
def test_with_a_damaged_outcome_no_step_is_run_again(client, agent, interrupted, damage):
    command, ran = interrupted
    (job,) = agent.state.glob("spool/current/*/job.json")
    (job.parent / "outcome.json").write_text('{"complete":false,"status":"InProgress","trace":"","steps":[]}')
    ruin(agent, "spool/current/*/outcome.json", damage)
    agent.start()
    assert "interrupted" in finished(client, command, agent.node)["StandardErrorContent"]
    assert is_set_aside(agent)
    takes_the_next_command(client, agent)
    assert ran.read_text() == "once\n"


@damages
def test_a_damaged_report_is_told_as_far_as_it_is_known(hub, client, agent, home, damage):
    gate = home / "gate"
    command = shell(
        client, [agent.node], f"touch {home}/in; while [ ! -e {gate} ]; do sleep 0.05; done; exit 3"
    )
    until("the script runs", (home / "in").exists)
    hub.kill()
    gate.touch()
    until("the report waits", lambda: list((agent.state / "outbox").glob("*.json")))
    until("the job is over", lambda: not list((agent.state / "spool" / "current").iterdir()))
    agent.kill()
    ruin(agent, "outbox/*.json", damage)
    hub.start()
    agent.start()
    assert finished(client, command, agent.node)["Status"] == "Failed"
    assert is_set_aside(agent)
    takes_the_next_command(client, agent)
