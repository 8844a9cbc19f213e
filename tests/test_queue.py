"""How commands wait for their turn on a device: in order, so many at a time, or alone."""

import json

import pytest

from harness.clients import finished, shell
from harness.wait import until


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
    go_on, order = home / "go-on", home / "order"
    script = f"echo $SSM_COMMAND_ID >>{order}; while [ ! -e {go_on} ]; do sleep 0.1; done"
    commands = []
    for number in range(5):
        commands.append(shell(client, [agent.node], script))
        # Sent one by one, so that there is an order to be kept.
        until("it has arrived", lambda: len(client.list_commands()["Commands"]) == len(commands))
        if number < 3:
            until("it runs", lambda: order.exists() and len(order.read_text().split()) == len(commands))
    assert order.read_text().split() == commands[:3]
    go_on.touch()
    for command in commands:
        assert finished(client, command, agent.node)["Status"] == "Success"
    assert order.read_text().split()[:3] == commands[:3]
    assert sorted(order.read_text().split()[3:]) == sorted(commands[3:])


def test_a_document_that_runs_alone_waits_for_the_others_and_holds_those_behind_it(
    home, client, agent, alone
):
    order, go_on, finish = home / "order", home / "go-on", home / "finish"
    wait = "while [ ! -e {} ]; do sleep 0.1; done"
    before = shell(client, [agent.node], f"echo before >>{order}; {wait.format(go_on)}")
    until("the first runs", order.exists)
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
    until("the first runs", order.exists)
    second = shell(client, [agent.node], f"echo second >>{order}")
    until("the second waits", lambda: agent.status()[1]["jobs"]["pending"] == 1)
    client.cancel_command(CommandId=second)
    assert finished(client, second, agent.node)["Status"] == "Cancelled"
    go_on.touch()
    assert finished(client, first, agent.node)["Status"] == "Success"
    assert order.read_text().split() == ["first"]
