//! What is shown of one node.

use super::{report, shown};
use crate::tools::testbed::Testbed;
use serde_json::json;

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
