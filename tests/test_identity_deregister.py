"""A device parts from its server: both sides forget it, or neither does."""

import json

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.wait import until


def secrets(agent) -> list[str]:
    """The files that hold a key."""
    names = ("registration.json", "successor.json", "candidate.json", "predecessor.json", "bootagent.json")
    return [name for name in names if (agent.state / name).exists()]


def deregister(agent, *options: object):
    """`stint deregister`."""
    config = ["--config", agent.config] if agent.config else []
    return agent.command("deregister", "--state-dir", agent.state, *config, *options)


def nodes(client) -> list[str]:
    """The ids of all nodes that the hub has."""
    return [n["InstanceId"] for n in client.describe_instance_information()["InstanceInformationList"]]


@pytest.fixture
def registered(hub, activate, new_agent):
    """A device that is registered and doesn't run."""
    agent = new_agent()
    agent.register(hub, activate(limit=2))
    return agent


def test_both_sides_forget_a_device_that_deregisters(client, registered):
    done = deregister(registered, "-y")
    assert done.returncode == 0, done.stderr
    assert f"{registered.node} is deregistered" in done.stdout
    assert nodes(client) == [] and secrets(registered) == []
    again = deregister(registered, "-y")
    assert (again.returncode, again.stdout) == (0, "This device is not registered.\n")
    assert registered.status()[1]["registered"] is False


def test_who_is_not_asked_must_have_said_yes(client, registered):
    done = deregister(registered)
    assert done.returncode == 1 and "say -y" in done.stderr
    assert nodes(client) == [registered.node] and secrets(registered) == ["registration.json"]


def test_a_server_that_can_not_be_told_leaves_everything_as_it_was(hub, client, registered):
    hub.stop()
    done = deregister(registered, "-y")
    assert done.returncode == 1
    assert "Nothing is wiped" in done.stderr and "--local" in done.stderr
    assert secrets(registered) == ["registration.json"]
    done = deregister(registered, "-y", "--local")
    assert done.returncode == 0 and "still has the node" in done.stdout
    assert secrets(registered) == []
    hub.start()
    assert nodes(client) == [registered.node]


def test_a_device_that_the_server_has_deregistered_already_wipes_itself(client, registered):
    client.deregister_managed_instance(InstanceId=registered.node)
    done = deregister(registered, "-y")
    assert done.returncode == 0, done.stderr
    assert secrets(registered) == []


def test_a_running_agent_is_not_pulled_the_ground_from_under(client, agent):
    done = deregister(agent, "-y")
    assert done.returncode == 1 and "stop it first" in done.stderr
    assert agent.stop() == 0
    assert deregister(agent, "-y").returncode == 0
    assert nodes(client) == []


def test_a_damaged_registration_is_wiped_by_hand_only(registered):
    (registered.state / "registration.json").write_text("{")
    done = deregister(registered, "-y")
    assert done.returncode == 1 and "--local" in done.stderr
    assert deregister(registered, "-y", "--local").returncode == 0
    assert secrets(registered) == []
    last = registered.command("audit", "--json", "--last", "1", "--state-dir", registered.state).stdout
    record = json.loads(last)
    assert (record["event"], record["what"]) == ("node.deregistered", "node=unknown")
    assert record["who"].startswith("user ")


def test_a_node_deregisters_nobody_but_itself(node, registered):
    refused = node.by_token("DeregisterManagedInstance", {"InstanceId": registered.node})
    assert refused.code == "AccessDeniedException"
    assert node.by_token("DeregisterManagedInstance", {"InstanceId": node.node}).status == 200


def test_a_device_registers_anew_after_it_has_parted(hub, client, activate, registered):
    before = json.loads((registered.state / "registration.json").read_text())["privateKey"]
    assert deregister(registered, "-y").returncode == 0
    node = registered.node
    assert registered.register(hub, activate()) != node
    assert json.loads((registered.state / "registration.json").read_text())["privateKey"] != before
    registered.start()
    wait_until_online(client, registered.node)


def test_what_a_device_had_to_report_as_another_node_does_not_keep_its_own_reports_waiting(
    hub, client, activate, agent
):
    command = shell(client, [agent.node], "sleep 2")
    until("it runs", lambda: agent.status()[1]["jobs"]["running"] == 1)
    hub.stop()
    until("the report waits", lambda: agent.status()[1]["jobs"]["outbox"] == 1)
    assert agent.stop() == 0
    hub.start()
    assert deregister(agent, "-y", "--local").returncode == 0
    agent.register(hub, activate())
    agent.start()
    later = shell(client, [agent.node], "echo on")
    assert finished(client, later, agent.node)["StandardOutputContent"] == "on\n"
    assert agent.status()[1]["jobs"]["outbox"] == 0
    assert command in agent.logs()
