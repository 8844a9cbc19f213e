"""The serial console: what somebody with a cable and no network gets to know."""

import json

import pytest

from harness.console import Console
from harness.firstboot import Device
from harness.namespaces import may_mount
from harness.wait import until


@pytest.fixture
def console():
    """A serial port with somebody at its far end."""
    console = Console()
    yield console
    console.close()


@pytest.fixture
def device(home, console):
    """A device with that port, whose image carries an activation."""
    device = Device(home)
    device.config = home / "device.json"
    children = str(home / "children.d")
    config = {"serialDevices": [console.device], "childrenDir": children, "bootagent": {"step": 1}}
    device.config.write_text(json.dumps(config))
    yield device
    device.clean_up()


@pytest.mark.skipif(not may_mount(), reason="needs root, for a mount namespace")
def test_a_technician_sees_why_a_device_does_not_register_and_then_which_node_it_is(
    console, device, hub, activate
):
    made = activate()
    words = {"activationId": made["ActivationId"], "region": hub.region}
    device.carry(**words, activationCode=made["ActivationCode"], endpoint="http://127.0.0.1:9")
    device.start()
    until("it says so", lambda: console.lines("backoff"))
    assert [line["node"] for line in console.lines("start")] == ["not registered"]
    assert "127.0.0.1:9" in console.lines("backoff")[0]["error"]
    # Each reason is told once, however often it is the reason.
    until("it has been tried again", lambda: device.logs().count("registration failed") >= 2)
    device.carry(**words, activationCode="x" * 20, endpoint=hub.endpoint)
    until("the new reason is told", lambda: len(console.lines("backoff")) > 1)
    assert len({line["error"] for line in console.lines("backoff")}) == len(console.lines("backoff"))
    device.carry(**words, activationCode=made["ActivationCode"], endpoint=hub.endpoint)
    (online,) = until("it is online", lambda: console.lines("online"))
    assert online["node"] == device.status()[1]["instanceId"] != ""
    assert device.stop() == 0
    device.start()
    until("it has started again", lambda: len(console.lines("start")) == 2)
    assert console.lines("start")[1]["node"] == online["node"]


@pytest.mark.parametrize(
    ("offset", "state"),
    [("-34560000,set", "unset"), ("3600", "unset"), ("3600,set", "set")],
    ids=["before the agent's sources", "set by nobody", "set by somebody"],
)
def test_a_clock_is_called_set_if_the_agent_relies_on_it(console, new_agent, home, offset, state):
    agent = new_agent()
    agent.config = home / "agent.json"
    server = {"servers": "http://127.0.0.1:9"}
    config = {"serialDevices": [console.device], "bootagent": server, "childrenDir": str(home / "none")}
    agent.config.write_text(json.dumps(config))
    agent.environment = {"STINT_TEST_CLOCK_OFFSET": offset}
    agent.start()
    (line,) = until("it reports", lambda: console.lines("clock"))
    assert line["state"] == state, line
