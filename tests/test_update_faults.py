"""Wherever a process dies during an update, and whatever operation fails: one version runs, whole, and the
next try of the same update ends well.

A run without a fault tells the places (src/sys/faults.rs); then each of them is struck in a run of its own.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.faults import SAMPLED, Fault, Faults, Place
from harness.releases import NEXT, Releases, next_build
from harness.updating import Updating
from harness.wait import until

# Trials at once: they wait more than they compute.
AT_ONCE = 6
PATIENCE = 150


@pytest.fixture(scope="session")
def newer():
    """A real build with a version of its own."""
    return next_build()


class Trial:
    """One agent, at most one fault, one update."""

    def __init__(self, agent: Updating, releases: Releases, fault: Fault | None):
        self.agent = agent
        self.fault = fault
        agent.configure(releases, deadlineMinutes=2)
        self.faults = Faults(agent.home / f"faults-{agent.name}", fault)
        agent.environment = self.faults.environment()

    def kept(self) -> bool:
        """Whether the new version is there to stay."""
        update = self.agent.status()[1]["update"]
        assert update["version"] in (NEXT, self.before), update
        return update["version"] == NEXT and "trial" not in update

    def run(self) -> list[Place]:
        """Updates until it is done; the places that were reached."""
        self.agent.start()
        self.agent.keep_up()
        until("it is online", lambda: self.agent.status()[1]["online"], PATIENCE)
        self.before = self.agent.status()[1]["update"]["version"]
        assert self.before != NEXT

        def again() -> bool:
            return self.agent.update("--apply", **self.agent.environment).returncode == 0 and self.kept()

        until("the new version is kept", again, PATIENCE)
        until("it is online", lambda: self.kept() and self.agent.status()[1]["online"], PATIENCE)
        left = [path.name for path in (self.agent.state / "update").iterdir()]
        assert sorted(left) == ["lock", "slots", "state.json"]
        return self.faults.places()


def faults_of(places: list[Place], kind: str) -> list[Fault]:
    """Where this can happen to what an update leaves behind."""
    mine = [place for place in places if any(part in place.name for part in ("update", "slots", " a/stint"))]
    # A program is written in a thousand pieces of the same kind.
    mine = [place for place in mine if place.occurrence <= 3]
    # The daemon becomes another program, which begins to count anew.
    mine = [place for place in mine if place.role != "run" or place.occurrence == 1]
    return [Fault(place, kind) for place in sorted(set(mine)) if place.can_suffer(kind)]


# To die after one operation is to die before the next; and one error is like the other here.
@pytest.mark.parametrize("kind", SAMPLED[:1] + SAMPLED[2:3])
def test_wherever_an_update_is_struck_one_version_runs_and_the_next_try_ends_well(
    home, hub, activate, newer, kind
):
    releases = Releases(home, hub)
    activation = activate(limit=500)

    def trial(name: str, fault: Fault | None) -> Trial:
        # The same names below a folder of its own, so that places have the same names, too.
        folder = home / name
        folder.mkdir()
        agent = Updating(folder, "device")
        agent.register(hub, activation)
        return Trial(agent, releases, fault)

    baseline = trial("first", None)
    releases.learn_file(baseline.agent)
    releases.publish(NEXT, newer)
    try:
        faults = faults_of(baseline.run(), kind)
    finally:
        baseline.agent.clean_up()
    assert len(faults) > 12, [str(fault) for fault in faults]

    def suffer(numbered: tuple[int, Fault]) -> str:
        number, fault = numbered
        one = trial(f"agent{number}", fault)
        try:
            one.run()
            return "" if one.faults.struck() else f"{fault}: it never came to that"
        except (AssertionError, TimeoutError) as error:
            return f"{fault}: {error}\n{log(one.agent)}"
        finally:
            one.agent.clean_up()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [text for text in pool.map(suffer, enumerate(faults)) if text]
    assert not failures, "\n".join(failures)


def log(agent: Updating) -> str:
    """The end of its log."""
    path = Path(agent.home / f"{agent.name}.log")
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])
