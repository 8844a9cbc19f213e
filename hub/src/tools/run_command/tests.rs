//! Run Command as an operator uses it.

use crate::tools::testbed::{Testbed, command_id};
use serde_json::{Value, json};

fn shell(more: Value) -> Value {
    let mut input = json!({
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": ["uptime"]},
    });
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    input
}

/// What the node reports of the only step.
async fn report(bed: &Testbed, command: &str, node: &str, status: &str, code: &str) {
    bed.sql(
        "INSERT INTO invocation_step (command_id, node_id, name, position, plugin, status, code,
           output, stdout, stderr, started_at, finished_at)
         VALUES ($1, $2, 'aws:runShellScript', 0, 'aws:runShellScript', $3, $4,
           'up 3 days', 'up 3 days', 'oops', 1795300001123, 1795300001153)",
        &[command, node, status, code],
    )
    .await;
}

async fn shown(bed: &Testbed, command: &str, node: &str) -> Value {
    let input = json!({"CommandId": command, "InstanceId": node});
    bed.ok("GetCommandInvocation", input).await
}

#[tokio::test]
async fn the_answer_of_send_command_is_complete() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let input = shell(json!({"InstanceIds": [node], "Comment": "uptime"}));
    let command = bed.ok("SendCommand", input).await["Command"].clone();
    let window =
        command["ExpiresAfter"].as_f64().unwrap() - command["RequestedDateTime"].as_f64().unwrap();
    assert_eq!(window.round(), 7200.0, "delivery and execution timeout");
    for (member, value) in [
        ("DocumentName", json!("AWS-RunShellScript")),
        ("DocumentVersion", json!("$DEFAULT")),
        ("Comment", json!("uptime")),
        ("Parameters", json!({"commands": ["uptime"]})),
        ("InstanceIds", json!([node])),
        ("Targets", json!([])),
        ("Status", json!("Pending")),
        ("StatusDetails", json!("Pending")),
        ("OutputS3Region", json!("eu-central-1")),
        ("OutputS3BucketName", json!("")),
        ("OutputS3KeyPrefix", json!("")),
        ("MaxConcurrency", json!("50")),
        ("MaxErrors", json!("0")),
        ("TargetCount", json!(1)),
        ("CompletedCount", json!(0)),
        ("ErrorCount", json!(0)),
        ("DeliveryTimedOutCount", json!(0)),
        ("ServiceRole", json!("")),
        (
            "NotificationConfig",
            json!({"NotificationArn": "", "NotificationEvents": [], "NotificationType": ""}),
        ),
        (
            "CloudWatchOutputConfig",
            json!({"CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false}),
        ),
        ("TimeoutSeconds", json!(3600)),
    ] {
        assert_eq!(command[member], value, "{member}");
    }
}

#[tokio::test]
async fn what_the_hub_only_keeps_comes_back_as_it_was_given() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let kept = json!({
        "OutputS3Region": "us-west-2",
        "OutputS3BucketName": "bucket",
        "OutputS3KeyPrefix": "a/b",
        "NotificationConfig": {"NotificationArn": "arn", "NotificationEvents": ["All"], "NotificationType": "Command"},
        "CloudWatchOutputConfig": {"CloudWatchLogGroupName": "g", "CloudWatchOutputEnabled": true},
        "AlarmConfiguration": {"Alarms": [{"Name": "hot"}]},
    });
    let mut more = kept.clone();
    more["InstanceIds"] = json!([node]);
    more["ServiceRoleArn"] = json!("role");
    let command = command_id(&bed.ok("SendCommand", shell(more)).await);
    let list = bed.ok("ListCommands", json!({"CommandId": command})).await;
    for (member, value) in kept.as_object().unwrap() {
        assert_eq!(list["Commands"][0][member], *value, "{member}");
    }
    assert_eq!(list["Commands"][0]["ServiceRole"], "role");
}

