"""Parameter Store with the real AWS CLI and boto3, secrets at rest, and what nodes may read."""

import sqlite3

import pytest

from harness.clients import boto3_client, error_code
from harness.programs import HUB, run

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def role(hub):
    """`stint-hub role …` on the hub's data, beside the hub that runs."""

    def call(*words: str) -> str:
        done = run([HUB, "role", *words, "--data", hub.data], hub.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


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
    hub.stop()
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"hub.db", "hub.log"} <= {path.name for path in files}
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
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
