"""Power cuts and failing disks in the middle of an upgrade of a child agent.

A run without a fault tells the places (src/sys/faults.rs); then each of them is struck in a run of its own.
What runs afterwards is the old version or the new one, whole and once, and the job has one result.
"""

from collections import Counter

import pytest

from harness import packages
from harness.agent import Agent
from harness.faults import ERRORS, SAMPLED, Fault, Place
from harness.installs import Installs
from harness.trials import Trial, Walk
from harness.web import Web

# Trials at once: they wait more than they compute.
AT_ONCE = 12
# A few places are reached only if one process is not quicker than another; then it is tried again.
TRIES = 4


class Upgraded(Trial):
    """One agent with version 1 of a child, and an upgrade to version 2."""

    def __init__(self, agent: Agent, fault: Fault | None, web: Web):
        super().__init__(agent, fault, planned=False)
        self.kids = Installs(agent)
        self.web = web

    def clean_up(self) -> None:
        self.kids.clean_up()

    def upgrade(self, version: str) -> dict:
        """Has a version installed; what became of it."""
        package = self.kids.package("app", version)
        path = f"{self.agent.home}/app-{version}.tgz"
        url = self.web.serve(path, package)
        job = self.kids.hand_in("upgrade", "app", url=url, checksum=packages.checksum(package))
        return self.wait("the job is answered", lambda: self.kids.answer(job))

    def run(self) -> None:
        """Holds the agent to its promises."""
        self.agent.start()
        assert self.upgrade("1")["errcode"] == 0
        before = self.lines()
        if self.fault:
            # Only now, because installers are counted one by one.
            place = self.fault.place
            plan = f"{place.role} {self.fault.kind} {place.occurrence} {place.name}\n"
            (self.faults.folder / "plan").write_text(plan)
        result = self.upgrade("2")
        expected = "2" if result["errcode"] == 0 else "1"
        # A process that dies leaves no doubt: another one goes on.
        assert expected == "2" or (self.fault and self.fault.kind in ERRORS), result
        self.wait(f"version {expected} runs: {result}", lambda: self.kids.running("app") == [expected])
        program = self.kids.folder("app") / "current" / "app"
        assert f"echo {expected} >>" in program.read_text()
        jobs = self.agent.state / "supervise" / "jobs"
        self.wait("no job is left", lambda: not list(jobs.glob("[0-9]*.json")))
        self.find_places(before)
        # It is none the worse for it: the next one succeeds, and clears away what was left.
        assert self.upgrade("3")["errcode"] == 0
        self.wait("version 3 runs", lambda: self.kids.running("app") == ["3"])
        assert self.kids.kept("app") == [expected, "3"]
        incoming = self.kids.folder("app") / "incoming"
        assert {path.name for path in incoming.iterdir()} <= {"doorbell"}

    def lines(self) -> list[str]:
        """The places that have been reached, one by one."""
        return (self.faults.folder / "points").read_text().splitlines()

    def find_places(self, before: list[str]) -> None:
        """The places of the upgrade. The daemon has counted since its start, an installer is a new one."""
        seen: Counter[str] = Counter(line for line in before if line.startswith("run "))
        for line in self.lines()[len(before) :]:
            role, _, name = line.partition(" ")
            if role in ("run", "install-package"):
                seen[line] += 1
                self.places.append(Place(role, name, seen[line]))


@pytest.fixture
def walk(hub, activate, home, web):
    """Trials with a fault, or with none."""
    activation = activate(limit=1000)
    walk = Walk(
        home,
        lambda agent: agent.register(hub, activation),
        lambda agent, fault: Upgraded(agent, fault, web),
        AT_ONCE,
    )
    yield walk
    walk.clean_up()


@pytest.mark.parametrize("kind", SAMPLED)
def test_wherever_an_upgrade_is_cut_short_one_whole_version_runs_and_the_job_has_its_result(walk, kind):
    # The inventory is another activity's, which comes by when it likes.
    places = [p for p in walk.run().places if p.can_suffer(kind) and "inventory" not in p.name]
    installers = [place for place in places if place.role == "install-package"]
    # Every durable step of an upgrade: the list can't have become empty by accident.
    assert kind == "ENOSPC" or (len(installers) >= 20 and len(places) >= 60), places
    # How often a folder is gone through is a matter of how things fall together.
    walk.suffer((Fault(place, kind) for place in places), TRIES, rare=lambda place: place.occurrence > 2)