#[tokio::test]
async fn targets_are_joined_by_and_and_their_values_by_or() {
    let bed = Testbed::new().await;
    let gateway = bed.node(1, &[("site", "lab"), ("role", "gateway")]).await;
    let router = bed.node(2, &[("site", "lab"), ("role", "router")]).await;
    let camera = bed.node(3, &[("site", "lab"), ("role", "camera")]).await;
    let field = bed.node(4, &[("site", "field"), ("role", "router")]).await;
    let mut all = vec![&gateway, &router, &camera, &field];
    all.sort();
    for (targets, expected) in [
        (
            json!([{"Key": "tag:site", "Values": ["lab"]}, {"Key": "tag:role", "Values": ["gateway", "router"]}]),
            vec![&gateway, &router],
        ),
        (json!([{"Key": "tag-key", "Values": ["site", "colour"]}]), all),
        (
            json!([{"Key": "InstanceIds", "Values": [camera, field]}, {"Key": "tag:site", "Values": ["lab"]}]),
            vec![&camera],
        ),
        (json!([{"Key": "tag:site", "Values": []}]), vec![]),
    ] {
        let sent = bed.ok("SendCommand", shell(json!({"Targets": targets}))).await;
        assert_eq!(sent["Command"]["TargetCount"], json!(expected.len()));
        let list = bed.ok("ListCommandInvocations", json!({"CommandId": command_id(&sent)})).await;
        let mut ids: Vec<&str> = list["CommandInvocations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["InstanceId"].as_str().unwrap())
            .collect();
        ids.sort();
        assert_eq!(ids, expected, "{targets}");
    }
}

#[tokio::test]
async fn targets_that_match_nothing_end_the_command_at_once() {
    let bed = Testbed::new().await;
    let targets = json!({"Targets": [{"Key": "tag:site", "Values": ["moon"]}]});
    let sent = bed.ok("SendCommand", shell(targets)).await;
    assert_eq!(sent["Command"]["Status"], "Success");
    assert_eq!(sent["Command"]["StatusDetails"], "NoInstancesInTag");
    let filter = json!({"Filters": [{"key": "Status", "value": "NoInstancesInTag"}]});
    assert_eq!(commands(&bed.ok("ListCommands", filter).await), [command_id(&sent)]);
}

#[tokio::test]
async fn each_bad_send_command_has_its_own_code() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let windows = bed.node(2, &[]).await;
    bed.sql("UPDATE node SET platform_type = 'Windows' WHERE id = $1", &[&windows]).await;
    let ghost = "mi-00000000000000000";
    let to = |more: Value| {
        let mut input = shell(more);
        input["InstanceIds"] = json!([node]);
        input
    };
    let parameters = |value: Value| to(json!({"Parameters": value}));
    for (input, code) in [
        (shell(json!({"InstanceIds": [ghost]})), "InvalidInstanceId"),
        (
            shell(json!({"Targets": [{"Key": "InstanceIds", "Values": [ghost]}]})),
            "InvalidInstanceId",
        ),
        (shell(json!({"InstanceIds": [node, node]})), "DuplicateInstanceId"),
        (shell(json!({"InstanceIds": [windows]})), "UnsupportedPlatformType"),
        (shell(json!({})), "ValidationException"),
        (to(json!({"Targets": [{"Key": "tag:a", "Values": ["b"]}]})), "ValidationException"),
        (
            shell(json!({"Targets": [{"Key": "resource-groups:Name", "Values": ["g"]}]})),
            "ValidationException",
        ),
        (shell(json!({"Targets": [{"Key": "colour", "Values": ["g"]}]})), "ValidationException"),
        (shell(json!({"Targets": [{"Values": ["g"]}]})), "ValidationException"),
        (to(json!({"DocumentName": "AWS-Nothing"})), "InvalidDocument"),
        (to(json!({"DocumentVersion": "7"})), "InvalidDocumentVersion"),
        (to(json!({"DocumentHash": "00", "DocumentHashType": "Sha256"})), "InvalidDocument"),
        (to(json!({"DocumentHash": "00", "DocumentHashType": "Sha1"})), "ValidationException"),
        (to(json!({"TimeoutSeconds": 2_592_001})), "ValidationException"),
        (to(json!({"MaxConcurrency": "0"})), "ValidationException"),
        (to(json!({"MaxErrors": "101%"})), "ValidationException"),
        (to(json!({"Comment": "x".repeat(101)})), "ValidationException"),
        (parameters(json!({})), "InvalidParameters"),
        (parameters(json!({"commands": []})), "InvalidParameters"),
        (parameters(json!({"commands": ["a"], "colour": ["red"]})), "InvalidParameters"),
        (parameters(json!({"commands": ["a"], "executionTimeout": ["0"]})), "InvalidParameters"),
        (
            parameters(json!({"commands": ["a"], "executionTimeout": ["172801"]})),
            "InvalidParameters",
        ),
        (
            parameters(json!({"commands": ["a"], "workingDirectory": ["/", "/tmp"]})),
            "InvalidParameters",
        ),
    ] {
        assert_eq!(bed.code("SendCommand", input.clone()).await, code, "{input}");
    }
    assert!(commands(&bed.ok("ListCommands", json!({})).await).is_empty());
}

