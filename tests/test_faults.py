"""Wherever a process dies, and whatever operation fails: no step starts twice and no command is lost.

A run without a fault tells the places (src/sys/faults.rs); then each of them is struck in a run of its own.
"""

import itertools
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.clients import TERMINAL, shell
from harness.faults import ERRORS, KILLS, Fault, Faults, Place
from harness.wait import until

STEPS = ("first", "second", "third")
# Trials at once: they wait more than they compute.
AT_ONCE = 16
# A few places are reached only if one process is not quicker than another; then it is tried again.
TRIES = 4
PATIENCE = 150
_LOG_LINES_SHOWN = 15


class Trial:
    """One agent, at most one fault, one document of three steps; and what came of it."""

    def __init__(self, agent: Agent, fault: Fault | None):
        self.agent = agent
        self.fault = fault
        self.ran = agent.home / "ran"
        self.faults = Faults(agent.home / "faults", fault)
        self.places: list[Place] = []
        self.deaths = 0
        agent.environment = self.faults.environment()

    def run(self, hub, client) -> None:
        """Sends the command, waits for its end, and holds the agent to its promises."""
        command = shell(client, [self.agent.node], "unused")
        hub.pretend("UPDATE command SET content = ? WHERE id = ?", self.document(), command)
        self.agent.start()
        self.check(client, command, self.end(client, command))
        self.wait("nothing is left to do", lambda: not self.left())
        assert list((self.agent.state / "spool" / "corrupt").iterdir()) == []
        self.places = self.faults.places()
        # It is none the worse for it.
        assert self.end(client, shell(client, [self.agent.node], "echo on")) == "Success"
        assert self.deaths <= self.faults.struck(), "the daemon died of something else"

    def document(self) -> str:
        """Each step leaves its name where it can be counted; the one that is skipped comes first."""
        skipped = {"precondition": {"StringEquals": ["platformType", "Windows"]}}
        steps = [{"action": "aws:runShellScript", "name": "elsewhere", "inputs": {}, **skipped}]
        steps += [
            {
                "action": "aws:runShellScript",
                "name": name,
                "inputs": {"runCommand": [f"echo {name} >> {self.ran}", f"echo said {name}", "sleep 0.1"]},
            }
            for name in STEPS
        ]
        return json.dumps({"schemaVersion": "2.2", "mainSteps": steps})

    def wait(self, what: str, probe) -> object:
        """Waits, and starts the agent again when it has died, as init would."""

        def probe_and_restart() -> object:
            if not self.agent.program.alive():
                self.deaths += 1
                self.agent.start()
            return probe()

        return until(what, probe_and_restart, PATIENCE)

    def end(self, client, command: str) -> str:
        """The terminal status of a command."""

        def probe() -> str | None:
            found = client.list_command_invocations(CommandId=command)["CommandInvocations"]
            return found[0]["Status"] if found[0]["Status"] in TERMINAL else None

        return self.wait("the command has ended", probe)

    def check(self, client, command: str, end: str) -> None:
        """What the hub was told is what happened."""
        runs = Counter(self.ran.read_text().split() if self.ran.exists() else [])
        assert not [name for name, count in runs.items() if count > 1], f"run twice: {runs}"
        for name in STEPS:
            step = client.get_command_invocation(
                CommandId=command, InstanceId=self.agent.node, PluginName=name
            )
            if step["Status"] == "Success":
                assert (runs[name], step["StandardOutputContent"]) == (1, f"said {name}\n"), (runs, step)
            else:
                assert (step["Status"], end) == ("Failed", "Failed"), (step, end)
        doubtful = self.fault and (self.fault.place.role == "worker" or self.fault.kind in ERRORS)
        # A daemon's death leaves no doubt: the worker knows.
        assert doubtful or end == "Success"

    def left(self) -> list[Path]:
        """Jobs and reports that wait for something."""
        state = self.agent.state
        folders = [state / "spool" / "pending", state / "spool" / "current", state / "outbox"]
        return [path for folder in folders for path in folder.iterdir()]


@pytest.fixture
def run(hub, client, activate, home):
    """Runs a trial with a fault, or with none."""
    activation = activate(limit=1000)
    numbers = itertools.count()
    lock = threading.Lock()
    agents: list[Agent] = []

    def run(fault: Fault | None = None) -> Trial:
        with lock:
            # The last two names of each path have to be the same in every trial.
            folder = home / str(next(numbers)) / "home"
            folder.mkdir(parents=True)
            agents.append(agent := Agent(folder))
        agent.register(hub, activation)
        trial = Trial(agent, fault)
        try:
            trial.run(hub, client)
        except (AssertionError, TimeoutError) as error:
            log = "\n".join(agent.logs().splitlines()[-_LOG_LINES_SHOWN:])
            raise AssertionError(f"{fault}: {error}\n{log}") from error
        finally:
            agent.clean_up()
        return trial

    yield run
    for agent in agents:
        agent.clean_up()


def attempt(run, fault: Fault) -> str:
    """What is wrong with the agent under this fault; empty if nothing."""
    try:
        struck = any(run(fault).faults.struck() for _ in range(TRIES))
    except AssertionError as error:
        return str(error)
    return "" if struck else f"{fault}: the place was not reached in {TRIES} runs"


@pytest.mark.parametrize("kind", KILLS + ERRORS)
def test_no_fault_loses_a_command_or_starts_a_step_twice(run, kind):
    places = [place for place in run().places if place.can_suffer(kind)]
    # Every durable step of three steps, and more: the list can't have become empty by accident.
    assert len(places) >= 70
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [found for found in pool.map(lambda place: attempt(run, Fault(place, kind)), places) if found]
    assert not wrong, f"{len(wrong)} of {len(places)} places:\n" + "\n".join(wrong)
