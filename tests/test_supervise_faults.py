"""Wherever the agent dies, and whatever operation fails: there is one process of each child, never two.

As in test_faults.py, a run without a fault tells the places, and each is struck in a run of its own. No
server is needed: an agent with children runs without one.
"""

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.agent import Agent
from harness.children import Children
from harness.faults import ERRORS, SAMPLED, Fault, Faults, Place
from harness.wait import until

# Trials at once: they wait more than they compute.
AT_ONCE = 8
PATIENCE = 90


class Trial:
    """An agent with one child that crashes once and then runs; at most one fault."""

    def __init__(self, home, fault: Fault | None):
        self.fault = fault
        home.mkdir(parents=True)
        self.kids = Children(Agent(home), cooldownSeconds=1)
        self.agent = self.kids.agent
        self.faults = Faults(home / "faults", fault)
        self.agent.environment = self.faults.environment()
        self.places: list[Place] = []
        self.deaths = 0

    def run(self) -> None:
        """Runs until the child runs for good, through a crash of it and the end of its agent."""
        crashed = self.kids.notes / "crashed"
        self.kids.define("a", f"[ -e {crashed} ] || {{ touch {crashed}; exit 1; }}; exec sleep 600")
        self.agent.start()
        try:
            self.settled()
            # Of this process alone: places are counted per process.
            self.places = self.faults.places()
            self.agent.kill()
            self.agent.start()
            self.settled()
            pid = self.kids.record("a")["pid"]
            # The next agent agrees with the one before.
            self.agent.stop()
            found = f"a still runs as process {pid}"
            before = self.agent.logs().count(found)
            self.agent.start()
            until("it is found", lambda: self.agent.logs().count(found) > before, PATIENCE)
            assert self.running() == [pid]
            assert self.deaths <= self.faults.struck(), "the agent died of something else"
        finally:
            self.kids.clean_up()

    def running(self) -> list[int]:
        """The processes of the child that live."""
        return self.kids.living("a")

    def settled(self) -> None:
        """Waits until the child runs as the agent says, starting the agent again when it has died."""

        def probe() -> bool:
            if not self.agent.program.alive():
                self.deaths += 1
                self.agent.start()
            running = self.running()
            assert len(running) < 2, f"doubled: {running}"
            if len(self.kids.pids("a")) < 2:
                return False  # The crash is yet to come.
            record = self.kids.record("a")
            return record.get("status") == "running" and running == [record.get("pid")]

        until("the child runs", probe, PATIENCE)


@pytest.fixture
def attempt(home):
    """Runs a trial; what was wrong with it, and the trial."""
    numbers = itertools.count()

    def attempt(fault: Fault | None = None) -> tuple[str, Trial]:
        trial = Trial(home / str(next(numbers)) / "home", fault)
        try:
            trial.run()
        except (AssertionError, TimeoutError) as error:
            log = "\n".join(trial.agent.logs().splitlines()[-15:])
            return f"{fault}: {error}\n{log}", trial
        return "" if fault is None or trial.faults.struck() else f"{fault}: not reached", trial

    return attempt


@pytest.mark.parametrize("kind", SAMPLED)
def test_no_fault_doubles_a_child_or_leaves_it_down(attempt, kind):
    wrong, trial = attempt()
    assert not wrong, wrong
    places = [place for place in trial.places if place.can_suffer(kind)]
    # The first of each name, and of those that come again the last: the rest is repetition.
    last = {place.name: place for place in places}
    picked = [place for place in places if place.occurrence == 1 or last[place.name] == place]
    # At the agent's start a folder that can't be made is a reason not to run.
    if kind in ERRORS:
        picked = [place for place in picked if "children/a" in place.name or "a/" in place.name]
    assert len(picked) >= 6, picked
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda place: attempt(Fault(place, kind))[0], picked)
        wrong = [text for text in found if text]
    assert not wrong, f"{len(wrong)} of {len(picked)} places:\n" + "\n".join(wrong)


def test_an_agent_killed_at_any_moment_doubles_no_child(home):
    """T9 at moments that no named place covers, those between fork and exec among them."""
    home = home / "random"
    home.mkdir()
    kids = Children(Agent(home), cooldownSeconds=1, retries=1000)
    # Each life is short, so that there is always a start under way.
    kids.define("a", "sleep 0.05; exit 1", restartsecs=0)
    kids.define("b", "exec sleep 600")
    moments = random.Random(9)
    try:
        for _ in range(25):
            kids.agent.start()
            time.sleep(moments.uniform(0.02, 0.6))
            kids.agent.kill()
            for name in "ab":
                assert len(kids.living(name)) < 2, (name, kids.living(name))
        kids.agent.start()
        until("b runs", lambda: kids.status("b") == "running")
        assert len(kids.living("b")) == 1
        assert len(kids.pids("b")) == 1, "it never ended, so it was started once"
        assert len(kids.pids("a")) > 1
    finally:
        kids.clean_up()
