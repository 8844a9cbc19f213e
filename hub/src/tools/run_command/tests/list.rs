//! Lists, their pages and filters, and what each operation refuses.

use super::commands;
use crate::tools::testbed::Testbed;
use serde_json::{Value, json};

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
