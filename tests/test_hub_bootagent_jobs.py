"""Child agents by `aws ssm send-command`: Stint-ConfigureAgent, its invocations, and the package store."""

import hashlib
import json
import urllib.error
import urllib.request

import pytest

from harness.bootclient import BootNode
from harness.clients import TERMINAL, finished
from harness.hub import Hub
from harness.programs import HUB, run
from harness.wait import until

DOCUMENT = "Stint-ConfigureAgent"


@pytest.fixture
def boot(hub, activate):
    """Makes nodes that sign and are registered."""

    def make(tags: dict[str, str] | None = None, **more) -> BootNode:
        tags = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]
        return BootNode(hub, **more).register(activate(Tags=tags))

    return make


def send(client, nodes: list[str], **parameters: str) -> str:
    """Sends the document to nodes; the command's id."""
    answer = client.send_command(
        DocumentName=DOCUMENT,
        InstanceIds=nodes,
        Parameters={name: [value] for name, value in parameters.items()},
    )
    return answer["Command"]["CommandId"]


def invocation(client, command: str, node: str) -> dict:
    """What GetCommandInvocation says."""
    return client.get_command_invocation(CommandId=command, InstanceId=node)


def package(hub: Hub, *words: object):
    """`stint-hub package …` beside the hub that runs."""
    return run([HUB, "package", *words, "--data", hub.data], hub.home)


def put(hub: Hub, file, version: str, arch: str = "any", name: str = "sensor") -> None:
    """Puts a file into the package store."""
    done = package(hub, "put", file, "--name", name, "--version", version, "--arch", arch)
    assert done.returncode == 0, done.stderr


