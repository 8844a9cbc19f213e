"""aws:runDocument and its neighbours the way an operator uses them: the AWS CLI, a hub, an agent."""

import json
import os

import pytest

from harness.clients import finished, wait_until_online
from harness.reboots import RebootingAgent
from harness.wait import until
from harness.web import Web


def script(name: str, *commands: str) -> dict:
    """A step of shell."""
    return {"action": "aws:runShellScript", "name": name, "inputs": {"runCommand": list(commands)}}


def run_document(name: str, document: str, **inputs: object) -> dict:
    """A step that runs the hub's document of that name."""
    inputs = {"documentType": "SSMDocument", "documentPath": document, **inputs}
    return {"action": "aws:runDocument", "name": name, "inputs": inputs}


@pytest.fixture
def create(aws, home):
    """`aws ssm create-document`, or a new version of one."""

    def make(name: str, *steps: dict, parameters: dict | None = None, update: bool = False) -> str:
        content = home / f"{name}.json"
        content.write_text(
            json.dumps({"schemaVersion": "2.2", "parameters": parameters or {}, "mainSteps": list(steps)})
        )
        words = ["--name", name, "--content", f"file://{content}"]
        if update:
            aws("update-document", *words, "--document-version", "$LATEST")
        else:
            aws("create-document", *words, "--document-type", "Command")
        return name

    return make


def send(aws, document: str, node: str, *words: object, **parameters: list[str]) -> str:
    """`aws ssm send-command`; the command id."""
    words = ["--document-name", document, "--instance-ids", node, *words]
    return aws("send-command", *words, "--parameters", json.dumps(parameters))["Command"]["CommandId"]


def test_a_document_runs_another_by_name_version_and_arn(aws, client, create, agent):
    declared = {"who": {"type": "String", "allowedPattern": "^[a-z]+$"}}
    create("Greeting", script("greet", "echo hello {{ who }}"), parameters=declared)
    create("Greeting", script("greet", "echo goodbye {{ who }}"), parameters=declared, update=True)
    arn = aws("describe-document", "--name", "Greeting")["Document"]["Name"]
    assert arn == "Greeting"
    outer = create(
        "Outer",
        run_document("default", "Greeting", documentParameters={"who": "{{ who }}"}),
        run_document("latest", "Greeting:$LATEST", documentParameters='{"who": "{{ who }}"}'),
        run_document("second", "Greeting:2", documentParameters={"who": "{{ who }}"}),
        run_document("missing", "NoSuchDocument"),
        parameters={"who": {"type": "String", "default": "you"}},
    )
    command = send(aws, outer, agent.node, who=["me"])
    assert finished(client, command, agent.node)["Status"] == "Failed"

    def step(name: str) -> dict:
        words = ["--command-id", command, "--instance-id", agent.node, "--plugin-name", name]
        return aws("get-command-invocation", *words)

    assert step("default")["StandardOutputContent"] == "hello me\n"
    assert step("latest")["StandardOutputContent"] == "goodbye me\n"
    assert step("second")["StandardOutputContent"] == "goodbye me\n"
    missing = step("missing")
    assert (missing["Status"], missing["ResponseCode"]) == ("Failed", 1)
    assert "can't get the document NoSuchDocument" in missing["StandardErrorContent"]
    assert "InvalidDocument" in missing["StandardErrorContent"]
    # The inner document's own rules hold for what the outer one gives it.
    command = send(aws, outer, agent.node, who=["Me"])
    finished(client, command, agent.node)
    refused = step("default")
    assert refused["Status"] == "Failed"
    assert "parameter who" in refused["StandardErrorContent"]
    assert refused["StandardOutputContent"] == ""


def test_a_yaml_document_reaches_the_device_as_json(aws, client, create, agent, home):
    content = home / "inner.yaml"
    content.write_text(
        "schemaVersion: '2.2'\n"
        "mainSteps:\n"
        "- action: aws:runShellScript\n"
        "  name: a\n"
        "  inputs:\n"
        "    runCommand:\n"
        "    - |\n"
        "      echo from yaml\n"
    )
    words = ["--name", "Inner", "--document-type", "Command", "--document-format", "YAML"]
    aws("create-document", *words, "--content", f"file://{content}")
    outer = create("Outer", run_document("inner", "Inner"))
    result = finished(client, send(aws, outer, agent.node), agent.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "from yaml\n")


def test_a_downloaded_document_downloads_and_runs_on_its_own(aws, client, agent):
    web = Web()
    try:
        script_url = web.serve("/tool.sh", b"echo tool in $(basename $PWD) for $1\n")
        get = {"sourceType": "HTTP", "destinationPath": "tools/tool.sh"}
        get["sourceInfo"] = {"url": script_url, "allowInsecureDownload": True}
        use = script("use-it", "sh ./tool.sh {{ who }}")
        use["inputs"]["workingDirectory"] = "tools"
        inner = {
            "schemaVersion": "2.2",
            "parameters": {"who": {"type": "String"}},
            "mainSteps": [{"action": "aws:downloadContent", "name": "get-it", "inputs": get}, use],
        }
        url = web.serve("/inner.json", json.dumps(inner).encode())
        command = send(
            aws, "AWS-RunDocument", agent.node,
            sourceType=["HTTP"],
            sourceInfo=[json.dumps({"url": url, "allowInsecureDownload": True})],
            documentParameters=[json.dumps({"who": "me"})],
        )  # fmt: skip
        assert finished(client, command, agent.node)["Status"] == "Success"
        words = ["--command-id", command, "--instance-id", agent.node, "--plugin-name", "runDocument"]
        step = aws("get-command-invocation", *words)
        assert step["StandardOutputContent"].endswith("\ntool in tools for me\n")
    finally:
        web.close()


