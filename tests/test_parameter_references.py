"""{{ssm:…}} and {{ssm-secure:…}}: values reach the script that refers to them, secrets reach nothing else."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from harness.clients import finished, shell
from harness.lookout import Lookout
from harness.programs import AGENT, HUB, run
from harness.web import Web

SECRET = "s3cret-of-the-well-9b1d"


@pytest.fixture
def readable(hub):
    """Nodes of EdgeRole may read /fleet/."""
    done = run(
        [HUB, "role", "put", "EdgeRole", "--read-parameters", "/fleet/*", "--data", hub.data], hub.home
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def fleet(client, readable):
    """A text, a list, and a secret below /fleet/, and something that is none of the nodes' business."""
    client.put_parameter(Name="/fleet/text", Value="one", Type="String")
    client.put_parameter(Name="/fleet/text", Value="two 2", Type="String", Overwrite=True)
    client.label_parameter_version(Name="/fleet/text", ParameterVersion=1, Labels=["prod"])
    client.put_parameter(Name="/fleet/list", Value="a,b c", Type="StringList")
    client.put_parameter(Name="/fleet/token", Value=SECRET, Type="SecureString")
    client.put_parameter(Name="/other", Value="x", Type="String")


def test_a_script_gets_values_by_name_version_and_label(client, agent, fleet):
    command = shell(client, [agent.node], "echo '{{ssm:/fleet/text:1}} {{ ssm:/fleet/text:prod }}'")
    assert finished(client, command, agent.node)["StandardOutputContent"] == "one one\n"


def test_a_value_stands_in_a_line_and_a_list_becomes_lines(client, agent, fleet):
    command = shell(client, [agent.node], "echo '{{ssm:/fleet/text}}'", "echo x \\", "{{ssm:/fleet/list}}")
    # The list is two elements of runCommand, so two lines of the script.
    done = finished(client, command, agent.node)
    assert done["StandardOutputContent"] == "two 2\nx a\n"
    assert "b" in done["StandardErrorContent"]


def test_what_cannot_be_filled_in_fails_with_the_reason(client, agent, fleet):
    for reference, reason in [
        ("{{ssm:/fleet/none}}", "/fleet/none"),
        ("{{ssm:/fleet/token}}", "is a SecureString"),
        ("x {{ssm:/fleet/list}}", "is a StringList"),
        ("{{ssm:/other}}", "AccessDeniedException"),
        ("{{ssm-secure:/fleet/text:1}}", "is no SecureString"),
    ]:
        command = shell(client, [agent.node], f"echo {reference}; echo ran")
        done = finished(client, command, agent.node)
        said = done["StandardErrorContent"] + done["StandardOutputContent"] + done["StatusDetails"]
        assert done["Status"] == "Failed", reference
        # A reason for the document as a whole is in the invocation's trace.
        trace = client.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"][0]
        assert reason in said + trace.get("TraceOutput", ""), (reference, done, trace)
        assert "ran" not in done["StandardOutputContent"]


def test_parameters_are_checked_as_they_will_be(agent, fleet, home):
    document = {
        "schemaVersion": "2.2",
        "parameters": {"word": {"type": "String", "allowedPattern": "^[a-z]{3}$"}},
        "mainSteps": [
            {"action": "aws:runShellScript", "name": "s", "inputs": {"runCommand": ["echo {{ word }}"]}}
        ],
    }
    (home / "word.json").write_text(json.dumps(document))
    words = [AGENT, "run-document", home / "word.json", "--state-dir", agent.state]
    good = run([*words, "--parameters", "word={{ssm:/fleet/text:1}}"], home)
    assert good.returncode == 0 and good.stdout.startswith("one\n"), good
    bad = run([*words, "--parameters", "word={{ssm:/fleet/text:2}}"], home)
    assert bad.returncode == 1 and "must match the pattern" in bad.stderr, bad
    # A default is a value like any other, and so is one of an inner document.
    parameter = document["parameters"]["word"]
    inner = {"documentType": "LocalPath", "documentPath": str(home / "word.json")}
    outer = [{"action": "aws:runDocument", "name": "o", "inputs": inner}]
    (home / "outer.json").write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": outer}))
    for version, code in [(1, 0), (2, 1)]:
        parameter["default"] = f"{{{{ssm:/fleet/text:{version}}}}}"
        (home / "word.json").write_text(json.dumps(document))
        for name in ("word.json", "outer.json"):
            done = run([AGENT, "run-document", home / name, "--state-dir", agent.state], home)
            assert done.returncode == code, done
            assert ("one" if code == 0 else "must match the pattern") in done.stdout + done.stderr, done


class Watch(Lookout):
    """Looks for a text in the command line of every process, and in every file of some folders."""

    def __init__(self, text: str, *folders: Path):
        super().__init__(0.01)
        self.found: set[str] = set()
        self._text = text.encode()
        self._folders = folders

    def look(self) -> None:
        """One round."""
        files = [path for path in Path("/proc").glob("[0-9]*/cmdline")]
        for folder in self._folders:
            # Unlike rglob, it goes on where a folder has just been removed.
            files += [Path(root) / name for root, _, names in os.walk(folder) for name in names]
        # A doorbell is a FIFO, and reading it would wait for ever.
        files = [path for path in files if path.is_file()]
        for path in files:
            try:
                content = path.read_bytes()
            except OSError:
                continue  # It is gone by now.
            if self._text in content:
                self.found.add(str(path))


