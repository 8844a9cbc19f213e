"""A node changes its key: when it is told to, when the key is old, and through a power cut at any step."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from harness.agent import Agent
from harness.clients import finished, shell, wait_until_online
from harness.faults import ERRORS, KILLS, Fault, Faults, Place
from harness.wait import until

AT_ONCE = 6
_LOG_LINES_SHOWN = 15
# A debug build takes its time for the primes of an RSA key.
PATIENCE = 300


def registration(agent: Agent) -> dict:
    """The file."""
    return json.loads((agent.state / "registration.json").read_text())


def private_key(agent: Agent) -> str:
    """The key that the agent goes by."""
    return registration(agent)["privateKey"]


def keys_at(hub, node: str) -> tuple:
    """What the hub takes for the node's key, and the one before while that is good."""
    return hub.row("SELECT public_key, previous_public_key FROM node WHERE id = ?", node)


def runs_a_command(client, agent: Agent) -> bool:
    """It does what it is there for."""
    command = shell(client, [agent.node], "echo on")
    return finished(client, command, agent.node)["Status"] == "Success"


def has_changed(hub, agent: Agent, before: str) -> bool:
    """The key on disk is another, nothing is left of the change, and the hub knows only the new key."""
    if private_key(agent) == before or (agent.state / "successor.json").exists():
        return False
    return keys_at(hub, agent.node)[1] is None


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_node_that_is_told_to_changes_its_key(hub, client, activate, new_agent, kind):
    agent = new_agent()
    agent.register(hub, activate(), "--key-type", kind)
    before, known = private_key(agent), keys_at(hub, agent.node)[0]
    hub.node("rotate-key", agent.node)
    agent.start()
    until("the key has changed", lambda: has_changed(hub, agent, before), PATIENCE)
    assert keys_at(hub, agent.node)[0] != known
    assert registration(agent)["keyType"].lower() == kind
    assert (agent.state / "registration.json").stat().st_mode & 0o777 == 0o600
    assert runs_a_command(client, agent)
    # Once is enough.
    after = private_key(agent)
    assert agent.stop() == 0
    agent.start()
    assert runs_a_command(client, agent)
    assert private_key(agent) == after


def test_an_order_for_a_node_that_is_not_there_is_refused(hub):
    with pytest.raises(AssertionError, match="there is no node mi-0"):
        hub.node("rotate-key", "mi-0")


def test_a_key_older_than_its_days_is_changed(hub, client, activate, new_agent, home):
    agent = new_agent()
    agent.config = home / "agent.json"
    agent.config.write_text(json.dumps({"identity": {"keyMaxAgeDays": 30}}))
    agent.register(hub, activate())
    before = private_key(agent)
    agent.start()
    assert runs_a_command(client, agent)
    assert agent.stop() == 0
    assert private_key(agent) == before

    old = registration(agent)
    made = datetime.now(UTC) - timedelta(days=31)
    old["keyMadeAt"] = made.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    (agent.state / "registration.json").write_text(json.dumps(old))
    agent.start()
    until("the key has changed", lambda: has_changed(hub, agent, before))
    assert runs_a_command(client, agent)


def test_a_server_that_forgot_the_old_key_at_once_finds_the_node_with_the_new_one(
    hub, client, activate, new_agent, home
):
    """The cut comes after the server was told, and AWS doesn't promise to go on with the old key."""
    agent = new_agent()
    agent.register(hub, activate())
    before = private_key(agent)
    hub.node("rotate-key", agent.node)
    agent.environment = Faults(
        home / "faults", Fault(Place("run", "rotated", 1), "kill-before")
    ).environment()
    agent.start()
    until("the agent has died", lambda: not agent.program.alive())
    assert private_key(agent) == before
    assert keys_at(hub, agent.node)[1] is not None
    hub.pretend("UPDATE node SET previous_public_key = NULL, previous_key_type = NULL")
    agent.start()
    until("the key has changed", lambda: has_changed(hub, agent, before))
    assert runs_a_command(client, agent)


class Trial:
    """One agent that is told to change its key, and at most one fault."""

    def __init__(self, agent: Agent, fault: Fault | None):
        self.agent = agent
        self.faults = Faults(agent.home / "faults", fault)
        self.places: list[Place] = []
        agent.environment = self.faults.environment()

    def run(self, hub, client) -> None:
        """Whatever happens, the node can be reached in the end, with a new key that both sides know."""
        before = private_key(self.agent)
        hub.node("rotate-key", self.agent.node)
        self.agent.start()
        self.wait(
            "the change has been tried", lambda: self.faults.struck() or has_changed(hub, self.agent, before)
        )
        self.wait("it is online", lambda: self.agent.program.alive() and self.agent.status()[1]["online"])
        wait_until_online(client, self.agent.node)
        # Not a step of the change makes it deaf.
        assert runs_a_command(client, self.agent)
        if not has_changed(hub, self.agent, before):
            # After a failure the next try is an hour away, or a start.
            self.agent.program.stop()
            self.agent.start()
        self.wait("the key has changed", lambda: has_changed(hub, self.agent, before))
        assert runs_a_command(client, self.agent)
        self.places = self.faults.places()

    def wait(self, what: str, probe) -> None:
        """Waits, and starts the agent again when it has died, as init would."""

        def probe_and_restart() -> object:
            if not self.agent.program.alive():
                self.agent.start()
            return probe()

        until(what, probe_and_restart, 90)


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
        struck = run(fault).faults.struck()
    except AssertionError as error:
        return str(error)
    return "" if struck else f"{fault}: the place was not reached"


def test_no_fault_during_a_change_of_keys_loses_the_node(run):
    names = [place for place in run().places if place.role == "run"]
    mine = [n for n, place in enumerate(names) if "successor" in place.name]
    # From the first operation on the new file to the fsync of its folder after the last.
    places = names[mine[0] : mine[-1] + 2]
    assert {"rotate", "rotated"} <= {place.name for place in places} and len(places) >= 8
    faults = [Fault(place, kind) for place in places for kind in KILLS + ERRORS if place.can_suffer(kind)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [found for found in pool.map(lambda fault: attempt(run, fault), faults) if found]
    assert not wrong, f"{len(wrong)} of {len(faults)} faults:\n" + "\n".join(wrong)
