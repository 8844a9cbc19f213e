"""Documents with the real AWS CLI and boto3: written, versioned, shared, tagged, sent to devices."""

import hashlib
import json
import urllib.error
import urllib.request

import pytest

from harness.clients import error_code, finished
from harness.programs import HUB, run
from harness.web import Web

YAML = """\
# Yes and no are answers here, not truth values.
schemaVersion: '2.2'
description: restarts a unit
parameters:
  unit:
    type: String
    description: the unit
    default: network
  really:
    type: String
    default: yes
    allowedValues: [yes, no]
mainSteps:
- action: aws:runShellScript
  name: restart
  inputs:
    timeoutSeconds: 60
    runCommand:
    - |
      if [ "{{ really }}" = yes ]; then
        echo "restart: {{ unit }}" # as written
      fi
"""

CALENDAR = """\
BEGIN:VCALENDAR
PRODID:-//AWS//Change Calendar 1.0//EN
VERSION:2.0
X-CALENDAR-TYPE:DEFAULT_OPEN
BEGIN:VEVENT
DTSTART:20261224T000000Z
DTEND:20261227T000000Z
SUMMARY:no changes
END:VEVENT
END:VCALENDAR
"""

RUNBOOK = {"schemaVersion": "0.3", "mainSteps": [{"name": "wait", "action": "aws:sleep"}]}


def script(word: str) -> str:
    """A Command document that prints a word."""
    inputs = {"runCommand": [f"echo {word}"]}
    step = {"action": "aws:runShellScript", "name": "say", "inputs": inputs}
    return json.dumps({"schemaVersion": "2.2", "description": f"says {word}", "mainSteps": [step]})


def create(client, name: str, content: str | None = None, **more) -> dict:
    """CreateDocument; its description."""
    content = script(name) if content is None else content
    return client.create_document(Name=name, Content=content, **more)["DocumentDescription"]


def update(client, name: str, word: str, **more) -> dict:
    """UpdateDocument on the latest version; the new version's description."""
    answer = client.update_document(Name=name, Content=script(word), DocumentVersion="$LATEST", **more)
    return answer["DocumentDescription"]


def output(client, node: str, document: str, **more) -> str:
    """Sends a document to a node; what its only step, or the step named, printed."""
    plugin = {"PluginName": step} if (step := more.pop("step", None)) else {}
    sent = client.send_command(DocumentName=document, InstanceIds=[node], **more)
    command = sent["Command"]["CommandId"]
    whole = finished(client, command, node)
    shown = client.get_command_invocation(CommandId=command, InstanceId=node, **plugin)
    if whole["Status"] != "Success":
        raise AssertionError(client.list_command_invocations(CommandId=command, Details=True))
    return shown["StandardOutputContent"]


# --- writing, and sending to a device ----------------------------------------------------------


def test_the_cli_writes_a_yaml_document_updates_it_and_sends_it_by_version(aws, client, agent, home):
    first, second = home / "first.yaml", home / "second.yaml"
    first.write_text(YAML)
    second.write_text(YAML.replace("restart: ", "again: "))
    made = aws(
        "create-document", "--name", "Edge-Restart", "--document-type", "Command",
        "--document-format", "YAML", "--content", f"file://{first}",
    )["DocumentDescription"]  # fmt: skip
    assert made["Hash"] == hashlib.sha256(YAML.encode()).hexdigest()
    assert {p["Name"]: p.get("DefaultValue") for p in made["Parameters"]} == {
        "unit": "network",
        "really": "yes",
    }
    updated = aws(
        "update-document", "--name", "Edge-Restart", "--document-version", "$LATEST",
        "--document-format", "YAML", "--content", f"file://{second}", "--version-name", "blue",
    )["DocumentDescription"]  # fmt: skip
    assert (updated["DocumentVersion"], updated["DefaultVersion"]) == ("2", "1")

    node = agent.node
    assert output(client, node, "Edge-Restart") == "restart: network\n"
    assert output(client, node, "Edge-Restart", DocumentVersion="2") == "again: network\n"
    latest = {"DocumentVersion": "$LATEST", "DocumentHash": updated["Hash"], "DocumentHashType": "Sha256"}
    given = {"unit": ["ntp"], "really": ["yes"]}
    assert output(client, node, "Edge-Restart", Parameters=given, **latest) == "again: ntp\n"
    assert output(client, node, "Edge-Restart", Parameters={"really": ["no"]}) == ""

    set_to = aws("update-document-default-version", "--name", "Edge-Restart", "--document-version", "2")
    assert set_to["Description"] == {
        "Name": "Edge-Restart",
        "DefaultVersion": "2",
        "DefaultVersionName": "blue",
    }
    assert output(client, node, "Edge-Restart") == "again: network\n"
    arn = f"arn:aws:ssm:eu-central-1:{updated['Owner']}:document/Edge-Restart"
    assert output(client, node, arn) == "again: network\n"
    shown = aws(
        "get-document", "--name", "Edge-Restart", "--document-format", "YAML", "--version-name", "blue"
    )
    assert shown["Content"] == second.read_text()
    assert json.loads(aws("get-document", "--name", "Edge-Restart")["Content"])["schemaVersion"] == "2.2"
    assert aws("delete-document", "--name", "Edge-Restart") == {}
    assert aws.fails("get-document", "--name", "Edge-Restart").code == "InvalidDocument"


