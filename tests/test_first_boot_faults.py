"""Wherever the power goes at a first boot, and whatever fails: one activation, one node, no secret left."""

import json

import pytest

from harness.faults import ERRORS, SAMPLED, Fault, Place
from harness.firstboot import Device
from harness.namespaces import may_mount
from harness.trials import Trial, Walk

pytestmark = pytest.mark.skipif(not may_mount(), reason="needs root, for a mount namespace")

# What happens between two of these is the same for all that follows.
FILES = ("candidate.json", "activation.ssm", "registration.json", "activation.json")
# Trials at once: they wait more than they compute.
AT_ONCE = 16


class Registered(Trial):
    """A device whose image carries an activation with a single place."""

    def __init__(self, agent: Device, fault: Fault | None, hub, client, activate):
        super().__init__(agent, fault)
        # The trial itself is the init that starts it again.
        agent.environment["STINT_RESPAWNED"] = "yes"
        agent.config = agent.home / "agent.json"
        agent.config.write_text(json.dumps({"childrenDir": str(agent.home / "none")}))
        self.client, self.activation = client, activate(limit=1)
        words = {"activationId": self.activation["ActivationId"], "endpoint": hub.endpoint}
        agent.carry(**words, activationCode=self.activation["ActivationCode"], region=hub.region)

    def run(self) -> None:
        """Boots until the device is online, and once more."""
        self.agent.start()
        self.wait("it is online", lambda: self.agent.status()[1]["online"])
        self.places = self.faults.places()
        node = self.agent.status()[1]["instanceId"]
        if self.agent.activation.exists():
            # Its removal failed. The next start tries again.
            assert self.fault.kind in ERRORS
            self.agent.kill()
        self.wait("the activation is wiped", lambda: not self.agent.activation.exists())
        assert self.nodes() == [node]
        assert not list(self.agent.boot.rglob("*.unused"))
        code = self.activation["ActivationCode"].encode()
        kept = [path for path in self.agent.state.rglob("*") if path.is_file()]
        assert not [path for path in kept if code in path.read_bytes()]
        assert self.deaths <= self.faults.struck() + 1, "the daemon died of something else"

    def nodes(self) -> list[str]:
        """All nodes that have come of the activation."""
        key = [{"Key": "ActivationIds", "Values": [self.activation["ActivationId"]]}]
        listed = self.client.describe_instance_information(Filters=key)["InstanceInformationList"]
        return [node["InstanceId"] for node in listed]


@pytest.fixture
def walk(hub, client, activate, home):
    """First boots with a fault, or with none."""
    walk = Walk(
        home,
        lambda agent: None,
        lambda agent, fault: Registered(agent, fault, hub, client, activate),
        AT_ONCE,
        Device,
    )
    yield walk
    walk.clean_up()


@pytest.mark.parametrize("kind", SAMPLED)
def test_wherever_a_first_boot_is_cut_short_it_is_one_node_and_no_secret_is_left(walk, kind):
    places = [place for place in walk.run().places if is_of_registration(place)]
    # Each file is written, or removed, in steps: the list can't have become short by accident.
    assert len(places) >= 14 and {name for name in FILES for p in places if name in p.name} == set(FILES)
    walk.suffer(Fault(place, kind) for place in places if place.can_suffer(kind))


def is_of_registration(place: Place) -> bool:
    """Whether the place is a step of the registration and not of what comes after it."""
    return place.occurrence == 1 and any(name in place.name for name in FILES)
