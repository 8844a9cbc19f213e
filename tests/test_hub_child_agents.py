"""The whole way: an operator's command, the hub, a real agent, its children, and back into the inventory."""

import json

import pytest

from harness.children import alive
from harness.clients import finished, wait_until_online
from harness.hub import Hub
from harness.installs import Installs
from harness.programs import HUB, run
from harness.wait import until


@pytest.fixture
def boot_children(hub, client, activate, new_agent):
    """Children of an agent that speaks the BootAgent protocol with the hub; not started yet."""
    made = []

    def make(name: str = "agent", tags: dict[str, str] | None = None, **supervise) -> Installs:
        agent = new_agent(name)
        kids = Installs(agent, **supervise)
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


# --- packages of the hub's store -----------------------------------------------------------------


@pytest.fixture
def document_children(hub, activate, new_agent):
    """Children of an agent that polls for commands; not started yet."""
    made = []

    def make(name: str = "agent", tags: dict[str, str] | None = None, **supervise) -> Installs:
        agent = new_agent(name)
        tags = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        agent.register(hub, activate(Tags=tags))
        made.append(Installs(agent, **supervise))
        return made[-1]

    yield make
    for kids in made:
        kids.clean_up()


def put(hub: Hub, file, content: bytes, name: str, version: str) -> None:
    """Puts a package into the hub's store."""
    file.write_bytes(content)
    words = ["put", file, "--name", name, "--version", version, "--data", hub.data]
    done = run([HUB, "package", *words], hub.home)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["boot_children", "document_children"])
def test_a_package_of_the_store_is_installed_upgraded_and_uninstalled(hub, client, request, tmp_path, kind):
    kids = request.getfixturevalue(kind)()
    kids.agent.start()
    node = kids.agent.node
    wait_until_online(client, node)
    put(hub, tmp_path / "app-1.9.tgz", kids.package("app", "1.9"), "app", "1.9")
    done = do(client, node, Action="install", Package="app", Envs='{"MODE": "fast"}')
    assert done["Status"] == "Success" and "1.9" in done["StandardOutputContent"], done
    assert kids.running("app") == ["1.9"]
    assert kids.record("app")["envs"] == {"MODE": "fast"}

    put(hub, tmp_path / "app-1.10.tgz", kids.package("app", "1.10"), "app", "1.10")
    done = do(client, node, Action="upgrade", Package="app")
    assert done["Status"] == "Success", done
    assert kids.running("app") == ["1.10"] and kids.of_status()["app"]["version"] == "1.10"
    # What the command didn't say has stayed.
    assert kids.record("app")["envs"] == {"MODE": "fast"}
    if kind == "boot_children":
        assert shown(client, node, "app", Status="running", Version="1.10")

    assert do(client, node, Action="install", Package="app=1.9")["Status"] == "Success"
    assert kids.running("app") == ["1.9"]
    assert do(client, node, Action="uninstall", Name="app")["Status"] == "Success"
    assert kids.running("app") == [] and not kids.folder("app").exists()
    if kind == "boot_children":
        until("it is gone from the inventory", lambda: inventory(client, node) == [])


def test_one_command_of_the_aws_cli_installs_on_nodes_of_both_kinds(
    hub, aws, client, boot_children, document_children, tmp_path
):
    both = [boot_children("reporter", {"site": "lab"}), document_children("poller", {"site": "lab"})]
    for kids in both:
        kids.agent.start()
        wait_until_online(client, kids.agent.node)
    put(hub, tmp_path / "app-1.tgz", both[0].package("app", "1"), "app", "1")
    sent = aws(
        "send-command", "--document-name", "Stint-ConfigureAgent", "--targets", "Key=tag:site,Values=lab",
        "--parameters", "Action=install,Package=app",
    )["Command"]  # fmt: skip
    for kids in both:
        aws("wait command-executed", "--command-id", sent["CommandId"], "--instance-id", kids.agent.node)
        assert finished(client, sent["CommandId"], kids.agent.node)["Status"] == "Success"
        assert kids.of_status()["app"]["status"] == "running"
    (command,) = client.list_commands(CommandId=sent["CommandId"])["Commands"]
    assert (command["Status"], command["CompletedCount"]) == ("Success", 2)


def test_a_bad_upgrade_is_taken_back_and_the_operator_sees_it(hub, client, boot_children, tmp_path):
    kids = boot_children(cooldownSeconds=1)
    kids.agent.start()
    node = kids.agent.node
    put(hub, tmp_path / "app-1.tgz", kids.package("app", "1"), "app", "1")
    assert do(client, node, Action="install", Package="app")["Status"] == "Success"
    put(hub, tmp_path / "app-2.tgz", kids.package("app", "2", then="exit 1"), "app", "2")
    done = do(client, node, Action="upgrade", Package="app")
    assert (done["Status"], done["ResponseCode"]) == ("Failed", 1)
    assert "version 1 is in its place again" in done["StandardErrorContent"]

    def rollback() -> str:
        events = inventory(client, node, "StintChildEvent")
        return next((event["Message"] for event in events if event["Category"] == "rollback"), "")

    assert "version 1" in until("the hub knows of the rollback", rollback)
    shown(client, node, "app", Status="running", Version="1")
    assert kids.running("app") == ["1"]


def test_a_package_comes_over_tls_from_a_hub_with_its_own_authority(new_hub, client_of, new_agent, tmp_path):
    hub = new_hub("--tls-self-signed")
    client = client_of(hub, verify=str(hub.ca()))
    kids = Installs(new_agent())
    try:
        config = json.loads(kids.agent.config.read_text())
        config |= {"bootagent": {"servers": hub.endpoint, "step": 1}, "caFile": str(hub.ca())}
        kids.agent.config.write_text(json.dumps(config))
        activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
        words = ["--activation-id", activation["ActivationId"], "--ca-file", hub.ca()]
        words += ["--activation-code", activation["ActivationCode"], "--state-dir", kids.agent.state]
        done = kids.agent.command("register", "--server", hub.endpoint, *words)
        assert done.returncode == 0, done.stderr
        node = done.stdout.strip()
        kids.agent.start()
        put(hub, tmp_path / "app-1.tgz", kids.package("app", "1"), "app", "1")
        done = do(client, node, Action="install", Package="app")
        assert done["Status"] == "Success", done
        assert kids.running("app") == ["1"]
    finally:
        kids.clean_up()
