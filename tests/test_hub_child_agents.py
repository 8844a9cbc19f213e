"""The whole way: an operator's command, the hub, a real agent, its children, and back into the inventory."""

import json

import pytest

from harness.children import Children, alive
from harness.clients import finished, wait_until_online
from harness.wait import until


@pytest.fixture
def boot_children(hub, client, activate, new_agent):
    """Children of an agent that speaks the BootAgent protocol with the hub; not started yet."""
    made = []

    def make(name: str = "agent", tags: dict[str, str] | None = None, **supervise) -> Children:
        agent = new_agent(name)
        kids = Children(agent, **supervise)
        config = json.loads(agent.config.read_text())
        config["bootagent"] = {"servers": hub.endpoint, "step": 1}
        agent.config.write_text(json.dumps(config))
        tags = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        activation = activate(Tags=tags)
        words = ["register", "--server", hub.endpoint, "--state-dir", agent.state]
        words += ["--activation-id", activation["ActivationId"]]
        words += ["--activation-code", activation["ActivationCode"]]
        done = agent.command(*words)
        assert done.returncode == 0, done.stderr
        agent.node = done.stdout.strip()
        made.append(kids)
        return kids

    yield make
    for kids in made:
        kids.clean_up()


def inventory(client, node: str, kind: str = "StintChildAgent") -> list[dict]:
    """What the hub shows of a node's children."""
    return client.list_inventory_entries(InstanceId=node, TypeName=f"Custom:{kind}")["Entries"]


def shown(client, node: str, name: str, **wanted: str) -> dict:
    """Waits until the hub shows a child so."""

    def probe() -> dict | None:
        for child in inventory(client, node):
            if child["Name"] == name and all(child.get(key) == value for key, value in wanted.items()):
                return child
        return None

    return until(f"{name} is shown with {wanted}", probe)


def do(client, node: str, **parameters: str) -> dict:
    """Stint-ConfigureAgent on a node, to its end."""
    lists = {name: [value] for name, value in parameters.items()}
    sent = client.send_command(DocumentName="Stint-ConfigureAgent", InstanceIds=[node], Parameters=lists)
    return finished(client, sent["Command"]["CommandId"], node)


def test_a_child_is_stopped_started_and_restarted_by_the_operator(client, boot_children):
    kids = boot_children()
    kids.define("sensor", "exec sleep 600", version="1.2")
    kids.agent.start()
    node = kids.agent.node
    wait_until_online(client, node)
    assert shown(client, node, "sensor", Status="running")["Version"] == "1.2"

    done = do(client, node, Action="stop", Name="sensor")
    assert (done["Status"], done["ResponseCode"]) == ("Success", 0), done
    assert shown(client, node, "sensor", Status="stoped")["Uptime"] == "0"
    assert not alive(kids.pids("sensor")[-1])
    assert do(client, node, Action="start", Name="sensor")["Status"] == "Success"
    shown(client, node, "sensor", Status="running")
    assert do(client, node, Action="restart", Name="sensor")["Status"] == "Success"
    until("it runs for the third time", lambda: len(kids.pids("sensor")) == 3)


def test_a_job_that_fails_fails_the_invocation_with_the_agents_words(client, boot_children):
    kids = boot_children()
    kids.agent.start()
    done = do(client, kids.agent.node, Action="start", Name="nobody")
    assert done["Status"] == "Failed" and done["ResponseCode"] != 0
    assert "nobody" in done["StandardErrorContent"]


def test_a_crash_loop_is_seen_by_the_operator(hub, client, boot_children):
    kids = boot_children()
    kids.define("crasher", "exit 1")
    kids.agent.start()
    node = kids.agent.node
    assert shown(client, node, "crasher", Status="fatal")["Reason"] == "exit:1"

    def categories() -> list[str]:
        events = inventory(client, node, "StintChildEvent")
        return [event["Category"] for event in events if event["Name"] == "crasher"]

    # Newest first; each once, however often it was reported.
    until("all its events are there", lambda: categories() == ["fatal", *["exit"] * 4])
    _, metrics = hub.get("/metrics")
    assert 'stint_hub_child_events_total{category="fatal"} 1' in metrics


def test_limits_are_changed_from_the_hub_without_a_restart(client, boot_children):
    kids = boot_children()
    kids.define("sensor", "exec sleep 600")
    kids.agent.start()
    node = kids.agent.node
    before = shown(client, node, "sensor", Status="running")
    assert "CpuEnforced" not in before
    done = do(client, node, Action="config", Name="sensor", Limits='{"CPU": "10%", "memory": "20M"}')
    assert done["Status"] == "Success", done
    limited = until("its limits are shown", lambda: _with(client, node, "sensor", "CpuEnforced"))
    assert limited["CpuEnforced"] in ("hard", "relative", "polled", "none")
    assert do(client, node, Action="config", Name="sensor", Limits="{}")["Status"] == "Success"
    until("its limits are gone", lambda: not _with(client, node, "sensor", "CpuEnforced"))
    assert len(kids.pids("sensor")) == 1


def _with(client, node: str, name: str, member: str) -> dict | None:
    found = [child for child in inventory(client, node) if child["Name"] == name]
    return found[0] if found and member in found[0] else None
