"""Two devices with one key: the hub finds out, shows it, and either can become a node of its own."""

import json
import re
import shutil
import uuid

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.faults import Fault, Faults, Place
from harness.programs import HUB, run
from harness.wait import until


def listed(hub, node: str) -> list[str]:
    """The node's line of `stint-hub node list`."""
    lines = [line.split("\t") for line in hub.node("list").splitlines()]
    return next(line for line in lines if line[0] == node)


def is_cloned(hub, node: str) -> bool:
    """Whether the hub takes the node for cloned."""
    return listed(hub, node)[-1] == "CLONED"


def marks(hub, node: str) -> dict[str, list[str]]:
    """`stint-hub node show`: the rest of each line by its mark."""
    rows = [line.split("\t") for line in hub.node("show", node).splitlines()]
    return {row[1]: [row[0], *row[2:]] for row in rows if row[0] == "run"}


def identity(client, node: str) -> list[dict]:
    """The node's entries of Custom:StintIdentity."""
    filters = [{"Key": "AWS:InstanceInformation.InstanceId", "Values": [node], "Type": "Equal"}]
    wanted = [{"TypeName": "Custom:StintIdentity"}]
    entities = client.get_inventory(Filters=filters, ResultAttributes=wanted)["Entities"]
    return entities[0]["Data"]["Custom:StintIdentity"]["Content"] if entities else []


def registration(agent) -> dict:
    """The file."""
    return json.loads((agent.state / "registration.json").read_text())


@pytest.fixture
def copied(hub, activate, new_agent):
    """Two devices that were made of one card; neither runs."""
    one, other = new_agent("one"), new_agent("other")
    one.register(hub, activate(DefaultInstanceName="edge", Tags=[{"Key": "site", "Value": "lab"}]))
    shutil.copytree(one.state, other.state)
    other.node = one.node
    return one, other


def test_two_agents_of_one_card_are_found_out(hub, client, copied, home):
    config = home / "agent.json"
    config.write_text(json.dumps({"healthIntervalMinutes": 1}))
    one, _ = copied
    for agent in copied:
        agent.config = config
        agent.start()
        until("it is online", lambda agent=agent: agent.status()[1]["online"])
    until("both have been seen", lambda: len(marks(hub, one.node)) == 2)
    assert not is_cloned(hub, one.node)
    # Two returns have been seen; so the test waits for one report instead of three.
    hub.pretend("UPDATE node SET returns = 2, returned_at = 9000000000000 WHERE id = ?", one.node)
    until("the hub has found out", lambda: is_cloned(hub, one.node), 100)
    entries = identity(client, one.node)
    assert {entry["Cloned"] for entry in entries} == {"true"}
    assert len({entry["Mark"] for entry in entries if entry["Kind"] == "run"}) == 2
    assert "stint_hub_nodes_cloned 1" in hub.get("/metrics")[1]
    assert "two devices use this node's key" in (home / "hub.log").read_text()


def test_an_agent_that_is_restarted_again_and_again_is_one_device(hub, client, agent):
    for _ in range(4):
        agent.kill()
        seen = len(marks(hub, agent.node))
        agent.start()
        until("it has been seen", lambda seen=seen: len(marks(hub, agent.node)) > seen)
    assert not is_cloned(hub, agent.node)
    assert "stint_hub_nodes_cloned 0" in hub.get("/metrics")[1]


def test_a_copy_of_the_original_is_found_out_by_its_fingerprints(hub, node):
    """On other hardware it makes itself another fingerprint."""
    mine, others = node.fingerprint, str(uuid.uuid4())
    for turn in range(4):
        assert not is_cloned(hub, node.node)
        node.fingerprint = others if turn % 2 == 0 else mine
        node.refresh()
    node.fingerprint = others
    node.refresh()
    assert is_cloned(hub, node.node)
    # It gets nothing that it wouldn't understand.
    hub.node("reidentify", node.node)
    assert node.report().body == {}


