//! SendCommand as an operator uses it.

use super::{commands, shell};
use crate::tools::testbed::{Testbed, command_id};
use serde_json::{Value, json};

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
