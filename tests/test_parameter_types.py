"""A command's parameters of every type on their whole way: AWS CLI or boto3, hub, device, script."""

import json

import pytest

from harness.clients import finished

TYPES = ["String", "StringList", "StringMap", "Integer", "Boolean", "MapList"]
SENT = {
    "String": ["a {b}"],
    "StringList": ["x", "y,z"],
    "StringMap": ['{"k": "v", "n": {"m": 1}}'],
    "Integer": ["-7"],
    "Boolean": ["True"],
}
SEEN = ["a {b}", '["x","y,z"]', '{"k":"v","n":{"m":1}}', "-7", "true", '[{"k":"v"},{"k":"w"}]', "v"]


@pytest.fixture
def document(client):
    """A document with a parameter of each type, named like it, whose script says what it gets."""
    words = " ".join(f"'{{{{ {kind} }}}}'" for kind in TYPES)
    # The map also stands alone, where it stays a map.
    inputs = {"runCommand": [f"printf '%s\\n' {words} \"$k\""], "environment": "{{ StringMap }}"}
    content = {
        "schemaVersion": "2.2",
        "parameters": {kind: {"type": kind} for kind in TYPES},
        "mainSteps": [{"action": "aws:runShellScript", "name": "say", "inputs": inputs}],
    }
    client.create_document(Name="Types", DocumentType="Command", Content=json.dumps(content))
    return "Types"


def test_every_type_of_parameter_reaches_the_script(client, aws, agent, document):
    by_cli = {**SENT, "MapList": ['[{"k": "v"}, {"k": "w"}]']}
    words = ["--document-name", document, "--instance-ids", agent.node]
    sent = aws("send-command", *words, "--parameters", json.dumps(by_cli))
    done = finished(client, sent["Command"]["CommandId"], agent.node)
    assert done["StandardOutputContent"].splitlines() == SEEN, done
    # Map by map, as a list of texts is written elsewhere.
    by_boto = {**SENT, "Boolean": ["true"], "MapList": ['{"k": "v"}', '{"k": "w"}']}
    sent = client.send_command(DocumentName=document, InstanceIds=[agent.node], Parameters=by_boto)
    done = finished(client, sent["Command"]["CommandId"], agent.node)
    assert done["StandardOutputContent"].splitlines() == SEEN, done


def test_a_document_that_can_be_created_runs_without_values(client, agent):
    step = {"action": "aws:runShellScript", "name": "say", "inputs": {"runCommand": ["echo '<{{ site }}>'"]}}
    content = {
        "schemaVersion": "2.2",
        "parameters": {
            "site": {"type": "String", "default": "", "allowedValues": ["lab", "prod"], "minChars": 3},
            "more": {"type": "StringList", "default": [], "minItems": 1},
        },
        "mainSteps": [step],
    }
    client.create_document(Name="Defaults", DocumentType="Command", Content=json.dumps(content))
    sent = client.send_command(DocumentName="Defaults", InstanceIds=[agent.node])
    done = finished(client, sent["Command"]["CommandId"], agent.node)
    assert (done["Status"], done["StandardOutputContent"]) == ("Success", "<>\n"), done
