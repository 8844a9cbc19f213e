"""A node changes its key: when it is told to, when the key is old, and through a power cut at any step."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from harness.agent import Agent
from harness.clients import finished, shell, wait_until_online
from harness.faults import ERRORS, KILLS, Fault, Faults, Place
from harness.trials import Trial, Walk
from harness.wait import until

AT_ONCE = 6
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


def test_a_key_older_than_its_days_is_changed(hub, client, activate, new_agent):
    agent = new_agent().configure(identity={"keyMaxAgeDays": 30})
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
    audit = agent.state / "audit" / "log"
    agent.start()
    until("the key has changed", lambda: has_changed(hub, agent, before))
    assert runs_a_command(client, agent)
    told = [one for one in map(json.loads, audit.read_text().splitlines()) if one["event"] == "key.changed"]
    digest = hashlib.sha256(keys_at(hub, agent.node)[0].encode()).hexdigest()
    assert len(told) == 1 and told[0]["who"] == "agent" and digest in str(told[0])


def test_a_key_that_was_made_in_1970_is_as_old_as_the_first_report(hub, client, activate, new_agent):
    agent = new_agent().configure(identity={"keyMaxAgeDays": 30})
    agent.environment["STINT_TEST_CLOCK_OFFSET"] = str(-int(time.time()) + 60)
    agent.register(hub, activate())
    before = private_key(agent)
    assert registration(agent)["keyMadeAt"].startswith("1970")
    agent.start()
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    until("the key has a date", lambda: registration(agent)["keyMadeAt"] >= today)
    assert runs_a_command(client, agent)
    assert private_key(agent) == before


def test_a_hub_that_was_restored_from_before_a_change_of_keys_gets_its_node_back(
    hub, client, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    before, known = private_key(agent), keys_at(hub, agent.node)[0]
    agent.start()
    assert runs_a_command(client, agent)
    hub.node("rotate-key", agent.node)
    agent.stop()
    agent.start()
    until("the key has changed", lambda: has_changed(hub, agent, before), PATIENCE)
    after, new = private_key(agent), keys_at(hub, agent.node)[0]
    agent.stop()
    hub.pretend("UPDATE node SET public_key = ?, previous_public_key = NULL", known)
    hub.pretend("DELETE FROM node_credential")
    agent.start()
    assert runs_a_command(client, agent)
    assert (private_key(agent), keys_at(hub, agent.node)[0]) == (after, new)


def test_a_hub_that_was_restored_from_before_two_changes_of_keys_is_told_the_key_from_its_log(
    hub, client, activate, new_agent
):
    agent = new_agent()
    agent.register(hub, activate())
    known = keys_at(hub, agent.node)[0]
    for _ in range(2):
        before = private_key(agent)
        hub.node("rotate-key", agent.node)
        agent.start()
        until("the key has changed", lambda before=before: has_changed(hub, agent, before), PATIENCE)
        agent.stop()
    new = keys_at(hub, agent.node)[0]
    hub.pretend("UPDATE node SET public_key = ?, previous_public_key = NULL", known)
    hub.pretend("DELETE FROM node_credential")
    agent.start()
    until("it is turned away", lambda: "InvalidSignatureException" in agent.logs())
    changes = [line for line in hub.program.logs().splitlines() if "the node has replaced its key" in line]
    assert agent.node in changes[-1] and new in changes[-1]
    with pytest.raises(AssertionError, match="no key of a node"):
        hub.node("set-key", agent.node, "bm8=")
    hub.node("set-key", agent.node, new)
    agent.stop()
    agent.start()
    assert runs_a_command(client, agent)
    assert keys_at(hub, agent.node) == (new, None)


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


class Rotated(Trial):
    """One agent that is told to change its key."""

    patience = 90

    def __init__(self, agent: Agent, fault: Fault | None, hub, client):
        super().__init__(agent, fault)
        self.hub, self.client = hub, client

    def run(self) -> None:
        """Whatever happens, the node can be reached in the end, with a new key that both sides know."""
        before = private_key(self.agent)

        def changed() -> bool:
            return has_changed(self.hub, self.agent, before)

        self.hub.node("rotate-key", self.agent.node)
        self.agent.start()
        self.wait("the change has been tried", lambda: self.faults.struck() or changed())
        if self.faults.struck() and self.fault.kind in KILLS:
            # The fault says so before it kills. What died with a command in hand would not be started again.
            self.wait("it has died of it", lambda: self.deaths)
        self.wait("it is online", lambda: self.agent.program.alive() and self.agent.status()[1]["online"])
        wait_until_online(self.client, self.agent.node)
        # Not a step of the change makes it deaf.
        assert runs_a_command(self.client, self.agent)
        if not changed():
            # After a failure the next try is an hour away, or a start.
            self.agent.program.stop()
            self.agent.start()
        self.wait("the key has changed", changed)
        assert runs_a_command(self.client, self.agent)
        self.places = self.faults.places()


@pytest.fixture
def walk(hub, client, activate, home):
    """Trials with a fault, or with none."""
    activation = activate(limit=1000)
    walk = Walk(
        home,
        lambda agent: agent.register(hub, activation),
        lambda agent, fault: Rotated(agent, fault, hub, client),
        AT_ONCE,
    )
    yield walk
    walk.clean_up()


def test_no_fault_during_a_change_of_keys_loses_the_node(walk):
    names = [place for place in walk.run().places if place.role == "run"]
    mine = [n for n, place in enumerate(names) if "successor" in place.name]
    # From the first operation on the new file to the fsync of its folder after the last.
    places = names[mine[0] : mine[-1] + 2]
    assert {"rotate", "rotated"} <= {place.name for place in places} and len(places) >= 8
    walk.suffer(Fault(place, kind) for place in places for kind in KILLS + ERRORS if place.can_suffer(kind))
