"""Wherever a process dies, and whatever operation fails: no step starts twice and no command is lost.

A run without a fault tells the places (src/sys/faults.rs); then each of them is struck in a run of its own.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from harness.agent import Agent
from harness.clients import TERMINAL, shell
from harness.faults import ERRORS, KILLS, Fault
from harness.trials import Trial, Walk

STEPS = ("first", "second", "third")
# Trials at once: they wait more than they compute.
AT_ONCE = 16
# A few places are reached only if one process is not quicker than another; then it is tried again.
TRIES = 4


class Commanded(Trial):
    """One document of three steps; and what came of it."""

    patience = 150

    def __init__(self, agent: Agent, fault: Fault | None, hub, client):
        super().__init__(agent, fault)
        self.hub, self.client = hub, client
        self.ran = agent.home / "ran"

    def run(self) -> None:
        """Sends the command, waits for its end, and holds the agent to its promises."""
        command = shell(self.client, [self.agent.node], "unused")
        self.hub.pretend("UPDATE command SET content = ? WHERE id = ?", self.document(), command)
        self.agent.start()
        self.check(command, self.end(command))
        self.wait("nothing is left to do", lambda: not self.left())
        assert list((self.agent.state / "spool" / "corrupt").iterdir()) == []
        self.places = self.faults.places()
        # It is none the worse for it.
        assert self.end(shell(self.client, [self.agent.node], "echo on")) == "Success"
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

    def end(self, command: str) -> str:
        """The terminal status of a command."""

        def probe() -> str | None:
            found = self.client.list_command_invocations(CommandId=command)["CommandInvocations"]
            return found[0]["Status"] if found[0]["Status"] in TERMINAL else None

        return self.wait("the command has ended", probe)

    def check(self, command: str, end: str) -> None:
        """What the hub was told is what happened."""
        runs = Counter(self.ran.read_text().split() if self.ran.exists() else [])
        assert not [name for name, count in runs.items() if count > 1], f"run twice: {runs}"
        for name in STEPS:
            step = self.client.get_command_invocation(
                CommandId=command, InstanceId=self.agent.node, PluginName=name
            )
            if step["Status"] == "Success":
                assert (runs[name], step["StandardOutputContent"]) == (1, f"said {name}\n"), (runs, step)
            else:
                assert (step["Status"], end) == ("Failed", "Failed"), (step, end)
                if self.fault and self.fault.kind in KILLS:
                    # Nobody knows how far it came, and that is what the operator is told.
                    assert "was interrupted" in step["StandardErrorContent"], step
        doubtful = self.fault and (self.fault.place.role == "worker" or self.fault.kind in ERRORS)
        # A daemon's death leaves no doubt: the worker knows.
        assert doubtful or end == "Success"

    def left(self) -> list[Path]:
        """Jobs and reports that wait for something."""
        state = self.agent.state
        folders = [state / "spool" / "pending", state / "spool" / "current", state / "outbox"]
        return [path for folder in folders for path in folder.iterdir()]


@pytest.fixture
def walk(hub, client, activate, home):
    """Trials with a fault, or with none."""
    activation = activate(limit=1000)
    walk = Walk(
        home,
        lambda agent: agent.register(hub, activation),
        lambda agent, fault: Commanded(agent, fault, hub, client),
        AT_ONCE,
    )
    yield walk
    walk.clean_up()


@pytest.mark.parametrize("kind", KILLS + ERRORS)
def test_no_fault_loses_a_command_or_starts_a_step_twice(walk, kind):
    places = [place for place in walk.run().places if place.can_suffer(kind)]
    # Every durable step of three steps, and more: the list can't have become empty by accident.
    assert len(places) >= 70
    walk.suffer((Fault(place, kind) for place in places), TRIES)