#[tokio::test]
async fn an_unknown_node_is_told_in_the_words_of_aws() {
    let bed = Testbed::new().await;
    let error = bed
        .call("SendCommand", shell(json!({"InstanceIds": ["mi-00000000000000000"]})))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "Instances [[mi-00000000000000000]] not in a valid state for account 123456789012"
    );
}

#[tokio::test]
async fn a_document_is_sent_only_with_the_hash_that_was_named() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let described = bed.ok("DescribeDocument", json!({"Name": "AWS-RunShellScript"})).await;
    let hash = &described["Document"]["Hash"];
    bed.ok("SendCommand", shell(json!({"InstanceIds": [node], "DocumentHash": hash}))).await;
}

#[tokio::test]
async fn an_invocation_shows_its_output_when_it_has_ended() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let command = bed.command(&[&node]).await;
    let pending = shown(&bed, &command, &node).await;
    assert_eq!((&pending["Status"], &pending["ResponseCode"]), (&json!("Pending"), &json!(-1)));
    assert_eq!(pending["ExecutionStartDateTime"], "");

    bed.acknowledge(&command, &node).await;
    assert_eq!(shown(&bed, &command, &node).await["Status"], "InProgress");
    report(&bed, &command, &node, "Failed", "7").await;
    bed.finish(&command, &node, "Failed", "Failed").await;
    let end = shown(&bed, &command, &node).await;
    for (member, value) in [
        ("PluginName", json!("aws:runShellScript")),
        ("ResponseCode", json!(7)),
        ("ExecutionStartDateTime", json!("2026-11-21T22:26:41.123Z")),
        ("ExecutionElapsedTime", json!("PT0.03S")),
        ("ExecutionEndDateTime", json!("2026-11-21T22:26:41.153Z")),
        ("Status", json!("Failed")),
        ("StatusDetails", json!("Failed")),
        ("StandardOutputContent", json!("up 3 days")),
        ("StandardErrorContent", json!("oops")),
    ] {
        assert_eq!(end[member], value, "{member}");
    }
}

#[tokio::test]
async fn output_is_cut_to_what_the_model_allows() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let command = bed.command(&[&node]).await;
    report(&bed, &command, &node, "Success", "0").await;
    let long = "é".repeat(30_000);
    bed.sql("UPDATE invocation_step SET stdout = $1, stderr = $1, output = $1", &[&long]).await;
    bed.sql("UPDATE invocation SET trace = $1", &[&long]).await;
    bed.finish(&command, &node, "Success", "Success").await;
    let one = shown(&bed, &command, &node).await;
    assert_eq!(one["StandardOutputContent"].as_str().unwrap().chars().count(), 24_000);
    assert_eq!(one["StandardErrorContent"].as_str().unwrap().chars().count(), 8_000);
    let list =
        bed.ok("ListCommandInvocations", json!({"CommandId": command, "Details": true})).await;
    let output = &list["CommandInvocations"][0]["CommandPlugins"][0]["Output"];
    assert_eq!(output.as_str().unwrap().chars().count(), 2_500);
}

#[tokio::test]
async fn details_list_every_step_even_before_it_runs() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let command = bed.command(&[&node]).await;
    let plugins = async |details: bool| {
        let input = json!({"CommandId": command, "Details": details});
        let list = bed.ok("ListCommandInvocations", input).await;
        list["CommandInvocations"][0]["CommandPlugins"].clone()
    };
    assert_eq!(plugins(false).await, json!([]));
    let before = plugins(true).await;
    assert_eq!((&before[0]["Status"], &before[0]["ResponseCode"]), (&json!("Pending"), &json!(-1)));
    report(&bed, &command, &node, "TimedOut", "137").await;
    bed.finish(&command, &node, "TimedOut", "ExecutionTimedOut").await;
    let after = plugins(true).await;
    assert_eq!(after[0]["StatusDetails"], "ExecutionTimedOut");
    assert_eq!(after[0]["ResponseStartDateTime"], json!(1_795_300_001.123));
    assert_eq!(after[0]["Output"], "up 3 days");
}

