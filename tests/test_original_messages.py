"""The messages of amazon-ssm-agent are served: delivered, acknowledged, replied to, cancelled."""

import json

from harness.clients import finished, shell
from harness.original import MESSAGES, SSM, OriginalAgent
from harness.replies import step


def status(client, command: str, node: OriginalAgent) -> str:
    """Where an invocation stands."""
    return client.get_command_invocation(CommandId=command, InstanceId=node.node)["Status"]


def test_a_poll_is_answered_at_once_when_there_is_work_and_before_the_client_gives_up(client, node):
    assert node.poll() == []  # The client's own limit of 20 s would have raised.
    command = shell(client, [node.node], "true")
    message = node.poll_for_one(polls=1)
    assert message["MessageId"] == f"aws.ssm.{command}.{node.node}"


def test_a_command_arrives_in_the_form_that_the_original_reads(client, node):
    command = shell(client, [node.node], "echo a", "echo b", Parameters={"executionTimeout": ["60"]})
    message = node.poll_for_one()
    assert message["Destination"] == node.node
    assert message["Topic"].startswith("aws.ssm.sendCommand")
    assert message["CreatedDate"].endswith("Z") and len(message["CreatedDate"]) == 24
    payload = json.loads(message["Payload"])
    assert payload["CommandId"] == command
    assert payload["DocumentName"] == "AWS-RunShellScript"
    assert payload["Parameters"]["commands"] == ["echo a", "echo b"]
    assert payload["Parameters"]["executionTimeout"] == "60"
    content = payload["DocumentContent"]
    assert content["schemaVersion"] == "1.2"
    (properties,) = content["runtimeConfig"]["aws:runShellScript"]["properties"]
    assert properties["runCommand"] == "{{ commands }}"
    assert isinstance(payload.get("CloudWatchOutputEnabled", "false"), str)


def test_a_command_goes_from_pending_over_in_progress_to_its_end(client, node):
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    assert status(client, command, node) == "Pending"
    node.carry_out(message, "Failed", 7, "half\n")
    result = finished(client, command, node.node)
    assert (result["Status"], result["ResponseCode"]) == ("Failed", 7)
    assert result["StandardOutputContent"] == "half\n"


def test_an_acknowledged_command_is_in_progress_and_not_delivered_again(client, node):
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    assert node.acknowledge(message).status == 200
    assert node.acknowledge(message).status == 200
    assert status(client, command, node) == "InProgress"
    assert node.poll() == []


def test_what_is_not_acknowledged_is_delivered_again_after_its_visibility_timeout(client, node):
    shell(client, [node.node], "true")
    first = node.poll_for_one()
    again = node.poll_for_one(polls=2)
    assert again["MessageId"] == first["MessageId"]


def test_a_terminal_reply_counts_as_an_acknowledgement(client, node):
    """The original answers a document it can't parse with Failed, and never acknowledges it."""
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    assert node.reply(message, "Failed", trace="document is not valid").status == 200
    result = finished(client, command, node.node)
    assert result["Status"] == "Failed"
    assert node.poll() == []


def test_a_reply_repeated_with_the_same_id_is_counted_once(client, node):
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    node.acknowledge(message)
    reply_id = "3e757370-b3ff-42cd-8e2c-1de592eb939e"
    steps = {"aws:runShellScript": step("Success", 0, "once\n")}
    for _ in range(3):
        assert node.reply(message, "Success", steps, reply_id).status == 200
    (found,) = client.list_commands(CommandId=command)["Commands"]
    assert (found["Status"], found["CompletedCount"]) == ("Success", 1)


def test_in_progress_after_the_end_is_ignored(client, node):
    """A duplicate delivery makes the original say InProgress and acknowledge once more."""
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    node.carry_out(message)
    assert node.reply(message, "InProgress").status == 200
    assert node.acknowledge(message).status == 200
    assert status(client, command, node) == "Success"


