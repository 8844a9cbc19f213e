"""BootAgent nodes and the hub: registration, jobs, keys, and both protocols beside each other."""

import json

import pytest

from harness.clients import boto3_client, finished, shell, wait_until_online
from harness.programs import HUB, run
from harness.wait import until


def enrol(agent, hub, activation: dict, *options: object) -> str:
    """`stint register --server`; the node's id."""
    words = ["register", "--server", hub.endpoint, "--state-dir", agent.state]
    words += ["--activation-id", activation["ActivationId"]]
    words += ["--activation-code", activation["ActivationCode"], *options]
    done = agent.command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def configure(agent, hub, **more: object) -> None:
    """Has the agent report every second."""
    agent.config = agent.home / f"{agent.name}.json"
    children = str(agent.home / "children.d")
    bootagent = {"servers": hub.endpoint, "step": 1, **more}
    agent.config.write_text(json.dumps({"bootagent": bootagent, "childrenDir": children}))


def send(client, node: str, **parameters: str) -> dict:
    """Stint-ConfigureAgent on a node, to its end."""
    lists = {name: [value] for name, value in parameters.items()}
    sent = client.send_command(DocumentName="Stint-ConfigureAgent", InstanceIds=[node], Parameters=lists)
    return finished(client, sent["Command"]["CommandId"], node)


def server_key(hub, *words: str) -> str:
    """`stint-hub server-key`."""
    done = run([HUB, "server-key", *words[:1], "--data", hub.data, *words[1:]], hub.home)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_node_of_the_founding_protocol_registers_and_does_its_jobs(hub, client, activate, new_agent):
    agent = new_agent()
    configure(agent, hub)
    node = enrol(agent, hub, activate())
    assert node.startswith("mi-")
    agent.start()
    wait_until_online(client, node)
    done = send(client, node, Action="config", Step="90")
    assert (done["Status"], done["StandardOutputContent"].strip()) == ("Success", "success")
    assert "svrlist" not in json.dumps(agent.status()[1]["bootagent"])
    code, said = agent.status()
    assert code == 0 and said["bootagent"]["instanceId"] == node


def test_an_activation_is_needed_once_and_only_once(hub, client, activate, new_agent):
    agent = new_agent()
    configure(agent, hub)
    node = enrol(agent, hub, activate())
    agent.start()
    wait_until_online(client, node)
    agent.kill()
    # As the same key, without an activation: a flash that was restored from a backup.
    done = agent.command("register", "--server", hub.endpoint, "--state-dir", agent.state, "-y")
    assert (done.returncode, done.stdout.strip()) == (0, node)
    stranger = new_agent("stranger")
    done = stranger.command("register", "--server", hub.endpoint, "--state-dir", stranger.state)
    assert done.returncode == 1 and "activation" in done.stderr


def test_a_hub_changes_its_key_and_the_nodes_follow(hub, client, activate, new_agent):
    agent = new_agent()
    configure(agent, hub)
    node = enrol(agent, hub, activate())
    agent.start()
    wait_until_online(client, node)
    old = server_key(hub, "list").split()[0]
    server_key(hub, "add")

    def nobody_depends() -> bool:
        lines = {line.split()[0]: line.split("\t")[-1] for line in server_key(hub, "list").splitlines()}
        return lines[old].strip() == "0"

    until("no node depends on the old key", nobody_depends)
    server_key(hub, "delete", old)
    done = send(client, node, Action="config", Step="91")
    assert done["Status"] == "Success"


@pytest.fixture
def tls_hub(new_hub):
    """A hub with `--tls-self-signed`."""
    return new_hub("--tls-self-signed")


def test_the_whole_way_works_over_tls(tls_hub, new_agent):
    client = boto3_client(tls_hub, verify=str(tls_hub.ca()))
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    agent = new_agent()
    node = enrol(agent, tls_hub, activation, "--ca-file", tls_hub.ca())
    agent.start()
    wait_until_online(client, node)
    blind = new_agent("blind")
    done = blind.command("register", "--server", tls_hub.endpoint, "--state-dir", blind.state)
    assert done.returncode == 1 and "--ca-file" in done.stderr


def test_one_agent_has_both_links_and_each_does_its_own_work(hub, client, activate, new_agent):
    agent = new_agent()
    configure(agent, hub)
    by_commands = agent.register(hub, activate())
    by_reports = enrol(agent, hub, activate())
    assert by_commands != by_reports
    agent.start()
    wait_until_online(client, by_commands)
    wait_until_online(client, by_reports)
    command = shell(client, [by_commands], "echo both")
    assert finished(client, command, by_commands)["StandardOutputContent"] == "both\n"
    assert send(client, by_reports, Action="config", Step="92")["Status"] == "Success"
    code, said = agent.status()
    assert code == 0 and {link["link"] for link in said["links"]} == {"ec2messages", "bootagent"}
    text = agent.command("status", "--state-dir", agent.state).stdout
    assert f"registered   {by_commands}" in text and f"node {by_reports}" in text
    assert "link         ec2messages online" in text and "link         bootagent online" in text
