"""A hub that is restored from a backup: docs/OPERATIONS.md says what it knows then, and what it doesn't."""

import json
import sqlite3

from harness.clients import error_code, finished, shell, wait_until_online
from harness.wait import until


class Backup:
    """A copy of the database as it is now, made while the hub runs."""

    def __init__(self, hub):
        self.hub, self.copy = hub, hub.home / "backup.db"
        source, copy = sqlite3.connect(hub.data / "hub.db", timeout=20), sqlite3.connect(self.copy)
        source.backup(copy)
        source.close()
        copy.close()

    def restore(self) -> None:
        """Puts it in the database's place."""
        self.hub.stop()
        for name in ("hub.db-wal", "hub.db-shm"):
            (self.hub.data / name).unlink(missing_ok=True)
        self.copy.rename(self.hub.data / "hub.db")
        self.hub.start()


def steps_told(client, command: str) -> dict[str, tuple[str, int]]:
    """The steps of whose end the hub was told, with status and exit code."""
    found = client.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"][0]
    told = [step for step in found["CommandPlugins"] if "ResponseFinishDateTime" in step]
    return {step["Name"]: (step["Status"], step["ResponseCode"]) for step in told}


def test_steps_that_were_told_since_the_backup_stay_missing_and_the_rest_comes(hub, client, agent, tmp_path):
    gates = [tmp_path / "first", tmp_path / "second"]
    steps = [
        {"action": "aws:runShellScript", "name": gate.name, "inputs": {"runCommand": [script]}}
        for gate in gates
        for script in (f"until [ -e {gate} ]; do sleep 0.05; done; echo {gate.name} >> {tmp_path / 'ran'}",)
    ]
    content = json.dumps({"schemaVersion": "2.2", "mainSteps": steps})
    client.create_document(Name="Two", DocumentType="Command", Content=content)
    command = client.send_command(DocumentName="Two", InstanceIds=[agent.node])["Command"]["CommandId"]
    whole = {"CommandId": command, "InstanceId": agent.node}
    until("it runs", lambda: client.get_command_invocation(**whole)["Status"] == "InProgress")
    backup = Backup(hub)
    gates[0].touch()
    until("the hub is told", lambda: steps_told(client, command) == {"first": ("Success", 0)})
    backup.restore()
    gates[1].touch()
    assert finished(client, command, agent.node)["Status"] == "Success"
    assert steps_told(client, command) == {"second": ("Success", 0)}
    assert (tmp_path / "ran").read_text() == "first\nsecond\n"


def test_what_was_run_since_the_backup_is_not_run_again_and_nobody_says_how_it_ended(
    hub, client, agent, tmp_path
):
    agent.stop()
    command = shell(client, [agent.node], f"echo once >> {tmp_path / 'ran'}")
    backup = Backup(hub)
    agent.start()
    assert finished(client, command, agent.node)["Status"] == "Success"
    later = shell(client, [agent.node], "true")
    backup.restore()
    wait_until_online(client, agent.node)
    acknowledged = "SELECT acknowledged_at FROM invocation WHERE acknowledged_at > 0"
    until("it is offered again", lambda: hub.row(acknowledged))
    assert finished(client, shell(client, [agent.node], "true"), agent.node)["Status"] == "Success"
    words = {"CommandId": command, "InstanceId": agent.node}
    assert client.get_command_invocation(**words)["Status"] == "InProgress"
    assert (tmp_path / "ran").read_text() == "once\n"
    words["CommandId"] = later
    assert error_code(client.get_command_invocation, **words) == "InvocationDoesNotExist"
