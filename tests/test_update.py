"""The agent replaces itself, from one real build to another, and goes back if that was a mistake."""

import json
import threading

import pytest

from harness.agent import Agent
from harness.clients import wait_until_online
from harness.releases import NEXT, Releases, next_build
from harness.wait import until

ONE_MINUTE = 1


class Updating(Agent):
    """An agent with a release key, and with an init that starts it again when it ends."""

    def __init__(self, home, name):
        super().__init__(home, name)
        self.respawns = 0
        self._kept = None

    def configure(self, releases: Releases, **update) -> None:
        """Writes its configuration."""
        self.config = self.home / f"{self.name}.json"
        settings = {"keys": [releases.public], "deadlineMinutes": ONE_MINUTE, **update}
        self.config.write_text(json.dumps({"update": settings, "healthIntervalMinutes": 1}))

    def update(self, *words: object, **more: str):
        """`stint update …`."""
        return self.command("update", *words, "--state-dir", self.state, "--config", self.config, **more)

    def keep_up(self) -> None:
        """Starts it again whenever it ends, as init does."""
        self._kept = threading.Event()

        def respawn() -> None:
            while not self._kept.wait(0.1):
                if not self.program.alive():
                    self.respawns += 1
                    self.start()

        self._keeper = threading.Thread(target=respawn, daemon=True)
        self._keeper.start()

    def clean_up(self) -> None:
        """Ends init first."""
        if self._kept:
            self._kept.set()
            self._keeper.join(5)
        super().clean_up()

    def runs(self) -> str:
        """The version that has shown that it is good."""
        return self.status()[1]["update"]["version"]


@pytest.fixture(scope="session")
def newer():
    """A real build with a version of its own."""
    return next_build()


@pytest.fixture
def releases(home, hub):
    """A release key and a hub that serves what it signs."""
    return Releases(home, hub)


@pytest.fixture
def device(home, hub, client, activate, releases):
    """A registered, running agent that knows the release key."""
    agents = []

    def make(**update) -> Updating:
        agent = Updating(home, f"device{len(agents)}")
        agents.append(agent)
        agent.configure(releases, **update)
        agent.register(hub, activate())
        releases.learn_file(agent)
        agent.start()
        wait_until_online(client, agent.node)
        return agent

    yield make
    for agent in agents:
        agent.clean_up()


def seen(client, node: str) -> dict:
    """What the hub says of a node."""
    (found,) = client.describe_instance_information()["InstanceInformationList"]
    assert found["InstanceId"] == node
    return found


def until_seen(client, node: str, version: str) -> dict:
    """Waits until the hub has heard that version."""
    return until(
        f"the hub hears version {version}",
        lambda: found if (found := seen(client, node))["AgentVersion"] == version else None,
    )


def test_a_good_update_takes_the_place_of_the_old_one_and_stays(client, device, releases, newer):
    agent = device()
    before = seen(client, agent.node)
    pid = agent.program.pid
    assert agent.update("--check").returncode == 0
    releases.publish(NEXT, newer)
    until("the hub serves it", lambda: seen(client, agent.node)["IsLatestVersion"] is False)
    check = agent.update("--check")
    assert (check.returncode, NEXT in check.stdout) == (10, True), check.stderr
    done = agent.update("--apply")
    assert done.returncode == 0, done.stderr + agent.logs()
    assert f"version {NEXT} runs in the place of {before['AgentVersion']}" in done.stdout
    assert until_seen(client, agent.node, NEXT)["IsLatestVersion"] is True
    assert agent.program.alive() and agent.program.pid == pid, "the daemon kept its process"
    agent.kill()
    agent.start()
    until("it is the new one again", lambda: f"stint {NEXT} runs as" in agent.logs().rpartition("kept")[2])
    assert agent.runs() == NEXT
    assert agent.update("--check").returncode == 0