def test_a_document_is_run_inside_another_by_name_and_version(client, agent):
    create(client, "inner", script("one"))
    update(client, "inner", "two")
    for name, said in (("inner", "one"), ("inner:2", "two")):
        source = {"sourceType": ["SSMDocument"], "sourceInfo": [json.dumps({"name": name})]}
        told = output(client, agent.node, "AWS-RunDocument", Parameters=source, step="runDocument")
        assert said in told


def test_documents_are_downloaded_to_a_folder_of_the_device(client, agent, home):
    create(client, "wanted", YAML, DocumentFormat="YAML")
    create(client, "runbook", json.dumps(RUNBOOK), DocumentType="Automation")
    place = home / "downloaded"

    def download(name: str) -> dict:
        parameters = {
            "sourceType": ["SSMDocument"],
            "sourceInfo": [json.dumps({"name": name})],
            "destinationPath": [f"{place}/"],
        }
        sent = client.send_command(
            DocumentName="AWS-DownloadContent", InstanceIds=[agent.node], Parameters=parameters
        )
        return finished(client, sent["Command"]["CommandId"], agent.node)

    assert download("wanted")["Status"] == "Success"
    assert json.loads((place / "wanted.json").read_text())["description"] == "restarts a unit"
    # What only the hub and its operators use stays there.
    refused = download("runbook")
    assert refused["Status"] == "Failed"
    assert not (place / "runbook.json").exists()


def test_a_script_from_a_web_server_is_run_with_its_arguments(client, agent):
    web = Web()
    url = web.serve("/setup.sh", b"#!/bin/sh\necho setup: $1 in $(basename $(pwd))\n")
    try:
        parameters = {
            "sourceType": ["HTTP"],
            "sourceInfo": [json.dumps({"url": url, "allowInsecureDownload": True})],
            "commandLine": ["setup.sh now"],
        }
        more = {"Parameters": parameters, "step": "runShellScript"}
        assert output(client, agent.node, "AWS-RunRemoteScript", **more) == "setup: now in downloads\n"
    finally:
        web.close()


def test_sending_refuses_wrong_versions_hashes_types_and_parameters(client, node):
    create(client, "mine")
    create(client, "runbook", json.dumps(RUNBOOK), DocumentType="Automation")
    for more, code in (
        ({"DocumentVersion": "2"}, "InvalidDocumentVersion"),
        ({"DocumentHash": "0" * 64}, "InvalidDocument"),
        ({"DocumentName": "runbook"}, "InvalidDocument"),
        ({"DocumentName": "arn:aws:ssm:eu-central-1:999999999999:document/mine"}, "InvalidDocument"),
        ({"Parameters": {"unit": ["x"]}}, "InvalidParameters"),
    ):
        whole = {"DocumentName": "mine", "InstanceIds": [node.node], **more}
        assert error_code(client.send_command, **whole) == code


# --- formats and types -------------------------------------------------------------------------