def test_an_order_that_no_device_can_hear_is_refused_and_a_good_one_says_what_follows(hub, client, node):
    def order(*words):
        return run([HUB, "node", "reidentify", *words, "--data", hub.data], hub.home)

    (line,) = hub.node("show", node.node).splitlines()
    kind, fingerprint = line.split("\t")[:2]
    assert kind == "fingerprint"
    for mark, said in [
        ("no-such-mark", "has shown the mark no-such-mark"),
        (fingerprint, "is a fingerprint"),
    ]:
        done = order(node.node, "--device", mark)
        assert done.returncode == 1 and said in done.stderr and "node show" in done.stderr, done
    assert hub.row("SELECT COUNT(*) FROM reidentification") == (0,)
    for words in [["show", "mi-0"], ["reidentify", "mi-0"]]:
        done = run([HUB, "node", *words, "--data", hub.data], hub.home)
        assert done.returncode == 1 and "no node mi-0" in done.stderr, done

    done = order(node.node)
    assert done.returncode == 0 and "next health report" in done.stdout, done
    assert "is not known to be cloned" in done.stderr
    # As the line says, it can be taken back.
    activation = re.search(r"--activation-id (\S+)`", done.stdout)[1]
    client.delete_activation(ActivationId=activation)
    assert "half an hour" in hub.node("rotate-key", node.node)


def test_the_device_that_is_meant_becomes_a_node_of_its_own_and_the_other_stays(hub, client, copied):
    one, other = copied
    one.start()
    wait_until_online(client, one.node)
    (run_of_one,) = marks(hub, one.node)
    other.start()
    until("both have been seen", lambda: len(marks(hub, one.node)) == 2)
    (run_of_other,) = set(marks(hub, one.node)) - {run_of_one}
    hub.pretend("UPDATE node SET returns = 3, returned_at = 9000000000000 WHERE id = ?", one.node)
    hub.node("reidentify", one.node, "--device", run_of_other)
    # Reports are minutes apart; a start would be another run, so the test goes on as the agents do.
    old = registration(one)
    hub.pretend("UPDATE reidentification SET device = ''")
    assert one.stop() == 0
    assert other.stop() == 0
    other.start()
    until("it is another node", lambda: registration(other)["instanceId"] != one.node)
    other.node = registration(other)["instanceId"]
    one.start()
    for agent in copied:
        wait_until_online(client, agent.node)
        command = shell(client, [agent.node], f"echo {agent.name}")
        assert finished(client, command, agent.node)["StandardOutputContent"] == f"{agent.name}\n"
        until("nothing is left", lambda agent=agent: agent.status()[1]["jobs"]["pending"] == 0)
    assert registration(one) == old
    assert registration(other)["privateKey"] != old["privateKey"]
    assert registration(other)["fingerprint"] != old["fingerprint"]
    # It is what the other was, but for its id.
    assert listed(hub, other.node)[1:3] == ["edge", "EdgeRole"]
    tags = client.list_tags_for_resource(ResourceType="ManagedInstance", ResourceId=other.node)["TagList"]
    assert tags == [{"Key": "site", "Value": "lab"}]
    # And the first is alone with its key again.
    assert not is_cloned(hub, one.node)
    assert hub.row("SELECT COUNT(*) FROM reidentification") == (0,)


def test_a_power_cut_after_the_new_registration_makes_no_third_node(hub, client, copied, home):
    one, _ = copied
    hub.node("reidentify", one.node)
    one.environment = Faults(
        home / "faults", Fault(Place("run", "reidentified", 1), "kill-before")
    ).environment()
    one.start()
    until("the agent has died", lambda: not one.program.alive())
    assert registration(one)["instanceId"] == one.node
    assert hub.row("SELECT COUNT(*) FROM node") == (2,)
    # Where the hardware tells nothing, the order was for the run that is over.
    hub.pretend("UPDATE reidentification SET device = ''")
    one.start()
    until("it is another node", lambda: registration(one)["instanceId"] != one.node)
    wait_until_online(client, registration(one)["instanceId"])
    assert hub.row("SELECT COUNT(*) FROM node") == (2,)


def test_an_order_waits_until_the_device_has_nothing_to_do(hub, client, agent):
    command = shell(client, [agent.node], "sleep 15; echo done")
    until("it runs", lambda: agent.status()[1]["jobs"]["running"] == 1)
    hub.node("reidentify", agent.node)
    assert agent.stop() == 0
    agent.start()
    assert finished(client, command, agent.node)["StandardOutputContent"] == "done\n"
    assert registration(agent)["instanceId"] == agent.node


def test_a_device_is_re_identified_by_hand_with_an_activation(hub, client, activate, copied):
    one, other = copied
    done = other.command("deregister", "--local", "-y", "--state-dir", other.state)
    assert done.returncode == 0, done.stderr
    assert other.register(hub, activate()) != one.node
    for agent in copied:
        agent.start()
        wait_until_online(client, agent.node)