def test_cancelling_the_command_ends_the_inner_script(aws, client, create, agent, home):
    marker = home / "inner-runs"
    create("Inner", script("a", f"touch {marker}", "sleep 60"), script("b", "echo never"))
    outer = create("Outer", run_document("inner", "Inner"), script("after", "echo never"))
    command = send(aws, outer, agent.node)
    until("the inner script runs", marker.exists)
    aws("cancel-command", "--command-id", command)
    assert finished(client, command, agent.node)["Status"] == "Cancelled"
    words = ["--command-id", command, "--instance-id", agent.node, "--plugin-name", "inner"]
    step = aws("get-command-invocation", *words)
    assert step["Status"] == "Cancelled"
    assert "never" not in step["StandardOutputContent"]
    assert "Step b was cancelled before it was started" in step["StandardErrorContent"]


def test_a_killed_worker_runs_no_inner_step_again(aws, client, create, agent, home):
    runs = home / "runs"
    gate = home / "gate"
    create(
        "Inner",
        script("first", f"echo first >> {runs}", "echo said"),
        script("held", f"echo held >> {runs}", f"while [ ! -e {gate} ]; do sleep 0.05; done"),
        script("never", f"echo never >> {runs}"),
    )
    outer = create("Outer", run_document("inner", "Inner"), script("after", f"echo after >> {runs}"))
    command = send(aws, outer, agent.node)
    until("the inner script runs", lambda: runs.exists() and "held" in runs.read_text())
    until("its worker is killed", agent.kill_a_worker)
    assert finished(client, command, agent.node)["Status"] == "Failed"
    words = ["--command-id", command, "--instance-id", agent.node, "--plugin-name", "inner"]
    step = aws("get-command-invocation", *words)
    assert step["StandardOutputContent"] == "said\n"
    assert "the step was interrupted" in step["StandardErrorContent"]
    assert runs.read_text().split() == ["first", "held", "after"]


def test_a_reboot_inside_goes_on_inside(aws, client, create, hub, activate, home):
    runs = home / "runs"
    note = f"echo {{}} >> {runs}"
    create(
        "Inner",
        script("a", note.format("a"), "echo before the reboot"),
        script("b", note.format("b"), f"[ $(grep -c b {runs}) -gt 1 ] || exit 194"),
        script("c", note.format("c"), "echo after the reboot"),
    )
    outer = create(
        "Outer",
        script("first", note.format("first")),
        run_document("inner", "Inner"),
        script("last", note.format("last")),
    )
    device = RebootingAgent(home, "device")
    try:
        device.register(hub, activate())
        device.start()
        wait_until_online(client, device.node)
        command = send(aws, outer, device.node)
        until("the reboot is asked for", lambda: device.wishes() == 1)
        assert runs.read_text().split() == ["first", "a", "b"]
        device.reboot()
        assert finished(client, command, device.node)["Status"] == "Success"
        assert runs.read_text().split() == ["first", "a", "b", "b", "c", "last"]
        words = ["--command-id", command, "--instance-id", device.node, "--plugin-name", "inner"]
        step = aws("get-command-invocation", *words)
        assert step["StandardOutputContent"].split("\n\n") == ["before the reboot", "after the reboot\n"]
    finally:
        device.clean_up()


def test_the_built_in_documents_of_docker_reach_the_devices_command(
    aws, client, hub, activate, new_agent, home
):
    record = home / "docker-was-called"
    folder = home / "bin"
    folder.mkdir()
    (folder / "docker").write_text(
        f'#!/bin/sh\nfor word; do echo "$word"; done >> {record}\necho container\n'
    )
    (folder / "docker").chmod(0o755)
    agent = new_agent()
    agent.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    agent.register(hub, activate())
    agent.start()
    command = send(
        aws, "AWS-RunDockerAction", agent.node,
        action=["Run"], image=["busybox:1"], volume=["/a:/a", "/b:/b"], cmd=["true"],
    )  # fmt: skip
    result = finished(client, command, agent.node)
    assert (result["Status"], result["StandardOutputContent"]) == ("Success", "container\n")
    called = record.read_text().split()
    assert called == ["run", "-d", "--volume", "/a:/a", "--volume", "/b:/b", "busybox:1", "true"]
    command = send(aws, "AWS-ConfigureDocker", agent.node, action=["Install"])
    assert finished(client, command, agent.node)["Status"] == "Success"
    command = send(aws, "AWS-ConfigureDocker", agent.node, action=["Uninstall"])
    result = finished(client, command, agent.node)
    assert result["Status"] == "Failed"
    assert "belongs to this device's image" in result["StandardErrorContent"]
