"""Documents that come without a server: a folder, and `stint send-offline`."""

import json
import os
import re
import time
from pathlib import Path

import pytest

from harness.wait import until


def document(*commands: str, **parameters: dict) -> str:
    """A Command document that runs these lines."""
    step = {"action": "aws:runShellScript", "name": "step", "inputs": {"runCommand": list(commands)}}
    return json.dumps({"schemaVersion": "2.2", "parameters": parameters, "mainSteps": [step]})


@pytest.fixture
def device(new_agent):
    """A device that no server knows, with a folder for local documents."""
    agent = new_agent()
    local(agent).mkdir(parents=True, mode=0o700)
    agent.state.chmod(0o700)
    return agent


def local(agent) -> Path:
    """Where documents are dropped."""
    return agent.state / "local"


def drop(agent, name: str, text: str) -> None:
    """Puts a whole file into the folder."""
    (local(agent) / name).write_text(text)


def files(agent, folder: str) -> list[str]:
    """The files in a folder of the folder."""
    path = local(agent) / folder
    return sorted(os.listdir(path)) if path.exists() else []


def outcome(agent, name: str) -> dict | None:
    """What became of the document with that name, once it is over."""
    for file in files(agent, "submitted"):
        stem, _, command = file.rpartition(".")
        path = local(agent) / "completed" / command
        if stem == name and path.exists():
            seen = json.loads(path.read_text())
            return None if seen["documentStatus"] == "InProgress" else seen
    return None


def test_a_dropped_document_runs_without_a_server(device):
    device.start()
    drop(device, "greet.json", document("echo hello; echo trouble >&2; exit 3"))
    seen = until("it is over", lambda: outcome(device, "greet.json"))
    assert seen["documentStatus"] == "Failed"
    step = seen["runtimeStatus"]["step"]
    assert (step["status"], step["code"], step["standardOutput"]) == ("Failed", 3, "hello\n")
    assert seen["additionalInfo"]["runtimeStatusCounts"] == {"Failed": 1}
    assert not list(local(device).glob("*.json"))
    assert re.fullmatch(r"greet\.json\.[0-9a-f-]{36}", files(device, "submitted")[0])


def test_what_is_no_document_is_set_aside_and_half_of_one_is_waited_for(device):
    device.start()
    drop(device, "note.txt", "buy milk")
    whole = document("echo whole")
    drop(device, "slow.json", whole[:20])
    # Two looks of the agent, which come every 2 s.
    time.sleep(5)
    assert not files(device, "submitted") and not files(device, "invalid")
    drop(device, "slow.json", whole)
    assert until("it is over", lambda: outcome(device, "slow.json"))["documentStatus"] == "Success"
    aside = until("the note is set aside", lambda: files(device, "invalid"))
    assert len(aside) == 1 and re.fullmatch(r"note\.txt\.[0-9a-f-]{36}", aside[0])


def test_send_offline_gives_parameters_waits_and_shows_the_result(device, home):
    device.start()
    greeting = {"type": "String", "default": "nobody", "allowedPattern": "^[a-z]+$"}
    (home / "greet.json").write_text(document("echo hello {{ who }}", who=greeting))
    send = ["send-offline", "--state-dir", device.state, home / "greet.json"]
    until("the agent runs", lambda: (device.state / "run" / "lock").exists())
    done = device.command(*send, "--wait", "who=world")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"[0-9a-f-]{36}", lines[0])
    assert lines[1:] == [
        "hello world", "step step (aws:runShellScript): Success, exit code 0", "document: Success",
    ]  # fmt: skip
    assert files(device, "submitted") == [f"{lines[0]}.json.{lines[0]}"]
    done = device.command(*send, "--wait", "--json")
    assert json.loads(done.stdout)["runtimeStatus"]["step"]["standardOutput"] == "hello nobody\n"
    for words, wanted in [(["who=WORLD"], "who"), (["whom=x"], "no parameter whom")]:
        refused = device.command(*send, *words)
        assert refused.returncode == 1 and wanted in refused.stderr and not refused.stdout
    (home / "greet.json").write_text(document("true").replace("aws:runShellScript", "aws:foo"))
    refused = device.command(*send)
    assert (
        refused.returncode == 1 and "nobody knows a plugin aws:foo" in refused.stderr and not refused.stdout
    )


def test_send_offline_refuses_a_folder_that_the_agent_would_not_take_from(device, home):
    (home / "once.json").write_text(document("true"))
    local(device).mkdir(parents=True, exist_ok=True)
    local(device).chmod(0o770)
    done = device.command("send-offline", home / "once.json", "--state-dir", device.state, "--wait")
    assert done.returncode == 1 and "chmod 700" in done.stderr
    assert not list(local(device).glob("*.json"))


def test_a_document_sent_while_the_agent_is_down_runs_once_when_it_starts(device, home):
    ran = home / "ran"
    (home / "once.json").write_text(document(f"echo x >>{ran}"))
    done = device.command("send-offline", home / "once.json", "--state-dir", device.state)
    assert done.returncode == 0 and "isn't running" in done.stderr
    command = done.stdout.strip()
    device.start()
    until("it is over", lambda: (local(device) / "completed" / command).exists())
    device.kill()
    device.start()
    drop(device, "later.json", document("true"))
    until("the later one is over", lambda: outcome(device, "later.json"))
    assert ran.read_text() == "x\n"


def test_an_agent_killed_over_a_local_document_reports_its_end(device):
    device.start()
    drop(device, "long.json", document("echo begun; sleep 3; echo ended"))
    until("it runs", device.workers)
    device.kill()
    device.start()
    seen = until("it is over", lambda: outcome(device, "long.json"))
    assert seen["runtimeStatus"]["step"]["standardOutput"] == "begun\nended\n"


def test_local_documents_run_beside_those_of_a_server_that_is_gone(online, hub, client):
    agent = online()
    hub.kill()
    drop(agent, "alone.json", document("echo $AWS_SSM_INSTANCE_ID"))
    seen = until("it is over", lambda: outcome(agent, "alone.json"))
    assert seen["runtimeStatus"]["step"]["standardOutput"] == f"{agent.node}\n"
    hub.start()
    # Of a local document no server hears.
    until("the node is heard again", lambda: agent.status()[0] == 0)
    assert agent.status()[1]["jobs"]["outbox"] == 0
    assert client.list_commands()["Commands"] == []


def test_a_folder_that_everybody_can_write_to_is_not_read(device):
    local(device).chmod(0o777)
    device.start()
    drop(device, "a.json", document("true"))
    until("it is said", lambda: "run `chmod 700` on it" in device.logs())
    assert (local(device) / "a.json").exists() and not files(device, "submitted")


def test_a_device_that_wants_no_local_documents_takes_none(online, home):
    agent = online("wants-none")
    agent.stop()
    agent.config = home / "agent.json"
    agent.config.write_text(json.dumps({"offline": {"enabled": False}, "allowPlainHttp": True}))
    agent.start()
    done = agent.command("send-offline", "/dev/null", "--state-dir", agent.state, "--config", agent.config)
    assert done.returncode == 1 and '"offline"' in done.stderr
    until("it runs", lambda: agent.status()[1]["running"])
    drop(agent, "a.json", document("true"))
    until("it is Online", lambda: agent.status()[1]["online"])
    assert (local(agent) / "a.json").exists()
