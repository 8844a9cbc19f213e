"""Parameter Store with the real AWS CLI and boto3, secrets at rest, and what nodes may read."""

import hashlib
import json
import sqlite3
import time
from pathlib import Path

import pytest

from harness.clients import boto3_client, error_code, finished, shell
from harness.programs import HUB, run
from harness.wait import until

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def role(hub):
    """`stint-hub role …` on the hub's data, beside the hub that runs."""

    def call(*words: str) -> str:
        done = run([HUB, "role", *words, "--data", hub.data], hub.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def files_with_the_secret(folder: Path) -> list[Path]:
    """The files under a folder that hold the secret in the clear; FIFOs and the like hold nothing."""
    return [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


def command_lines_with_the_secret() -> list[Path]:
    """The processes of this machine that show the secret in argv."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if SECRET.encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue  # It has ended meanwhile.
    return found


def test_the_cli_puts_and_gets(aws):
    put = aws("put-parameter", "--name", "/edge/broker", "--type", "String", "--value", "mqtt://10.0.0.1")
    assert put == {"Version": 1, "Tier": "Standard"}
    put = aws("put-parameter", "--name", "/edge/psk", "--type", "SecureString", "--value", SECRET)
    psk = ["--name", "/edge/psk"]
    assert aws("put-parameter", *psk, "--value", SECRET + "2", "--overwrite")["Version"] == 2
    shown = aws("get-parameter", *psk, "--with-decryption")["Parameter"]
    assert shown["Value"] == SECRET + "2"
    assert shown["ARN"].endswith(":parameter/edge/psk")
    assert aws("get-parameter", "--name", "/edge/psk:1", "--with-decryption")["Parameter"]["Value"] == SECRET
    assert SECRET not in aws("get-parameter", *psk)["Parameter"]["Value"]
    several = aws("get-parameters", "--names", "/edge/broker", "/edge/none")
    assert [p["Name"] for p in several["Parameters"]] == ["/edge/broker"]
    assert several["InvalidParameters"] == ["/edge/none"]
    assert aws.fails("get-parameter", "--name", "/edge/none").code == "ParameterNotFound"


def test_the_cli_labels_lists_and_deletes(aws):
    for name, value in (("/edge/a", "1"), ("/edge/b/c", "2"), ("/edge/d", "3")):
        aws("put-parameter", "--name", name, "--type", "String", "--value", value)
    aws("put-parameter", "--name", "/edge/a", "--value", "1b", "--overwrite")
    labelled = aws(
        *("label-parameter-version", "--name", "/edge/a"),
        *("--parameter-version", 1, "--labels", "prod", "9lives"),
    )
    assert labelled == {"InvalidLabels": ["9lives"], "ParameterVersion": 1}
    shown = aws("get-parameter", "--name", "/edge/a:prod")["Parameter"]
    assert (shown["Value"], shown["Selector"]) == ("1", ":prod")
    history = aws("get-parameter-history", "--name", "/edge/a")["Parameters"]
    assert [(v["Version"], v["Labels"]) for v in history] == [(1, ["prod"]), (2, [])]
    unlabel = ("unlabel-parameter-version", "--name", "/edge/a", "--parameter-version", 1)
    removed = aws(*unlabel, "--labels", "prod")
    assert removed == {"RemovedLabels": ["prod"], "InvalidLabels": []}

    # The CLI turns pages by itself.
    by_path = ("get-parameters-by-path", "--path", "/edge", "--page-size", 1)
    assert [p["Name"] for p in aws(*by_path)["Parameters"]] == ["/edge/a", "/edge/d"]
    tree = aws(*by_path, "--recursive")["Parameters"]
    assert [p["Name"] for p in tree] == ["/edge/a", "/edge/b/c", "/edge/d"]
    filters = ("--parameter-filters", "Key=Name,Option=BeginsWith,Values=/edge/b")
    (found,) = aws("describe-parameters", *filters)["Parameters"]
    assert (found["Name"], found["Tier"], found["Policies"]) == ("/edge/b/c", "Standard", [])

    assert aws("delete-parameter", "--name", "/edge/a") == {}
    deleted = aws("delete-parameters", "--names", "/edge/d", "/edge/none")
    assert deleted == {"DeletedParameters": ["/edge/d"], "InvalidParameters": ["/edge/none"]}
    assert [p["Name"] for p in aws("describe-parameters")["Parameters"]] == ["/edge/b/c"]


def test_the_cli_tags_parameters_and_finds_them_by_tag(aws):
    name = ("--name", "/edge/a")
    aws("put-parameter", *name, "--type", "String", "--value", "1", "--tags", "Key=site,Value=lab")
    resource = ("--resource-type", "Parameter", "--resource-id", "/edge/a")
    aws("add-tags-to-resource", *resource, "--tags", "Key=role,Value=gateway")
    tags = aws("list-tags-for-resource", *resource)["TagList"]
    assert tags == [{"Key": "role", "Value": "gateway"}, {"Key": "site", "Value": "lab"}]
    by_tag = ("describe-parameters", "--parameter-filters")
    assert len(aws(*by_tag, "Key=tag:site,Values=lab")["Parameters"]) == 1
    aws("remove-tags-from-resource", *resource, "--tag-keys", "site")
    assert aws(*by_tag, "Key=tag:site,Values=lab")["Parameters"] == []


def test_boto3_turns_every_page(client):
    for n in range(23):
        client.put_parameter(Name=f"/tree/{n:02}", Value=str(n), Type="StringList")
    for n in range(2, 8):
        client.put_parameter(Name="/tree/00", Value=str(n), Overwrite=True)

    def names(operation: str, **arguments) -> list[str]:
        pages = client.get_paginator(operation).paginate(**arguments)
        return [p["Name"] for page in pages for p in page["Parameters"]]

    expected = [f"/tree/{n:02}" for n in range(23)]
    assert names("get_parameters_by_path", Path="/tree") == expected
    assert names("get_parameters_by_path", Path="/tree", PaginationConfig={"PageSize": 3}) == expected
    assert names("describe_parameters", PaginationConfig={"PageSize": 5}) == expected
    assert len(names("get_parameter_history", Name="/tree/00", PaginationConfig={"PageSize": 2})) == 7


def test_every_error_is_the_one_that_scripts_branch_on(client):
    client.put_parameter(Name="/a", Value="1", Type="String")
    client.put_parameter(Name="big", Value="1", Type="String", Tier="Advanced")
    expiration = {"Type": "Expiration", "Version": "1.0"}

    def policies(*timestamps: str, **more: str) -> dict:
        items = [{**expiration, "Attributes": {"Timestamp": at}, **more} for at in timestamps]
        return {"Policies": json.dumps(items), "Tier": "Advanced"}

    later = "2099-01-01T00:00:00.000Z"
    for arguments, code in (
        ({"Name": "/a"}, "ParameterAlreadyExists"),
        ({"Name": "/a", "Overwrite": True, "Type": "SecureString"}, "HierarchyTypeMismatchException"),
        ({"Name": "/x" * 16}, "HierarchyLevelLimitExceededException"),
        ({"Name": "/aws/x"}, "AccessDeniedException"),
        ({"Name": "ssm-x"}, "ValidationException"),
        ({"Value": "x" * 4097}, "ValidationException"),
        ({"Value": "x" * 8193, "Tier": "Advanced"}, "ValidationException"),
        ({"Name": "big", "Overwrite": True, "Tier": "Standard"}, "ValidationException"),
        ({"AllowedPattern": "("}, "InvalidAllowedPatternException"),
        ({"AllowedPattern": "[a-z]+"}, "ParameterPatternMismatchException"),
        ({"Type": "SecureString", "KeyId": "alias/aws/ebs"}, "InvalidKeyId"),
        ({"DataType": "colour"}, "ValidationException"),
        (policies("soon"), "InvalidPolicyAttributeException"),
        (policies("2020-01-01T00:00:00Z"), "InvalidPolicyAttributeException"),
        (policies(later, Type="Retention"), "InvalidPolicyTypeException"),
        (policies(later, later), "IncompatiblePolicyException"),
        (policies(*[later] * 11), "PoliciesLimitExceededException"),
    ):
        request = {"Name": "/new", "Value": "1", "Type": "String", **arguments}
        assert error_code(client.put_parameter, **request) == code, arguments
    version = {"Name": "/a", "ParameterVersion": 9, "Labels": ["x"]}
    for call, arguments, code in (
        (client.get_parameter, {"Name": "/none"}, "ParameterNotFound"),
        (client.get_parameter, {"Name": "/a:9"}, "ParameterVersionNotFound"),
        (client.get_parameter, {"Name": "/a:none"}, "ParameterVersionNotFound"),
        (client.get_parameter_history, {"Name": "/none"}, "ParameterNotFound"),
        (client.delete_parameter, {"Name": "/none"}, "ParameterNotFound"),
        (client.label_parameter_version, version, "ParameterVersionNotFound"),
        (client.unlabel_parameter_version, version, "ParameterVersionNotFound"),
        (client.label_parameter_version, {"Name": "/none", "Labels": ["x"]}, "ParameterNotFound"),
        (client.get_parameters_by_path, {"Path": "a"}, "ValidationException"),
        (client.get_parameters_by_path, {"Path": "/", "NextToken": "x"}, "InvalidNextToken"),
        (client.get_parameters, {"Names": ["x"] * 11}, "ValidationException"),
    ):
        assert error_code(call, **arguments) == code, arguments
    for n in range(10):
        client.label_parameter_version(Name="/a", Labels=[f"l{n}"])
    eleventh = {"Name": "/a", "Labels": ["eleventh"]}
    assert error_code(client.label_parameter_version, **eleventh) == "ParameterVersionLabelLimitExceeded"
    for n in range(99):
        client.put_parameter(Name="/a", Value=str(n), Overwrite=True)
    full = {"Name": "/a", "Value": "x", "Overwrite": True}
    assert error_code(client.put_parameter, **full) == "ParameterMaxVersionLimitExceeded"


def test_a_parameter_expires_and_the_log_has_its_notice(hub, client):
    def policy(kind: str, **attributes: str) -> dict:
        return {"Type": kind, "Version": "1.0", "Attributes": attributes}

    at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() + 4))
    policies = [
        policy("Expiration", Timestamp=at),
        policy("ExpirationNotification", Before="1", Unit="Hours"),
    ]
    client.put_parameter(
        Name="/short", Value="1", Type="String", Tier="Intelligent-Tiering", Policies=json.dumps(policies)
    )

    def statuses() -> list[str]:
        (parameter,) = client.describe_parameters()["Parameters"]
        return [p["PolicyStatus"] for p in parameter["Policies"]]

    until("the notice is given", lambda: statuses() == ["Pending", "Finished"])
    until("/short is gone", lambda: client.describe_parameters()["Parameters"] == [])
    log = (hub.home / "hub.log").read_text()
    assert "ExpirationNotification" in log and "/short" in log


def test_a_secret_is_nowhere_on_disk_and_in_no_log(new_hub, home):
    hub = new_hub(STINT_HUB_LOG="trace")
    client = boto3_client(hub)
    put = {"Name": "/edge/psk", "Value": SECRET, "Type": "SecureString"}
    client.put_parameter(**put)
    assert error_code(client.put_parameter, **put) == "ParameterAlreadyExists"
    refused = {"Overwrite": True, "AllowedPattern": "[0-9]+"}
    assert error_code(client.put_parameter, **put, **refused) == "ParameterPatternMismatchException"
    assert (
        error_code(client.put_parameter, **put, DataType="integer", Overwrite=True) == "ValidationException"
    )
    assert error_code(client.put_parameter, **put, Tier="Gold") == "ValidationException"
    assert client.get_parameter(Name="/edge/psk", WithDecryption=True)["Parameter"]["Value"] == SECRET
    client.get_parameter(Name="/edge/psk")
    client.get_parameter_history(Name="/edge/psk", WithDecryption=True)
    sealed = client.get_parameter_history(Name="/edge/psk")["Parameters"]
    assert SECRET not in json.dumps(sealed, default=str)
    client.get_parameters_by_path(Path="/edge", WithDecryption=True)
    hub.stop()
    assert {"hub.db", "hub.log"} <= {path.name for path in home.rglob("*")}
    assert files_with_the_secret(home) == []
    with sqlite3.connect(hub.data / "hub.db") as store:
        (kept,) = store.execute("SELECT value FROM parameter_version").fetchone()
    assert kept.startswith("v1.")


def test_a_value_moved_to_another_row_is_an_error_and_not_garbage(hub, client):
    for name in ("/a", "/b"):
        client.put_parameter(Name=name, Value=SECRET + name, Type="SecureString")
    copy = "UPDATE parameter_version SET value = (SELECT value FROM parameter_version WHERE name = '/a')"
    assert hub.pretend(copy + " WHERE name = '/b'") == 1
    with pytest.raises(client.exceptions.InvalidKeyId, match="/b can't be decrypted"):
        client.get_parameter(Name="/b", WithDecryption=True)
    assert client.get_parameter(Name="/a", WithDecryption=True)["Parameter"]["Value"] == SECRET + "/a"


def test_a_hub_with_another_master_key_does_not_start(hub, client):
    client.put_parameter(Name="/a", Value=SECRET, Type="SecureString")
    hub.stop()
    (hub.data / "master-key").write_bytes(bytes(32))
    done = run([HUB, "serve", "--data", hub.data, "--listen", "127.0.0.1:0"], hub.home)
    assert done.returncode == 1
    assert "restore the master key that belongs to this database" in done.stderr


def test_a_node_reads_what_its_role_allows_and_nothing_else(node, client, role):
    client.put_parameter(Name="/fleet/psk", Value=SECRET, Type="SecureString")
    client.put_parameter(Name="/other", Value="x", Type="String")
    ask = {"Names": ["/fleet/psk:1"], "WithDecryption": True}
    refused = node.by_token("GetParameters", ask)
    assert refused.code == "AccessDeniedException"
    for part in (f"assumed-role/EdgeRole/{node.node}", "ssm:GetParameters", ":parameter/fleet/psk"):
        assert part in refused.body["message"]

    role("put", "EdgeRole", "--read-parameters", "/fleet/*", "--where", "tag:site=berlin")
    assert node.by_token("GetParameters", ask).code == "AccessDeniedException"
    tag = {"ResourceType": "ManagedInstance", "ResourceId": node.node}
    client.add_tags_to_resource(**tag, Tags=[{"Key": "site", "Value": "berlin"}])
    answer = node.by_token("GetParameters", ask)
    assert answer.status == 200, answer.raw
    (parameter,) = answer.body["Parameters"]
    assert (parameter["Value"], parameter["Selector"]) == (SECRET, ":1")
    assert node.by_token("GetParameter", {"Name": "/fleet/psk"}).status == 200
    assert node.by_token("GetParameter", {"Name": "/other"}).code == "AccessDeniedException"
    both = {"Names": ["/fleet/psk", "/other"]}
    assert node.by_token("GetParameters", both).code == "AccessDeniedException"
    tree = node.by_token("GetParametersByPath", {"Path": "/fleet", "WithDecryption": True})
    assert [p["Value"] for p in tree.body["Parameters"]] == [SECRET]
    assert node.by_token("GetParametersByPath", {"Path": "/"}).code == "AccessDeniedException"
    put = {"Name": "/fleet/psk", "Value": "mine", "Overwrite": True}
    assert node.by_token("PutParameter", put).code == "AccessDeniedException"

    role("delete", "EdgeRole")
    assert node.by_token("GetParameters", ask).code == "AccessDeniedException"


def test_roles_are_listed_shown_and_deleted(hub, role):
    role("put", "Edge", "--read-parameters", "/fleet/*", "--read-parameters", "/node/{node}/*")
    role("put", "Edge", "--rule", "berlin", "--read-parameters", "/b", "--where", "tag:site=b,c")
    role("put", "*", "--read-parameters", "/public/*")
    edge = "Edge\tberlin\t/b\ttag:site=b,c\nEdge\tdefault\t/fleet/* /node/{node}/*\t\n"
    assert role("show", "Edge") == edge
    assert role("list") == "*\tdefault\t/public/*\t\n" + edge
    role("delete", "Edge", "--rule", "berlin")
    assert "berlin" not in role("show", "Edge")
    role("delete", "Edge")
    for words in (
        ["show", "Edge"],
        ["delete", "Edge"],
        ["put", "Edge", "--read-parameters", "fleet/*"],
        ["put", "Edge", "--read-parameters", "/a", "--where", "site=b"],
        ["put", "bad role", "--read-parameters", "/a"],
    ):
        done = run([HUB, "role", *words, "--data", hub.data], hub.home)
        assert done.returncode == 1 and done.stderr.startswith("stint-hub: "), words
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_an_agent_fills_a_command_with_what_its_role_allows(agent, client, role):
    client.put_parameter(Name="/fleet/broker", Value="mqtt://10.0.0.1", Type="String")
    client.put_parameter(Name="/fleet/broker", Value="mqtt://10.0.0.2", Overwrite=True)
    client.label_parameter_version(Name="/fleet/broker", ParameterVersion=1, Labels=["prod"])

    def run_it() -> dict:
        command = shell(client, [agent.node], "echo {{ssm:/fleet/broker:prod}} {{ssm:/fleet/broker}}")
        return finished(client, command, agent.node)

    refused = run_it()
    assert refused["Status"] == "Failed"
    told = refused["StandardErrorContent"] + refused["StandardOutputContent"]
    assert f"assumed-role/EdgeRole/{agent.node}" in told, refused
    role("put", "EdgeRole", "--read-parameters", "/fleet/*")
    done = run_it()
    assert (done["Status"], done["StandardOutputContent"]) == ("Success", "mqtt://10.0.0.1 mqtt://10.0.0.2\n")


def test_a_script_uses_a_secret_that_nobody_else_gets_to_see(agent, hub, client, role, home):
    client.put_parameter(Name="/fleet/psk", Value=SECRET, Type="SecureString")
    role("put", "EdgeRole", "--read-parameters", "/fleet/*")
    begun, end = home / "begun", home / "end"
    command = shell(
        client,
        [agent.node],
        "printf %s '{{ssm-secure:/fleet/psk}}' | sha256sum",
        f"touch {begun}; until [ -e {end} ]; do sleep 0.1; done",
    )
    until("the script runs", begun.exists)
    try:
        assert files_with_the_secret(home) == []
        assert command_lines_with_the_secret() == []
    finally:
        end.touch()
    done = finished(client, command, agent.node)
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    assert done["StandardOutputContent"].split()[0] == digest, done
    listed = client.list_commands(CommandId=command)["Commands"]
    invocations = client.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert SECRET not in str([done, listed, invocations])
    agent.stop()
    hub.stop()
    assert files_with_the_secret(home) == []
