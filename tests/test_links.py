"""Networks come and go: the agent is back within seconds, and notices a way that has gone without a word."""

import time

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.netns import Device
from harness.wait import until


@pytest.fixture
def device():
    """A device with a network of its own."""
    device = Device()
    yield device
    device.close()


@pytest.fixture
def away(device, new_hub, new_agent, client_of):
    """An agent on the device, Online with a hub beyond its network; and the hub's client."""
    hub, agent = new_hub("--insecure-http"), new_agent()
    device.served(hub, agent)
    return agent, client_of(hub)


def _online(agent) -> bool:
    return agent.status()[1]["online"]


def _works_within(seconds: float, agent, client) -> None:
    """A command that is sent now is done in that time."""
    began = time.monotonic()
    command = shell(client, [agent.node], "echo here")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "here\n"
    assert time.monotonic() - began < seconds


def test_a_new_address_is_taken_up_within_seconds(away, device):
    """The held poll hangs on the old one, on which no answer will ever come."""
    agent, client = away
    old, new = device.addresses
    device.ip("address", "del", f"{old}/29", "dev", device.inside)
    device.ip("address", "add", f"{new}/29", "dev", device.inside)
    until("the change is noticed", lambda: "has changed; connecting anew" in agent.logs(), 10)
    _works_within(10, agent, client)


def test_a_link_that_comes_back_ends_the_wait_for_the_next_try(away, device):
    agent, client = away
    device.ip("link", "set", device.inside, "down")
    # Long enough for waits of half a minute and more.
    until("it waits for long", lambda: (agent.status()[1]["backoffSeconds"] or 0) >= 20, 90)
    device.ip("link", "set", device.inside, "up")
    _works_within(15, agent, client)


def test_a_way_that_is_cut_without_a_word_is_noticed_in_under_a_minute(away, device):
    agent, client = away
    device.cut()
    until("it is noticed", lambda: not _online(agent), 60)
    device.mend()
    # No route and no address has changed, so a wait that has begun goes on: after so short a
    # time it is short.
    wait_until_online(client, agent.node)
    _works_within(60, agent, client)
