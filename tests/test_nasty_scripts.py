"""Scripts that misbehave: the agent stays small, and the job ends within its time limit and 5 s."""

import re
import sys
from collections.abc import Callable

import pytest

from harness import bomb
from harness.agent import Agent
from harness.clients import TERMINAL, finished, shell
from harness.memory import Watch
from harness.programs import IS_RELEASE
from harness.wait import until

# The shortest that a document may ask for, seconds.
LIMIT = 5
# What the agent may need to end a script whose time is over, seconds.
GRACE = 5
# What is promised, bytes. Most of a debug build's PSS is its unoptimised code, so that of it only
# what is its own is held to the promise.
MOST = 3_000_000
# What one stream of a script may take of the disk, bytes (src/document/stream.rs).
STREAM_FILE = 256 * 1024


def sleeper(agent: Agent) -> str:
    """Sleeps for ever; it is found by the state folder in its command line, and ended with the test."""
    return f"tail -f {agent.state}/registration.json >/dev/null"


def daemonises(agent: Agent) -> list[str]:
    """Leaves a child in a session of its own that holds the script's output open."""
    return [f"setsid tail -f {agent.state}/registration.json &", "echo started"]


def ignores_sigterm(agent: Agent) -> list[str]:
    """Does nothing, and won't be asked to stop."""
    return ["trap '' TERM INT HUP", "echo stubborn", sleeper(agent)]


def fork_bomb(_agent: Agent) -> list[str]:
    """Starts as many processes as it may, and goes on trying."""
    return [f"exec {sys.executable} {bomb.__file__}"]


def prints_a_gigabyte(_agent: Agent) -> list[str]:
    """More than any small device has, of memory or of flash."""
    return ["echo first", "yes | head -c 1000000000", "echo last"]


def kills_its_parent(agent: Agent) -> list[str]:
    """Its parent is the worker."""
    return ["echo patricide", "kill -9 $PPID", sleeper(agent)]


def seconds(elapsed: str) -> float:
    """`PT1M2.5S`, as the hub writes the time between the start and the end that the node reported."""
    match = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?", elapsed)
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


@pytest.mark.parametrize(
    ("script", "limit", "end", "said"),
    [
        (daemonises, LIMIT, "Success", "started"),
        (ignores_sigterm, LIMIT, "TimedOut", "stubborn"),
        (fork_bomb, LIMIT, "TimedOut", "refused"),
        (prints_a_gigabyte, 60, "Success", "last"),
        # Whether its worker still read what it said is chance.
        (kills_its_parent, LIMIT, "Failed", ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_the_agent_stays_small_and_the_job_ends_in_time(
    client, agent, script: Callable, limit: int, end: str, said: str
):
    def pids(processes) -> list[int]:
        return [process.pid for process in processes]

    with Watch(lambda: pids(agent.daemons()), lambda: pids(agent.workers())) as seen:
        parameters = {"executionTimeout": [str(limit)]}
        command = shell(client, [agent.node], *script(agent), Parameters=parameters)
        result = finished(client, command, agent.node, patience=limit + 60)
    # pytest shows it with -rP.
    build = "release" if IS_RELEASE else "debug"
    print(f"{build} build: daemon {seen.daemon}, worker {seen.worker}, together {seen.together}")
    print(f"{result['Status']} after {result['ExecutionElapsedTime']}")
    assert result["Status"] == end and said in result["StandardOutputContent"], result
    assert seconds(result["ExecutionElapsedTime"]) <= limit + GRACE
    assert seen.looks > 3 and seen.daemon.pss > 0
    assert (seen.daemon.pss if IS_RELEASE else seen.daemon.anonymous) < MOST, seen.daemon
    assert (seen.together.pss if IS_RELEASE else seen.together.anonymous) < MOST, seen.together
    assert finished(client, shell(client, [agent.node], "echo on"), agent.node)["Status"] == "Success"


def test_what_a_script_prints_does_not_fill_the_disk(client, agent):
    parameters = {"executionTimeout": ["30"]}
    command = shell(client, [agent.node], "yes | head -c 30000000", "sleep 3", Parameters=parameters)
    most = 0

    def ended() -> bool:
        nonlocal most
        for path in agent.state.glob("spool/current/*/step-0/stdout"):
            most = max(most, path.stat().st_size if path.exists() else 0)
        found = client.list_command_invocations(CommandId=command)["CommandInvocations"]
        return found[0]["Status"] in TERMINAL

    until("the command has ended", ended)
    assert 0 < most <= STREAM_FILE


def test_a_script_that_ignores_signals_can_be_cancelled(client, agent, home):
    script = [f"touch {home}/in", *ignores_sigterm(agent)]
    command = shell(client, [agent.node], *script)
    until("the script runs", (home / "in").exists)
    client.cancel_command(CommandId=command)
    assert finished(client, command, agent.node)["Status"] == "Cancelled"
