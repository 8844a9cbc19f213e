"""Run Command as scripts use it through boto3: validation, rate control, timeouts, lists, cancel."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from harness import fleet
from harness.clients import error_code, finished, shell
from harness.wait import until

COMMANDS = {"commands": ["true"]}


def command(client, command_id: str) -> dict:
    """What ListCommands says of one command."""
    (found,) = client.list_commands(CommandId=command_id)["Commands"]
    return found


def invocations(client, command_id: str, **more) -> list[dict]:
    """All invocations of a command, in all pages."""
    pages = client.get_paginator("list_command_invocations").paginate(CommandId=command_id, **more)
    return [row for page in pages for row in page["CommandInvocations"]]


def command_ended(client, command_id: str, patience: float = 60) -> dict:
    """Waits until a command as a whole has ended."""

    def probe() -> dict | None:
        found = command(client, command_id)
        return None if found["Status"] in ("Pending", "InProgress", "Cancelling") else found

    return until(f"command {command_id} has ended", probe, patience)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"Parameters": {"commands": ["true"], "bogus": ["1"]}}, "InvalidParameters"),
        ({"Parameters": {}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "executionTimeout": ["0"]}}, "InvalidParameters"),
        ({"Parameters": {"commands": ["true"], "executionTimeout": ["172801"]}}, "InvalidParameters"),
        ({"DocumentName": "No-Such-Document"}, "InvalidDocument"),
        ({"DocumentName": "!"}, "ValidationException"),
        ({"DocumentVersion": "99"}, "InvalidDocumentVersion"),
        ({"InstanceIds": ["bogus"]}, "ValidationException"),
        ({"InstanceIds": ["mi-00000000000000000"]}, "InvalidInstanceId"),
        ({"TimeoutSeconds": 2592001}, "ValidationException"),
        ({"MaxConcurrency": "0%"}, "ValidationException"),
        ({"MaxErrors": "many"}, "ValidationException"),
        ({"Comment": "x" * 101}, "ValidationException"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_bad_send_command_is_refused_with_the_right_code(hub, client, request_, code):
    (node,) = fleet.register(hub, client, 1, online=False)
    whole = {
        "DocumentName": "AWS-RunShellScript",
        "InstanceIds": [node.node],
        "Parameters": COMMANDS,
        **request_,
    }
    assert error_code(client.send_command, **whole) == code
    assert client.list_commands()["Commands"] == []


def test_the_same_instance_twice_is_refused(hub, client):
    (node,) = fleet.register(hub, client, 1, online=False)
    assert error_code(lambda: shell(client, [node.node] * 2, "true")) in (
        "DuplicateInstanceId",
        "InvalidParameters",
    )


def test_max_concurrency_bounds_how_many_nodes_run_a_command_at_once(hub, client):
    nodes = fleet.register(hub, client, 6)

    def busy(*_) -> tuple[str, int]:
        time.sleep(0.1)  # Long enough for another node to overlap if the hub let it.
        return "Success", 0

    crew = fleet.Crew(nodes, busy)
    command_id = shell(client, [node.node for node in nodes], "true", MaxConcurrency="2")
    assert command_ended(client, command_id)["Status"] == "Success"
    assert crew.most_at_once <= 2
    assert sorted(node for node, _ in crew.handled) == sorted(node.node for node in nodes)
    summary = command(client, command_id)
    assert (summary["TargetCount"], summary["CompletedCount"], summary["ErrorCount"]) == (6, 6, 0)


def test_more_errors_than_max_errors_stop_the_rest(hub, client):
    nodes = fleet.register(hub, client, 5)
    crew = fleet.Crew(nodes, lambda *_: ("Failed", 1))
    command_id = shell(client, [n.node for n in nodes], "false", MaxConcurrency="1", MaxErrors="1")
    summary = command_ended(client, command_id)
    assert summary["Status"] == "Failed"
    assert len(crew.handled) == 2
    details = sorted(row["StatusDetails"] for row in invocations(client, command_id))
    assert details == ["Failed", "Failed", "Terminated", "Terminated", "Terminated"]


def test_percentages_count_of_the_targets(hub, client):
    nodes = fleet.register(hub, client, 4)
    crew = fleet.Crew(nodes, lambda *_: ("Success", 0))
    command_id = shell(client, [n.node for n in nodes], "true", MaxConcurrency="25%", MaxErrors="50%")
    assert command_ended(client, command_id)["Status"] == "Success"
    assert crew.most_at_once == 1


def test_a_command_that_no_node_fetches_in_time_is_delivery_timed_out(hub, client):
    (node,) = fleet.register(hub, client, 1, online=False)
    command_id = shell(client, [node.node], "true", TimeoutSeconds=30)
    result = finished(client, command_id, node.node, patience=90)
    assert (result["Status"], result["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")
    assert command_ended(client, command_id)["DeliveryTimedOutCount"] == 1
    # A device that wakes up later does not get it any more.
    node.refresh()
    assert node.poll() == []


def test_250_commands_are_paged_without_a_gap_or_a_repeat_newest_first(hub, client):
    (node,) = fleet.register(hub, client, 1, online=False)
    sent = [shell(client, [node.node], f"echo {i}") for i in range(250)]

    pages = list(client.get_paginator("list_commands").paginate(PaginationConfig={"PageSize": 50}))
    assert [len(page["Commands"]) for page in pages] == [50] * 5
    assert [found["CommandId"] for page in pages for found in page["Commands"]] == sent[::-1]

    rows = client.get_paginator("list_command_invocations").paginate(
        InstanceId=node.node, PaginationConfig={"PageSize": 50}
    )
    assert {row["CommandId"] for page in rows for row in page["CommandInvocations"]} == set(sent)

    # The command line pages by the same tokens, as does --max-items.
    some = client.get_paginator("list_commands").paginate(PaginationConfig={"MaxItems": 60, "PageSize": 25})
    assert [found["CommandId"] for found in some.build_full_result()["Commands"]] == sent[::-1][:60]


def test_commands_are_filtered_by_status_time_and_document(hub, client):
    online, offline = fleet.register(hub, client, 2)
    fleet.Crew([online], lambda *_: ("Success", 0))
    done, waiting = (shell(client, [n.node], "true") for n in (online, offline))
    command_ended(client, done)

    def found(key: str, value: str) -> set[str]:
        rows = client.list_commands(Filters=[{"key": key, "value": value}])["Commands"]
        return {row["CommandId"] for row in rows}

    hour = timedelta(hours=1)
    later, earlier = (f"{datetime.now(UTC) + by:%Y-%m-%dT%H:%M:%SZ}" for by in (hour, -hour))
    assert found("Status", "Success") == {done}
    assert found("Status", "Pending") == {waiting}
    assert found("InvokedAfter", earlier) == {done, waiting}
    assert found("InvokedAfter", later) == set()
    assert found("InvokedBefore", later) == {done, waiting}
    assert found("DocumentName", "AWS-RunShellScript") == {done, waiting}
    assert error_code(client.list_commands, Filters=[{"key": "Bogus", "value": "x"}]) == "ValidationException"


def test_details_show_each_step_and_its_output(hub, client):
    (node,) = fleet.register(hub, client, 1)
    fleet.Crew([node], lambda *_: ("Failed", 3))
    command_id = shell(client, [node.node], "exit 3", Comment="why not")
    command_ended(client, command_id)

    assert (
        "CommandPlugins" not in invocations(client, command_id)[0]
        or not (invocations(client, command_id)[0]["CommandPlugins"])
    )
    (row,) = invocations(client, command_id, Details=True)
    assert (row["InstanceId"], row["Comment"], row["Status"]) == (node.node, "why not", "Failed")
    (step,) = row["CommandPlugins"]
    assert (step["Name"], step["Status"], step["ResponseCode"]) == ("aws:runShellScript", "Failed", 3)
    assert step["Output"] == "done\n"


def test_an_invocation_is_found_by_its_step_and_only_by_that(hub, client):
    (node,) = fleet.register(hub, client, 1)
    fleet.Crew([node], lambda *_: ("Success", 0))
    command_id = shell(client, [node.node], "true")
    finished(client, command_id, node.node)
    get = client.get_command_invocation
    where = {"CommandId": command_id, "InstanceId": node.node}
    assert get(**where, PluginName="aws:runShellScript")["StandardOutputContent"] == "done\n"
    assert error_code(get, **where, PluginName="aws:bogus") == "InvalidPluginName"
    nowhere = {"CommandId": "00000000-0000-0000-0000-000000000000", "InstanceId": node.node}
    assert error_code(get, **nowhere) == "InvocationDoesNotExist"


def test_cancelling_a_command_that_nobody_has_fetched_ends_it_at_once(hub, client):
    one, other = fleet.register(hub, client, 2, online=False)
    command_id = shell(client, [one.node, other.node], "true")
    client.cancel_command(CommandId=command_id, InstanceIds=[one.node])
    assert finished(client, command_id, one.node)["Status"] == "Cancelled"
    waiting = client.get_command_invocation(CommandId=command_id, InstanceId=other.node)
    assert waiting["Status"] == "Pending"
    client.cancel_command(CommandId=command_id)
    assert command_ended(client, command_id)["Status"] == "Cancelled"
    # To cancel what has ended is no error, and changes nothing.
    client.cancel_command(CommandId=command_id)
    unknown = "00000000-0000-0000-0000-000000000000"
    assert error_code(client.cancel_command, CommandId=unknown) == "InvalidCommandId"


def test_targets_are_intersected_and_their_values_united(hub, client):
    tags = [("lab", "gateway"), ("lab", "router"), ("lab", "camera"), ("roof", "gateway")]
    nodes = fleet.register(hub, client, len(tags))
    for node, (site, role) in zip(nodes, tags, strict=False):
        both = [{"Key": "site", "Value": site}, {"Key": "role", "Value": role}]
        client.add_tags_to_resource(ResourceType="ManagedInstance", ResourceId=node.node, Tags=both)
    fleet.Crew(nodes, lambda *_: ("Success", 0))
    targets = [
        {"Key": "tag:site", "Values": ["lab"]},
        {"Key": "tag:role", "Values": ["gateway", "router"]},
    ]
    sent = client.send_command(DocumentName="AWS-RunShellScript", Targets=targets, Parameters=COMMANDS)
    command_id = sent["Command"]["CommandId"]
    assert command_ended(client, command_id)["Targets"] == targets
    reached = {row["InstanceId"] for row in invocations(client, command_id)}
    assert reached == {nodes[0].node, nodes[1].node}


def test_targets_that_match_nothing_end_the_command_at_once(client):
    targets = [{"Key": "tag:site", "Values": ["nowhere"]}]
    sent = client.send_command(DocumentName="AWS-RunShellScript", Targets=targets, Parameters=COMMANDS)
    assert command_ended(client, sent["Command"]["CommandId"])["TargetCount"] == 0


def test_the_built_in_document_can_be_read(client):
    document = client.get_document(Name="AWS-RunShellScript")
    assert (document["DocumentType"], document["DocumentFormat"]) == ("Command", "JSON")
    assert '"aws:runShellScript"' in document["Content"]
    described = client.describe_document(Name="AWS-RunShellScript")["Document"]
    assert {p["Name"] for p in described["Parameters"]} == {
        "commands",
        "workingDirectory",
        "executionTimeout",
    }
    pages = client.get_paginator("list_documents").paginate()
    assert "AWS-RunShellScript" in {d["Name"] for page in pages for d in page["DocumentIdentifiers"]}
    assert error_code(client.get_document, Name="No-Such-Document") == "InvalidDocument"


def test_an_operation_that_is_not_supported_says_so(client):
    assert error_code(client.describe_patch_baselines) == "UnknownOperationException"