fn commands(page: &Value) -> Vec<String> {
    let list = page["Commands"].as_array().unwrap();
    list.iter().map(|c| c["CommandId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_show_every_command_and_invocation_once_and_newest_first() {
    let bed = Testbed::new().await;
    let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
    let mut sent = Vec::new();
    for n in 0..7 {
        let command = bed.command(&[&one, &two]).await;
        // Two commands share each moment: ids have to break the tie.
        bed.sql(
            "UPDATE command SET requested_at = $2 WHERE id = $1",
            &[&command, &(1000 + n / 2).to_string()],
        )
        .await;
        bed.sql(
            "UPDATE invocation SET requested_at = $2 WHERE command_id = $1",
            &[&command, &(1000 + n / 2).to_string()],
        )
        .await;
        sent.push(command);
    }
    for (operation, member, count) in
        [("ListCommands", "Commands", 7), ("ListCommandInvocations", "CommandInvocations", 14)]
    {
        let (mut seen, mut token) = (Vec::new(), Value::Null);
        loop {
            let page = bed.ok(operation, json!({"MaxResults": 3, "NextToken": token})).await;
            let rows = page[member].as_array().unwrap();
            assert!(rows.len() <= 3);
            seen.extend(rows.iter().map(|r| {
                (
                    r["RequestedDateTime"].as_f64().unwrap(),
                    r["CommandId"].to_string(),
                    r["InstanceId"].to_string(),
                )
            }));
            token = page["NextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert!(seen.windows(2).all(|w| w[0].0 >= w[1].0), "newest first");
        seen.sort_by(|a, b| (&a.1, &a.2).cmp(&(&b.1, &b.2)));
        seen.dedup();
        assert_eq!(seen.len(), count, "{operation}");
    }
}

#[tokio::test]
async fn commands_are_found_by_every_filter() {
    let bed = Testbed::new().await;
    let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
    let ended = bed.command(&[&one]).await;
    bed.finish(&ended, &one, "Success", "Success").await;
    let running = bed.command(&[&two]).await;
    bed.acknowledge(&running, &two).await;
    let waiting = bed.command(&[&two]).await;
    let filter = |key: &str, value: &str| json!({"Filters": [{"key": key, "value": value}]});
    for (input, expected) in [
        (filter("Status", "Success"), vec![&ended]),
        (filter("Status", "InProgress"), vec![&running]),
        (filter("Status", "Pending"), vec![&waiting]),
        (filter("ExecutionStage", "Executing"), vec![&running, &waiting]),
        (filter("ExecutionStage", "Complete"), vec![&ended]),
        (filter("DocumentName", "AWS-RunShellScript"), vec![&ended, &running, &waiting]),
        (filter("DocumentName", "Other"), vec![]),
        (filter("InvokedAfter", "2020-01-01T00:00:00Z"), vec![&ended, &running, &waiting]),
        (filter("InvokedBefore", "2020-01-01"), vec![]),
        (json!({"InstanceId": one}), vec![&ended]),
        (json!({"CommandId": running}), vec![&running]),
        (json!({"CommandId": "00000000-0000-0000-0000-000000000000"}), vec![]),
    ] {
        let mut found = commands(&bed.ok("ListCommands", input.clone()).await);
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{input}");
    }
    for (input, expected) in [
        (filter("Status", "Success"), 1),
        (filter("Status", "InProgress"), 1),
        (filter("InvokedBefore", "2020-01-01"), 0),
        (json!({"InstanceId": two}), 2),
        (json!({"CommandId": ended, "InstanceId": two}), 0),
    ] {
        let list = bed.ok("ListCommandInvocations", input.clone()).await;
        assert_eq!(list["CommandInvocations"].as_array().unwrap().len(), expected, "{input}");
    }
}

#[tokio::test]
async fn what_no_node_has_taken_is_cancelled_at_once() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let command = bed.command(&[&node]).await;
    assert_eq!(bed.ok("CancelCommand", json!({"CommandId": command})).await, json!({}));
    assert_eq!(shown(&bed, &command, &node).await["Status"], "Cancelled");
    let list = bed.ok("ListCommands", json!({"CommandId": command})).await;
    assert_eq!(list["Commands"][0]["Status"], "Cancelled");
    assert_eq!(cancellations(&bed).await, 0);
}

async fn cancellations(bed: &Testbed) -> i64 {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM cancellation")
        .fetch_one(&bed.app.store.read)
        .await
        .unwrap();
    count
}

#[tokio::test]
async fn a_node_that_runs_the_command_is_told_once_and_has_the_last_word() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let command = bed.command(&[&node]).await;
    bed.acknowledge(&command, &node).await;
    for _ in 0..2 {
        bed.ok("CancelCommand", json!({"CommandId": command, "InstanceIds": []})).await;
    }
    assert_eq!(cancellations(&bed).await, 1);
    let list = bed.ok("ListCommands", json!({"CommandId": command})).await;
    assert_eq!(list["Commands"][0]["Status"], "Cancelling");
    bed.finish(&command, &node, "Cancelled", "Cancelled").await;
    let list = bed.ok("ListCommands", json!({"CommandId": command})).await;
    assert_eq!(list["Commands"][0]["Status"], "Cancelled");
    bed.ok("CancelCommand", json!({"CommandId": command})).await;
    assert_eq!(shown(&bed, &command, &node).await["Status"], "Cancelled");
}

#[tokio::test]
async fn a_message_that_is_on_its_way_is_cancelled_and_the_node_told() {
    let bed = Testbed::new().await;
    let node = bed.node(1, &[]).await;
    let command = bed.command(&[&node]).await;
    bed.sql("UPDATE invocation SET hidden_until = 1 WHERE node_id = $1", &[&node]).await;
    bed.ok("CancelCommand", json!({"CommandId": command})).await;
    assert_eq!(shown(&bed, &command, &node).await["Status"], "Cancelled");
    assert_eq!(cancellations(&bed).await, 1);
}

#[tokio::test]
async fn only_the_named_nodes_are_cancelled() {
    let bed = Testbed::new().await;
    let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
    let command = bed.command(&[&one, &two]).await;
    bed.ok("CancelCommand", json!({"CommandId": command, "InstanceIds": [one]})).await;
    assert_eq!(shown(&bed, &command, &two).await["Status"], "Pending");
    bed.finish(&command, &two, "Success", "Success").await;
    let list = bed.ok("ListCommands", json!({"CommandId": command})).await;
    assert_eq!(list["Commands"][0]["StatusDetails"], "Incomplete");
}

#[tokio::test]
async fn each_bad_request_has_its_own_code() {
    let bed = Testbed::new().await;
    let (node, other) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
    let command = bed.command(&[&node]).await;
    let none = "00000000-0000-0000-0000-000000000000";
    let filter = |key: &str, value: &str| json!({"Filters": [{"key": key, "value": value}]});
    for (operation, input, code) in [
        (
            "GetCommandInvocation",
            json!({"CommandId": none, "InstanceId": node}),
            "InvocationDoesNotExist",
        ),
        (
            "GetCommandInvocation",
            json!({"CommandId": command, "InstanceId": other}),
            "InvocationDoesNotExist",
        ),
        (
            "GetCommandInvocation",
            json!({"CommandId": command, "InstanceId": node, "PluginName": "nope"}),
            "InvalidPluginName",
        ),
        (
            "GetCommandInvocation",
            json!({"CommandId": "x", "InstanceId": node}),
            "ValidationException",
        ),
        ("CancelCommand", json!({"CommandId": none}), "InvalidCommandId"),
        (
            "CancelCommand",
            json!({"CommandId": command, "InstanceIds": [other]}),
            "InvalidInstanceId",
        ),
        (
            "CancelCommand",
            json!({"CommandId": command, "InstanceIds": [node, node]}),
            "DuplicateInstanceId",
        ),
        ("ListCommands", json!({"NextToken": "garbage"}), "InvalidNextToken"),
        ("ListCommands", filter("Colour", "red"), "ValidationException"),
        ("ListCommands", filter("Status", "Done"), "ValidationException"),
        ("ListCommands", filter("ExecutionStage", "Later"), "ValidationException"),
        ("ListCommands", filter("InvokedAfter", "yesterday"), "ValidationException"),
        ("ListCommandInvocations", filter("ExecutionStage", "Executing"), "InvalidFilterKey"),
        ("ListCommandInvocations", json!({"NextToken": "garbage"}), "InvalidNextToken"),
        ("ListCommandInvocations", json!({"MaxResults": 51}), "ValidationException"),
    ] {
        assert_eq!(bed.code(operation, input.clone()).await, code, "{operation} {input}");
    }
}