def test_replies_of_several_steps_are_merged(hub, client, node):
    """With more than one step the original's last reply is empty; the earlier ones hold the results."""
    command = shell(client, [node.node], "true")
    inputs = {"runCommand": ["true"]}
    steps = [{"action": "aws:runShellScript", "name": name, "inputs": inputs} for name in ("first", "second")]
    # The hub has one document so far, of one step; so this command is given another.
    content = json.dumps({"schemaVersion": "2.2", "mainSteps": steps})
    assert hub.pretend("UPDATE command SET content = ? WHERE id = ?", content, command) == 1

    message = node.poll_for_one()
    assert [s["name"] for s in json.loads(message["Payload"])["DocumentContent"]["mainSteps"]] == [
        "first",
        "second",
    ]
    node.reply(message, "InProgress")
    node.acknowledge(message)
    node.reply(message, "InProgress", {"first": step("Success", 0, "1\n")})
    node.reply(message, "InProgress", {"second": step("Failed", 3, "2\n", "bad\n")})
    node.reply(message, "Failed", {})
    (row,) = client.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    assert row["Status"] == "Failed"
    plugins = [(p["Name"], p["Status"], p["ResponseCode"]) for p in row["CommandPlugins"]]
    assert plugins == [("first", "Success", 0), ("second", "Failed", 3)]


def test_a_cancel_arrives_as_a_message_of_its_own(client, node):
    command = shell(client, [node.node], "sleep 600")
    message = node.poll_for_one()
    node.reply(message, "InProgress")
    node.acknowledge(message)
    client.cancel_command(CommandId=command)
    assert status(client, command, node) in ("Cancelling", "InProgress")

    cancel = node.poll_for_one()
    assert cancel["Topic"].startswith("aws.ssm.cancelCommand")
    assert cancel["MessageId"] != message["MessageId"]
    assert json.loads(cancel["Payload"]) == {"CancelMessageId": message["MessageId"]}
    assert node.reply(cancel, "InProgress").status == 200
    assert node.acknowledge(cancel).status == 200

    steps = {"aws:runShellScript": step("Cancelled", 137, "partial\n")}
    node.reply(message, "InProgress", steps)
    node.reply(message, "Cancelled", steps)
    result = finished(client, command, node.node)
    assert (result["Status"], result["ResponseCode"]) == ("Cancelled", 137)
    assert result["StandardOutputContent"] == "partial\n"


def test_a_message_that_the_node_cannot_handle_ends_as_undeliverable(client, node):
    command = shell(client, [node.node], "true")
    assert node.fail(node.poll_for_one()).status == 200
    result = finished(client, command, node.node)
    assert (result["Status"], result["StatusDetails"]) == ("Failed", "Undeliverable")


def test_a_message_of_another_node_cannot_be_answered(hub, client, activate, node):
    other = OriginalAgent(hub.endpoint, hub.region).come_online(activate())
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    assert other.acknowledge(message).status == 400
    assert other.reply(message, "Success", {}).status == 400
    assert status(client, command, node) == "Pending"


def test_a_reply_of_the_largest_size_is_taken(client, node):
    command = shell(client, [node.node], "true")
    message = node.poll_for_one()
    # Control characters are six bytes each in JSON, and the payload is JSON in JSON.
    steps = {"aws:runShellScript": step("Success", 0, "\x01" * 24_000, "\x02" * 24_000)}
    assert node.reply(message, "Success", steps).status == 200
    assert finished(client, command, node.node)["StandardOutputContent"].startswith("\x01")


def test_a_command_on_a_connection_that_broke_is_delivered_again(client, node):
    command = shell(client, [node.node], "true")
    node.poll_for_one()
    node.hang_up()
    assert node.poll_for_one()["MessageId"] == f"aws.ssm.{command}.{node.node}"


def test_associations_are_empty_and_no_error(node):
    answer = node.by_token("ListInstanceAssociations", {"InstanceId": node.node, "MaxResults": 20}, SSM)
    assert (answer.status, answer.body) == (200, {"Associations": []})
    filters = [{"key": "InstanceId", "value": node.node}]
    answer = node.by_token("ListAssociations", {"AssociationFilterList": filters, "MaxResults": 1}, SSM)
    assert (answer.status, answer.body["Associations"]) == (200, [])


def test_an_operation_that_is_not_for_nodes_is_refused_by_name(node):
    """The original asks for a few more; it lives on without them."""
    for namespace, operation in [(SSM, "GetManifest"), (SSM, "PutComplianceItems"), (MESSAGES, "Bogus")]:
        answer = node.by_token(operation, {}, namespace)
        assert answer.status == 400, operation
        assert answer.code in ("AccessDeniedException", "UnknownOperationException"), operation
        assert operation in answer.raw.decode()
