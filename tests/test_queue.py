"""How commands wait for their turn on a device: in order, so many at a time, or alone."""

import json

import pytest

from harness.clients import finished, shell, wait_until_online
from harness.wait import said, until


@pytest.fixture
def alone(client):
    """Makes a document that wants the device to itself."""
    step = {"action": "aws:runShellScript", "name": "run", "inputs": {"runCommand": "{{ commands }}"}}
    content = {
        "schemaVersion": "2.2",
        "runAlone": True,
        "parameters": {"commands": {"type": "StringList"}},
        "mainSteps": [step],
    }
    client.create_document(Name="Alone", DocumentType="Command", Content=json.dumps(content))

    def send(node: str, *commands: str) -> str:
        sent = client.send_command(
            DocumentName="Alone", InstanceIds=[node], Parameters={"commands": list(commands)}
        )
        return sent["Command"]["CommandId"]

    return send


def test_no_more_run_at_once_than_the_device_takes_and_the_rest_in_order(home, client, agent):
    order = home / "order"
    commands = []
    for number in range(5):
        wait = f"while [ ! -e {home}/go-on-{number} ]; do sleep 0.1; done"
        commands.append(shell(client, [agent.node], f"echo $SSM_COMMAND_ID >>{order}; {wait}"))
        # Sent one by one, so that there is an order to be kept.
        until("it has arrived", lambda: len(client.list_commands()["Commands"]) == len(commands))
        if number < 3:
            until("it runs", lambda: order.exists() and len(order.read_text().split()) == len(commands))
    until("two wait", lambda: agent.status()[1]["jobs"]["pending"] == 2)
    assert order.read_text().split() == commands[:3]
    # One place at a time becomes free, so that those that wait start one after the other.
    for number in (0, 1):
        (home / f"go-on-{number}").touch()
        until("the next runs", lambda count=4 + number: len(order.read_text().split()) == count)
    assert order.read_text().split() == commands
    for number in (2, 3, 4):
        (home / f"go-on-{number}").touch()
    for command in commands:
        assert finished(client, command, agent.node)["Status"] == "Success"


@pytest.fixture
def configured(home, hub, client, activate, new_agent):
    """Makes an online node with these settings in its configuration."""

    def make(**settings: object):
        agent = new_agent()
        agent.config = home / "agent.json"
        agent.config.write_text(json.dumps(settings))
        agent.register(hub, activate())
        agent.start()
        wait_until_online(client, agent.node)
        return agent

    return make


def test_as_many_run_at_once_as_the_configuration_says(home, client, configured):
    agent = configured(commandWorkers=2)
    go_on, begun = home / "go-on", home / "begun"
    script = f"echo x >>{begun}; while [ ! -e {go_on} ]; do sleep 0.1; done"
    commands = [shell(client, [agent.node], script) for _ in range(3)]
    until("two run", lambda: begun.exists() and len(begun.read_text().split()) == 2)
    until("one waits", lambda: agent.status()[1]["jobs"]["pending"] == 1)
    assert len(begun.read_text().split()) == 2
    go_on.touch()
    for command in commands:
        assert finished(client, command, agent.node)["Status"] == "Success"


def test_a_script_lies_where_the_configuration_says_and_only_while_it_runs(home, client, configured):
    scripts = home / "memory"
    agent = configured(scriptsDir=str(scripts))
    command = shell(client, [agent.node], "echo $0")
    assert finished(client, command, agent.node)["StandardOutputContent"].startswith(f"{scripts}/")
    assert not list(scripts.glob("*.sh"))
    assert not list(agent.state.rglob("_script*"))


def test_of_finished_jobs_the_latest_are_kept_as_many_as_the_configuration_says(client, configured):
    agent = configured(keepFinishedJobs=2)
    kept = agent.state / "spool" / "completed"
    commands = []
    for number in range(4):
        commands.append(shell(client, [agent.node], f"echo {number}"))
        assert finished(client, commands[-1], agent.node)["Status"] == "Success"
    # A record and an output of each.
    latest = {name for command in commands[2:] for name in (command, f"{command}.json")}
    until("the older ones are gone", lambda: {path.name for path in kept.iterdir()} == latest)


def test_a_document_that_runs_alone_waits_for_the_others_and_holds_those_behind_it(
    home, client, agent, alone
):
    order, go_on, finish = home / "order", home / "go-on", home / "finish"
    wait = "while [ ! -e {} ]; do sleep 0.1; done"
    before = shell(client, [agent.node], f"echo before >>{order}; {wait.format(go_on)}")
    said(order)  # It runs.
    single = alone(agent.node, f"echo alone >>{order}; {wait.format(finish)}; echo done >>{order}")
    until("it waits", lambda: agent.status()[1]["jobs"]["pending"] == 1)
    behind = shell(client, [agent.node], f"echo behind >>{order}")
    until("both wait", lambda: agent.status()[1]["jobs"]["pending"] == 2)
    assert order.read_text().split() == ["before"]
    go_on.touch()
    until("it runs", lambda: "alone" in order.read_text())
    assert finished(client, before, agent.node)["Status"] == "Success"
    assert agent.status()[1]["jobs"] == {"pending": 1, "running": 1, "completed": 1, "outbox": 0}
    finish.touch()
    for command in [single, behind]:
        assert finished(client, command, agent.node)["Status"] == "Success"
    assert order.read_text().split() == ["before", "alone", "done", "behind"]


def test_a_command_cancelled_while_it_waits_never_runs(home, client, agent, alone):
    order, go_on = home / "order", home / "go-on"
    first = alone(agent.node, f"echo first >>{order}; while [ ! -e {go_on} ]; do sleep 0.1; done")
    said(order)  # It runs.
    second = shell(client, [agent.node], f"echo second >>{order}")
    until("the second waits", lambda: agent.status()[1]["jobs"]["pending"] == 1)
    client.cancel_command(CommandId=second)
    assert finished(client, second, agent.node)["Status"] == "Cancelled"
    go_on.touch()
    assert finished(client, first, agent.node)["Status"] == "Success"
    assert order.read_text().split() == ["first"]
