"""Exit code 194: the device reboots, and the document goes on at the step that asked for it."""

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.reboots import RebootingAgent
from harness.wait import until


@pytest.fixture
def new_device(home, hub, client, activate):
    """A registered, running agent that can be rebooted."""
    agents = []

    def make(**more) -> RebootingAgent:
        agent = RebootingAgent(home, f"device{len(agents)}", **more)
        agents.append(agent)
        agent.register(hub, activate())
        agent.start()
        wait_until_online(client, agent.node)
        return agent

    yield make
    for agent in agents:
        agent.clean_up()


def status(client, command: str, node: str) -> str:
    """The status of an invocation now."""
    return client.get_command_invocation(CommandId=command, InstanceId=node)["Status"]


def once_then(home, name: str) -> list[str]:
    """A script that asks for a reboot the first time, and counts its runs."""
    runs = home / name
    return [f"echo run >>{runs}", f"[ $(wc -l <{runs}) -gt 1 ] || exit 194", "echo after the reboot"]


def test_a_step_that_exits_with_194_runs_again_after_the_reboot(home, client, new_device):
    device = new_device()
    command = shell(client, [device.node], *once_then(home, "runs"))
    until("the reboot is asked for", lambda: device.wishes() == 1)
    assert status(client, command, device.node) == "InProgress"
    device.reboot()
    seen = finished(client, command, device.node)
    assert (seen["Status"], seen["StandardOutputContent"]) == ("Success", "after the reboot\n")
    assert (home / "runs").read_text() == "run\nrun\n"


def test_an_agent_restarted_without_a_reboot_asks_again_and_does_not_go_on(home, client, new_device):
    device = new_device()
    command = shell(client, [device.node], *once_then(home, "runs"))
    until("the reboot is asked for", lambda: device.wishes() == 1)
    device.kill()
    device.start()
    until("the reboot is asked for again", lambda: device.wishes() == 2)
    assert status(client, command, device.node) == "InProgress"
    assert (home / "runs").read_text() == "run\n"


def test_other_documents_end_before_the_reboot_and_none_is_started(home, client, new_device):
    device = new_device()
    go_on = home / "go-on"
    beside = shell(client, [device.node], f"while [ ! -e {go_on} ]; do sleep 0.1; done")
    until("it runs", lambda: status(client, beside, device.node) == "InProgress")
    command = shell(client, [device.node], *once_then(home, "runs"))
    until("the step has ended", lambda: (home / "runs").exists())
    until("its wish is noted", lambda: "asks for a reboot" in device.logs())
    later = shell(client, [device.node], f"echo later >{home}/later")
    assert device.wishes() == 0
    go_on.touch()
    until("the reboot is asked for", lambda: device.wishes() == 1)
    assert finished(client, beside, device.node)["Status"] == "Success"
    assert not (home / "later").exists()
    device.reboot()
    for each in [command, later]:
        assert finished(client, each, device.node)["Status"] == "Success"


def test_a_device_that_cannot_be_rebooted_fails_the_command_and_says_why(client, new_device):
    device = new_device(command=["false"])
    command = shell(client, [device.node], "exit 194")
    seen = finished(client, command, device.node)
    assert seen["Status"] == "Failed"
    assert "false failed: exit status: 1" in seen["StandardErrorContent"]
    after = shell(client, [device.node], "echo still here")
    assert finished(client, after, device.node)["StandardOutputContent"] == "still here\n"


def test_a_command_cancelled_before_the_reboot_spares_the_device_the_reboot(home, client, new_device):
    device = new_device()
    go_on = home / "go-on"
    beside = shell(client, [device.node], f"while [ ! -e {go_on} ]; do sleep 0.1; done")
    until("it runs", lambda: status(client, beside, device.node) == "InProgress")
    command = shell(client, [device.node], "exit 194")
    until("its wish is noted", lambda: "asks for a reboot" in device.logs())
    client.cancel_command(CommandId=command)
    assert finished(client, command, device.node)["Status"] == "Cancelled"
    go_on.touch()
    until("the agent goes on", lambda: "no reboot" in device.logs())
    assert device.wishes() == 0