def test_a_secret_is_used_in_a_script_and_is_found_nowhere_else(client, agent, fleet, hub, home):
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    lines = ["printf %s '{{ ssm-secure:/fleet/token }}' | sha256sum", "sleep 1", "echo $0"]
    with Watch(SECRET, agent.state) as watch:
        command = shell(client, [agent.node], *lines)
        done = finished(client, command, agent.node)
    assert done["Status"] == "Success", done
    assert done["StandardOutputContent"].startswith(digest)
    # The script was no file of any file system.
    assert "/proc/" in done["StandardOutputContent"]
    assert watch.looks > 20
    watch.look()
    assert watch.found == set()
    told = [
        client.get_command_invocation(CommandId=command, InstanceId=agent.node),
        client.list_commands(CommandId=command),
        client.list_command_invocations(CommandId=command, Details=True),
    ]
    assert SECRET not in json.dumps(told, default=str)
    assert SECRET not in agent.logs()
    assert SECRET not in (home / "hub.log").read_text(errors="replace")


# Reads its script as pwsh does: a file with a byte order mark, more than once. The lines are the shell's.
POWER_SHELL = """#!/bin/sh
test "$1" = -f || exit 9
head -c 3 "$2" | od -An -tx1
tail -c +4 "$2" | sh
echo "$2"
"""


def test_a_secret_in_a_power_shell_script_is_in_no_file(client, hub, activate, new_agent, fleet, home):
    if any(Path(f"/usr/bin/{name}").exists() for name in ("powershell", "pwsh")):
        pytest.skip("this machine has a PowerShell of its own, which goes before")
    stand_in = home / "bin" / "pwsh"
    stand_in.parent.mkdir()
    stand_in.write_text(POWER_SHELL)
    stand_in.chmod(0o755)
    agent = new_agent()
    agent.environment["PATH"] = f"{stand_in.parent}:{os.environ['PATH']}"
    agent.register(hub, activate())
    agent.start()
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    lines = ["printf %s '{{ ssm-secure:/fleet/token }}' | sha256sum", "sleep 1"]
    with Watch(SECRET, agent.state) as watch:
        sent = client.send_command(
            DocumentName="AWS-RunPowerShellScript", InstanceIds=[agent.node], Parameters={"commands": lines}
        )
        done = finished(client, sent["Command"]["CommandId"], agent.node)
    assert done["Status"] == "Success", done
    mark, sum_, path = done["StandardOutputContent"].splitlines()
    assert mark.split() == ["ef", "bb", "bf"] and sum_.startswith(digest)
    assert path.startswith("/proc/")
    assert watch.looks > 20
    watch.look()
    assert watch.found == set()


def test_the_watch_finds_a_secret_that_is_careless(client, agent, fleet, home):
    """What shows that the test above can fail. Its text is its own: other tests watch at the same time."""
    careless = "careless-of-the-well-4e7a"
    with Watch(careless, agent.state) as watch:
        # Two commands, or the shell would give its process to the first.
        command = shell(client, [agent.node], f"sh -c 'sleep 1; : {careless}'")
        finished(client, command, agent.node)
    assert any("cmdline" in path for path in watch.found)
    assert any(str(agent.state) in path for path in watch.found)


def test_a_download_takes_its_password_from_parameter_store(client, agent, fleet, home):
    web = Web()
    web.pages["/f"] = lambda request: request.answer(
        200 if request.user() == f"one:{SECRET}" else 401, b"content"
    )
    info = {
        "url": web.url + "/f",
        "allowInsecureDownload": True,
        "authMethod": "Basic",
        "username": "{{ssm:/fleet/text:1}}",
        "password": "{{ssm-secure:/fleet/token}}",
    }
    parameters = {
        "sourceType": ["HTTP"],
        "sourceInfo": [json.dumps(info)],
        "destinationPath": [f"{home}/got/"],
    }
    with Watch(SECRET, agent.state) as watch:
        sent = client.send_command(
            DocumentName="AWS-DownloadContent", InstanceIds=[agent.node], Parameters=parameters
        )
        done = finished(client, sent["Command"]["CommandId"], agent.node)
    web.close()
    assert done["Status"] == "Success", done
    assert (home / "got" / "f").read_bytes() == b"content"
    assert watch.found == set()


def test_a_document_of_the_server_is_downloaded_by_name(client, agent, home):
    parameters = {
        "sourceType": ["SSMDocument"],
        "sourceInfo": [json.dumps({"name": "AWS-RunShellScript:1"})],
        "destinationPath": [f"{home}/documents/"],
    }
    sent = client.send_command(
        DocumentName="AWS-DownloadContent", InstanceIds=[agent.node], Parameters=parameters
    )
    done = finished(client, sent["Command"]["CommandId"], agent.node)
    assert done["Status"] == "Success", done
    document = json.loads((home / "documents" / "AWS-RunShellScript.json").read_text())
    assert document["schemaVersion"] in ("1.2", "2.2")


def test_without_a_registration_a_reference_says_what_is_missing(home):
    script = {"runCommand": ["echo {{ssm:/x}}"]}
    step = {"action": "aws:runShellScript", "name": "s", "inputs": script}
    (home / "d.json").write_text(json.dumps({"schemaVersion": "2.2", "mainSteps": [step]}))
    done = run([AGENT, "run-document", home / "d.json", "--state-dir", home / "nobody"], home)
    assert done.returncode == 1
    assert "this device is not registered" in done.stderr