def test_every_type_is_stored_and_shown_in_its_formats(client):
    session = {"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {}}
    for name, kind, content, written in (
        ("a-command", "Command", YAML, "YAML"),
        ("a-runbook", "Automation", json.dumps(RUNBOOK), "JSON"),
        ("a-session", "Session", json.dumps(session), "JSON"),
        ("a-calendar", "ChangeCalendar", CALENDAR, "TEXT"),
    ):
        made = create(client, name, content, DocumentType=kind, DocumentFormat=written)
        assert (made["DocumentType"], made["DocumentFormat"]) == (kind, written)
        assert made["PlatformTypes"]
        shown = client.get_document(Name=name, DocumentFormat=written)
        assert (shown["Content"], shown["DocumentFormat"]) == (content, written)
        if written == "TEXT":
            assert client.get_document(Name=name)["Content"] == content
            refused = error_code(client.get_document, Name=name, DocumentFormat="JSON")
            assert refused == "ValidationException"
        else:
            as_json = client.get_document(Name=name)
            assert as_json["DocumentFormat"] == "JSON"
            as_yaml = client.get_document(Name=name, DocumentFormat="YAML")["Content"]
            again = create(client, f"{name}-2", as_yaml, DocumentType=kind, DocumentFormat="YAML")
            assert again["DocumentVersion"] == "1"
            same = client.get_document(Name=f"{name}-2")["Content"]
            assert json.loads(same) == json.loads(as_json["Content"])


@pytest.mark.parametrize(
    ("kind", "format_", "content", "code", "words"),
    [
        ("Command", "JSON", "{", "InvalidDocumentContent", "line 1 column 1"),
        ("Command", "YAML", "a: 1\na: 2", "InvalidDocumentContent", "line 2"),
        ("Command", "TEXT", "x", "InvalidDocumentContent", "TEXT"),
        ("Command", "JSON", '{"schemaVersion": "2.1"}', "InvalidDocumentSchemaVersion", "'2.1'"),
        ("Command", "JSON", '{"schemaVersion": "2.2"}', "InvalidDocumentContent", "mainSteps"),
        (
            "Command",
            "YAML",
            "schemaVersion: '2.2'\nmainSteps:\n- {action: aws:runShelScript, name: a}\n- {name: a}",
            "InvalidDocumentContent",
            "mainSteps[1].action is missing",
        ),
        ("Automation", "JSON", '{"schemaVersion": "2.2"}', "InvalidDocumentSchemaVersion", "0.3"),
        ("ChangeCalendar", "TEXT", "BEGIN:VCALENDAR", "InvalidDocumentContent", "does not end"),
        ("Command", "JSON", " " * 65537, "MaxDocumentSizeExceeded", "65537"),
    ],
)
def test_a_document_that_is_not_valid_is_refused_with_the_place(client, kind, format_, content, code, words):
    with pytest.raises(client.exceptions.ClientError) as refused:
        create(client, "bad", content, DocumentType=kind, DocumentFormat=format_)
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert words in error["Message"]
    assert error_code(client.get_document, Name="bad") == "InvalidDocument"


# --- versions, lists, tags, permissions, reviews -----------------------------------------------


def test_versions_are_listed_in_pages_and_deleted_one_by_one(client):
    create(client, "mine", VersionName="one", DisplayName="My document")
    for word in ("two", "three", "four", "five"):
        update(client, "mine", word)
    pages = client.get_paginator("list_document_versions").paginate(
        Name="mine", PaginationConfig={"PageSize": 2}
    )
    rows = [row for page in pages for row in page["DocumentVersions"]]
    assert [row["DocumentVersion"] for row in rows] == ["5", "4", "3", "2", "1"]
    assert [row["IsDefaultVersion"] for row in rows] == [False] * 4 + [True]
    assert rows[-1]["VersionName"] == "one" and rows[0]["DisplayName"] == "My document"

    client.delete_document(Name="mine", DocumentVersion="5")
    assert client.describe_document(Name="mine")["Document"]["LatestVersion"] == "4"
    assert update(client, "mine", "six")["DocumentVersion"] == "6"
    for refused in ({"DocumentVersion": "1"}, {"DocumentVersion": "5"}, {"VersionName": "nine"}):
        assert error_code(client.delete_document, Name="mine", **refused) == "InvalidDocumentOperation"


def test_documents_are_found_by_filters_and_in_pages(client):
    tags = [{"Key": "team", "Value": "edge"}]
    create(client, "mine", Tags=tags, TargetType="/AWS::EC2::Instance")
    create(client, "runbook", json.dumps(RUNBOOK), DocumentType="Automation")

    def found(*filters: tuple[str, str]) -> list[str]:
        wanted = [{"Key": key, "Values": [value]} for key, value in filters]
        pages = client.get_paginator("list_documents").paginate(
            Filters=wanted, PaginationConfig={"PageSize": 2}
        )
        return [row["Name"] for page in pages for row in page["DocumentIdentifiers"]]

    assert found(("Owner", "Self")) == ["mine", "runbook"]
    assert found(("Owner", "Amazon"), ("Name", "AWS-RunR")) == ["AWS-RunRemoteScript"]
    assert found(("DocumentType", "Automation")) == ["runbook"]
    assert found(("TargetType", "/AWS::EC2::Instance")) == ["mine"]
    assert found(("PlatformTypes", "Windows"), ("Owner", "Self")) == ["runbook"]
    assert found(("SearchKeyword", "says mine")) == ["mine"]
    assert found(("tag:team", "edge")) == ["mine"]
    # Two of ours, and those that are built in.
    assert len(found()) == 20
    assert len({*found()}) == 20
    wrong = [{"Key": "Colour", "Values": ["x"]}]
    assert error_code(client.list_documents, Filters=wrong) == "InvalidFilterKey"
    assert error_code(client.list_documents, NextToken="x") == "InvalidNextToken"

    resource = {"ResourceType": "Document", "ResourceId": "runbook"}
    client.add_tags_to_resource(**resource, Tags=tags)
    assert found(("tag:team", "edge")) == ["mine", "runbook"]
    client.remove_tags_from_resource(**resource, TagKeys=["team"])
    assert client.list_tags_for_resource(**resource)["TagList"] == []
    assert client.describe_document(Name="mine")["Document"]["Tags"] == tags
    builtin = {"ResourceType": "Document", "ResourceId": "AWS-RunShellScript"}
    assert error_code(client.add_tags_to_resource, **builtin, Tags=tags) == "InvalidResourceId"


def test_permissions_are_kept_and_shown(aws, client):
    create(client, "mine")
    share = ["--name", "mine", "--permission-type", "Share"]
    aws("modify-document-permission", *share, "--account-ids-to-add", "all", "111122223333")
    shown = aws("describe-document-permission", *share)
    assert shown["AccountIds"] == ["111122223333", "all"]
    assert shown["AccountSharingInfoList"][0]["SharedDocumentVersion"] == "$DEFAULT"
    assert aws.fails("delete-document", "--name", "mine").code == "InvalidDocumentOperation"
    aws("modify-document-permission", *share, "--account-ids-to-remove", "all", "111122223333")
    assert aws("delete-document", "--name", "mine") == {}


def test_change_templates_are_reviewed(client):
    create(client, "template", json.dumps(RUNBOOK), DocumentType="Automation.ChangeTemplate")

    def review(action: str) -> None:
        comment = [{"Type": "Comment", "Content": f"{action}, says I"}]
        client.update_document_metadata(
            Name="template", DocumentReviews={"Action": action, "Comment": comment}
        )

    review("SendForReview")
    review("Approve")
    assert client.describe_document(Name="template")["Document"]["ReviewStatus"] == "APPROVED"
    history = client.list_document_metadata_history(Name="template", Metadata="DocumentReviews")
    seen = [row["ReviewStatus"] for row in history["Metadata"]["ReviewerResponse"]]
    assert seen == ["APPROVED", "PENDING"]


def test_each_bad_change_has_its_own_code(client):
    create(client, "mine", VersionName="one")
    update(client, "mine", "two")
    builtin = "AWS-RunShellScript"
    for call, arguments, code in (
        (client.create_document, {"Name": "mine", "Content": script("x")}, "DocumentAlreadyExists"),
        (client.create_document, {"Name": "AmazonThing", "Content": script("x")}, "ValidationException"),
        (client.update_document, {"Name": "none", "Content": script("x")}, "InvalidDocument"),
        (client.update_document, {"Name": "mine", "Content": script("two")}, "DuplicateDocumentContent"),
        (
            client.update_document,
            {"Name": "mine", "Content": script("x"), "VersionName": "one"},
            "DuplicateDocumentVersionName",
        ),
        (
            client.update_document,
            {"Name": "mine", "Content": script("x"), "DocumentVersion": "1"},
            "InvalidDocumentVersion",
        ),
        (client.update_document, {"Name": builtin, "Content": script("x")}, "InvalidDocumentOperation"),
        (client.delete_document, {"Name": builtin}, "InvalidDocumentOperation"),
        (client.delete_document, {"Name": "none"}, "InvalidDocument"),
        (
            client.update_document_default_version,
            {"Name": "mine", "DocumentVersion": "9"},
            "InvalidDocumentVersion",
        ),
        (client.get_document, {"Name": "mine", "VersionName": "nine"}, "InvalidDocumentVersion"),
        (client.list_document_versions, {"Name": "mine", "NextToken": "x"}, "InvalidNextToken"),
        (
            client.modify_document_permission,
            {"Name": builtin, "PermissionType": "Share", "AccountIdsToAdd": ["all"]},
            "InvalidDocument",
        ),
    ):
        assert error_code(call, **arguments) == code, arguments


def test_documents_survive_a_hub_that_is_killed(hub, client):
    create(client, "mine", YAML, DocumentFormat="YAML")
    update(client, "mine", "two")
    hub.kill()
    hub.start()
    shown = client.get_document(Name="mine", DocumentFormat="YAML")
    assert (shown["DocumentVersion"], shown["Content"]) == ("1", YAML)


# --- attachments -------------------------------------------------------------------------------


@pytest.fixture
def attachment(hub):
    """`stint-hub attachment …` on the hub's data, beside the hub that runs."""

    def call(*words: object) -> str:
        done = run([HUB, "attachment", *words, "--data", hub.data], hub.home)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_what_the_attachment_store_can_not_take_is_said_in_one_line(hub, home):
    (home / "tool.zip").write_text("x")
    for folder, file, word in (("..", "tool.zip", "'..'"), ("tools", "none.zip", "none.zip")):
        words = ["attachment", "put", "--data", hub.data, "--folder", folder, home / file]
        done = run([HUB, *words], home)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and word in done.stderr, done.stderr
    done = run([HUB, "attachment", "delete", "--data", hub.data, "hub://tools/none.zip"], home)
    assert done.returncode == 1 and "attachment list" in done.stderr


def test_attachments_are_put_into_the_store_taken_by_documents_and_fetched(attachment, client, home):
    tool, readme = home / "tool.zip", home / "readme.txt"
    tool.write_bytes(bytes(range(256)) * 1000)
    readme.write_text("hello")
    put = attachment("put", "--folder", "tools/v1.0", tool, readme)
    digest = hashlib.sha256(tool.read_bytes()).hexdigest()
    assert put.splitlines()[0].split("\t") == ["hub://tools/v1.0/tool.zip", digest, "256000"]
    manifest = {
        "schemaVersion": "2.0",
        "version": "1.0",
        "packages": {"_any": {"_any": {"_any": {"file": "tool.zip"}}}},
        "files": {"tool.zip": {"checksums": {"sha256": digest}}},
    }
    sources = [{"Key": "SourceUrl", "Values": ["hub://tools/v1.0"]}]
    create(client, "tool", json.dumps(manifest), DocumentType="Package", Attachments=sources)
    described = client.describe_document(Name="tool")["Document"]
    assert described["AttachmentsInformation"] == [{"Name": "readme.txt"}, {"Name": "tool.zip"}]

    _, found = client.get_document(Name="tool")["AttachmentsContent"]
    assert (found["Name"], found["Size"], found["Hash"]) == ("tool.zip", 256000, digest)
    with urllib.request.urlopen(found["Url"]) as answer:
        assert answer.read() == tool.read_bytes()
    rest = urllib.request.Request(found["Url"], headers={"Range": "bytes=255990-"})
    with urllib.request.urlopen(rest) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == "bytes 255990-255999/256000"
        assert answer.read() == tool.read_bytes()[255990:]
    rest.add_header("If-Range", '"another"')
    with urllib.request.urlopen(rest) as answer:
        assert (answer.status, len(answer.read())) == (200, 256000)
    for wrong in (found["Url"][:-2], found["Url"].partition("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(wrong)
        assert refused.value.code == 403

    # The document keeps its file, whatever becomes of the name in the store.
    tool.write_text("another")
    attachment("put", "--folder", "tools/v1.0", tool)
    attachment("delete", "hub://tools/v1.0/tool.zip")
    assert "tool.zip" not in attachment("list")
    with urllib.request.urlopen(found["Url"]) as answer:
        assert len(answer.read()) == 256000
    for value in ("hub://tools/v1.0/tool.zip", "hub://tools/v2.0/tool.zip", "s3://bucket/tool.zip"):
        wrong = [{"Key": "S3FileUrl", "Values": [value]}]
        code = error_code(client.create_document, Name="other", Content=script("x"), Attachments=wrong)
        assert code == "ValidationException"
    reused = [{"Key": "AttachmentReference", "Values": ["tool/1/tool.zip"], "Name": "old.zip"}]
    assert create(client, "other", Attachments=reused)["AttachmentsInformation"] == [{"Name": "old.zip"}]