def fetch(url: str, **headers: str):
    """A GET; the status, the headers and the bytes."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


# --- jobs ----------------------------------------------------------------------------------------


def test_a_command_goes_by_tag_to_nodes_of_both_kinds(aws, client, activate, boot, hub):
    from harness.original import OriginalAgent

    tags = [{"Key": "site", "Value": "lab"}]
    messages = OriginalAgent(hub.endpoint, hub.region).come_online(activate(Tags=tags))
    node = boot(tags={"site": "lab"})
    parameters = {"Action": ["restart"], "Name": ["sensor"]}
    sent = aws(
        "send-command", "--document-name", DOCUMENT, "--targets", "Key=tag:site,Values=lab",
        "--parameters", json.dumps(parameters),
    )["Command"]  # fmt: skip
    assert sent["TargetCount"] == 2
    command = sent["CommandId"]
    message = messages.poll_for_one()
    payload = json.loads(message["Payload"])
    assert payload["Parameters"]["Action"] == "restart"
    (step,) = payload["DocumentContent"]["mainSteps"]
    assert step["action"] == "stint:configureAgent"
    # What nobody gave isn't there, so that nothing is taken away.
    assert set(step["inputs"]) == {"action", "name", "timeoutSeconds"}
    messages.carry_out(message)

    (job,) = node.report()
    assert (job["action"], job["name"]) == ("restart", "sensor")
    assert invocation(client, command, node.node)["Status"] == "InProgress"
    node.result(job)
    assert finished(client, command, node.node)["Status"] == "Success"
    shown = aws("list-commands", "--command-id", command)["Commands"][0]
    assert (shown["Status"], shown["CompletedCount"]) == ("Success", 2)
    aws("wait command-executed", "--command-id", command, "--instance-id", node.node)


def test_a_job_is_told_until_its_result_is_here_and_a_result_counts_once(client, boot, hub):
    node = boot()
    command = send(client, [node.node], Action="stop", Name="sensor")
    assert invocation(client, command, node.node)["Status"] == "Pending"
    first = node.report()
    assert node.report() == first and len(first) == 1
    node.result(first[0], 3, "sensor does not stop")
    node.result(first[0], 0, "success")
    node.result("an-id-that-nobody-gave")
    done = invocation(client, command, node.node)
    assert (done["Status"], done["ResponseCode"]) == ("Failed", 3)
    assert done["StandardErrorContent"] == "sensor does not stop"
    assert node.report() == []
    _, metrics = hub.get("/metrics")
    assert 'stint_hub_child_jobs_total{state="handed_out"} 1' in metrics
    log = (hub.home / "hub.log").read_text()
    assert "job handed out" in log and first[0]["id"] in log and "job ended" in log


def test_jobs_come_in_the_order_in_which_they_were_sent_and_by_rate(client, boot):
    nodes = [boot(tags={"site": "lab"}) for _ in range(2)]
    for action in ("stop", "start"):
        client.send_command(
            DocumentName=DOCUMENT,
            Targets=[{"Key": "tag:site", "Values": ["lab"]}],
            Parameters={"Action": [action], "Name": ["sensor"]},
            MaxConcurrency="1",
        )
    order = sorted(nodes, key=lambda node: node.node)
    first = order[0].report()
    assert [job["action"] for job in first] == ["stop", "start"]
    assert order[1].report() == []
    for job in first:
        order[0].result(job)
    assert [job["action"] for job in order[1].report()] == ["stop", "start"]


def test_what_is_cancelled_before_a_report_is_never_told(client, aws, boot):
    node = boot()
    command = send(client, [node.node], Action="stop", Name="sensor")
    aws("cancel-command", "--command-id", command)
    assert node.report() == []
    assert invocation(client, command, node.node)["Status"] == "Cancelled"


def test_a_node_that_does_not_report_in_time_gets_no_job(hub, client, boot):
    node = boot()
    command = send(client, [node.node], Action="stop", Name="sensor")
    hub.pretend("UPDATE invocation SET released_at = released_at - 3600000 WHERE command_id = ?", command)
    done = until(
        "the invocation has timed out",
        lambda: next(
            iter([i for i in [invocation(client, command, node.node)] if i["Status"] in TERMINAL]), None
        ),
    )
    assert (done["Status"], done["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
    assert node.report() == []


def test_a_job_without_a_result_ends_at_last(hub, client, boot):
    node = boot()
    command = send(client, [node.node], Action="stop", Name="sensor", executionTimeout="60")
    (job,) = node.report()
    days = 4 * 24 * 3600 * 1000
    hub.pretend(
        "UPDATE invocation SET acknowledged_at = acknowledged_at - ? WHERE command_id = ?", days, command
    )
    done = finished(client, command, node.node)
    assert (done["Status"], done["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert node.report() == []
    node.result(job)
    assert invocation(client, command, node.node)["Status"] == "TimedOut"


def test_other_documents_are_refused_by_id_and_end_at_once_by_tag(aws, client, boot):
    node = boot(tags={"site": "lab"})
    shell = ["send-command", "--document-name", "AWS-RunShellScript", "--parameters", "commands=uptime"]
    refused = aws.fails(*shell, "--instance-ids", node.node)
    assert refused.code == "UnsupportedPlatformType" and "child agents" in str(refused)
    sent = aws(*shell, "--targets", "Key=tag:site,Values=lab")["Command"]
    done = invocation(client, sent["CommandId"], node.node)
    assert (done["Status"], done["StatusDetails"]) == ("Failed", "InvalidPlatform")
    assert node.report() == []


def test_an_operators_own_document_may_fix_the_settings_of_a_fleet(client, boot):
    content = {
        "schemaVersion": "2.2",
        "parameters": {"Site": {"type": "String"}},
        "mainSteps": [
            {
                "action": "stint:configureAgent",
                "name": "tune",
                "inputs": {
                    "action": "config",
                    "name": "sensor",
                    "limits": {"CPU": "5%"},
                    "envs": {"SITE": "site-{{ Site }}"},
                },
            }
        ],
    }
    client.create_document(Name="Tune-Sensor", Content=json.dumps(content), DocumentType="Command")
    node = boot()
    sent = client.send_command(
        DocumentName="Tune-Sensor", InstanceIds=[node.node], Parameters={"Site": ["lab"]}
    )
    (job,) = node.report()
    assert job["limits"] == {"CPU": "5%"} and job["envs"] == {"SITE": "site-lab"}
    node.result(job)
    done = finished(client, sent["Command"]["CommandId"], node.node)
    assert (done["Status"], done["PluginName"]) == ("Success", "tune")


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"Action": "fly"}, "install, upgrade"),
        ({"Action": "stop"}, "name"),
        ({"Action": "install", "Name": "a"}, "Package"),
        ({"Action": "install", "Name": "a", "Url": "https://h/a.deb"}, "Checksum"),
        ({"Action": "install", "Package": "nothing"}, "no package nothing"),
        ({"Action": "config", "Step": "59"}, "Step"),
        ({"Action": "config", "Name": "a", "Limits": '{"memory": "20 apples"}'}, "memory"),
        ({"Action": "config", "Name": "a", "Envs": "A=b"}, "Envs"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else None,
)
def test_what_no_node_could_do_is_refused_with_the_reason(client, boot, parameters, word):
    node = boot()
    with pytest.raises(client.exceptions.InvalidParameters) as refused:
        send(client, [node.node], **parameters)
    assert word in refused.value.response["Error"]["Message"]
    assert client.list_commands()["Commands"] == []


# --- packages ------------------------------------------------------------------------------------


def test_a_package_of_the_store_is_fetched_with_its_checksum_and_in_parts(hub, client, boot, tmp_path):
    node = boot()
    content = bytes(range(256)) * 400
    file = tmp_path / "sensor-1.2.tar.gz"
    file.write_bytes(content)
    put(hub, file, "1.2")
    send(client, [node.node], Action="install", Package="sensor")
    (job,) = node.report()
    assert (job["name"], job["version"]) == ("sensor", "1.2")
    assert job["checksum"] == f"SHA256:{hashlib.sha256(content).hexdigest()}"
    assert job["url"].startswith(hub.endpoint) and "/sensor-1.2.tar.gz?" in job["url"]
    status, headers, whole = fetch(job["url"])
    assert (status, whole) == (200, content)
    status, part_headers, rest = fetch(job["url"], Range="bytes=100000-", **{"If-Range": headers["ETag"]})
    assert (status, rest) == (206, content[100000:])
    assert part_headers["Content-Range"] == f"bytes 100000-102399/{len(content)}"
    before, _, token = job["url"].partition("?token=")
    for forged in (before, f"{before}?token={token[:-2]}AA"):
        assert fetch(forged)[0] == 403


def test_each_node_gets_the_newest_package_of_its_architecture(hub, client, boot, node, tmp_path):
    for version, arch in [("1.9", "x86_64"), ("1.10", "x86_64"), ("2.0", "armhf"), ("1.5", "any")]:
        file = tmp_path / f"sensor-{version}-{arch}"
        file.write_text(f"{version} {arch}")
        put(hub, file, version, arch)
    rows = [line.split("\t")[:3] for line in package(hub, "list").stdout.splitlines()]
    assert rows == [
        ["sensor", "1.5", "any"],
        ["sensor", "1.9", "x86_64"],
        ["sensor", "1.10", "x86_64"],
        ["sensor", "2.0", "armv7"],
    ]
    nodes = {
        "stint-0.1.0-x86_64": b"1.10 x86_64",
        "stint-0.1.0-armv7": b"2.0 armhf",
        "stint-0.1.0-mipsel": b"1.5 any",
    }
    for version, expected in nodes.items():
        device = boot(version=version)
        send(client, [device.node], Action="install", Package="sensor")
        (job,) = device.report()
        assert fetch(job["url"])[2] == expected

    # A node that runs documents gets the link in its document; its tag says what it is.
    tag = [{"Key": "arch", "Value": "amd64"}]
    client.add_tags_to_resource(ResourceType="ManagedInstance", ResourceId=node.node, Tags=tag)
    send(client, [node.node], Action="install", Package="sensor=1.9")
    payload = json.loads(node.poll_for_one()["Payload"])
    (step,) = payload["DocumentContent"]["mainSteps"]
    assert fetch(step["inputs"]["url"])[2] == b"1.9 x86_64"
    assert step["inputs"]["name"] == "sensor" and "package" not in step["inputs"]


def test_a_node_without_a_fitting_package_is_told_apart_from_the_others(hub, client, boot, tmp_path):
    file = tmp_path / "sensor"
    file.write_text("x")
    put(hub, file, "1.0", "x86_64")
    fits, other = boot(), boot(version="stint-0.1.0-armv7")
    command = send(client, [fits.node, other.node], Action="install", Package="sensor")
    (job,) = fits.report()
    assert other.report() == []
    fits.result(job)
    assert finished(client, command, fits.node)["Status"] == "Success"
    failed = finished(client, command, other.node)
    assert failed["Status"] == "Failed" and "armv7" in failed["StandardErrorContent"]


def test_a_package_taken_out_of_the_store_is_not_installed_any_more(hub, client, boot, tmp_path):
    file = tmp_path / "sensor"
    file.write_text("x")
    put(hub, file, "1.0")
    node = boot()
    command = send(client, [node.node], Action="install", Package="sensor")
    assert package(hub, "delete", "--name", "sensor", "--version", "1.0").returncode == 0
    again = package(hub, "delete", "--name", "sensor", "--version", "1.0")
    assert again.returncode == 1 and "no package sensor=1.0" in again.stderr
    assert node.report() == []
    assert "no package sensor" in finished(client, command, node.node)["StandardErrorContent"]


def test_a_package_that_no_job_could_name_is_refused_in_one_line(hub, tmp_path):
    file = tmp_path / "sensor"
    file.write_text("x")
    for words in [
        ["--name", "a/b", "--version", "1"],
        ["--name", "a", "--version", "../1"],
        ["--name", "a", "--version", "1", "--arch", "x 86"],
    ]:
        done = package(hub, "put", file, *words)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    missing = package(hub, "put", tmp_path / "none", "--name", "a", "--version", "1")
    assert missing.returncode == 1 and "none" in missing.stderr
