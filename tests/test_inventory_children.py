"""The child agents of a node that polls for commands are its inventory, as those of BootAgent nodes are."""

import time

import pytest

from harness.wait import until

TYPE = "Custom:StintChildAgent"
# The agent waits 5 s after its start, and tells changes once a minute at most.
PATIENCE = 90


def entries(aws, node: str) -> dict[str, dict]:
    """What the AWS CLI lists, by name."""
    said = aws("list-inventory-entries", "--instance-id", node, "--type-name", TYPE)
    return {entry["Name"]: entry for entry in said.get("Entries", [])}


def told(hub) -> list[str]:
    """The codes of all PutInventory calls."""
    lines = [line for line in hub.program.log.read_text().splitlines() if 'operation="PutInventory"' in line]
    return [line.partition('code="')[2].partition('"')[0] for line in lines]


@pytest.fixture
def kids(children):
    """Two children of an agent that polls for commands."""
    kids = children()
    kids.define("steady", "exec sleep 600", version="1.2", limits={"CPU": "50%"})
    kids.define("other", "exec sleep 600")
    kids.agent.start()
    return kids


@pytest.mark.long
def test_children_are_listed_with_their_states_and_each_change_within_a_minute(kids, hub, aws):
    node = kids.agent.node
    listed = until("they are listed", lambda: entries(aws, node), PATIENCE)
    assert listed["other"] == {"Name": "other", "Status": "running"}
    steady = listed["steady"]
    assert (steady["Status"], steady["Version"]) == ("running", "1.2") and steady["CpuEnforced"]
    begin = time.monotonic()
    for action in ("stop", "start", "stop"):
        assert kids.job(action, "other") == (0, "success")
    until("the stop is told", lambda: entries(aws, node)["other"]["Status"] == "stoped", PATIENCE)
    # However much happens.
    assert len(told(hub)) == 2 and time.monotonic() - begin > 40
    assert set(told(hub)) == {"OK"}


def test_after_a_restart_the_server_is_told_only_what_it_lacks(kids, hub, aws, client):
    node = kids.agent.node
    first = until("they are listed", lambda: entries(aws, node), PATIENCE)
    kids.agent.kill()
    kids.agent.start()
    # The content is the same, so its mark is enough.
    until("it is told again", lambda: told(hub) == ["OK"] * 2, PATIENCE)
    assert entries(aws, node) == first
    # The server has lost it meanwhile.
    item = {"TypeName": TYPE, "SchemaVersion": "1.0", "CaptureTime": "2026-11-22T08:00:00Z"}
    client.put_inventory(InstanceId=node, Items=[{**item, "Content": [], "ContentHash": "another"}])
    kids.agent.kill()
    kids.agent.start()
    until("it is told whole", lambda: entries(aws, node) == first, PATIENCE)
    assert told(hub)[-2:] == ["ItemContentMismatchException", "OK"]


def test_an_agent_without_children_puts_no_inventory(online, hub):
    online()
    time.sleep(8)
    assert told(hub) == []
