//! Time and progress over a real store.

use super::*;
use crate::tools::testbed::{Testbed, command_id};
use serde_json::{Value, json};
use stint_wire::time::Utc;

async fn fleet(bed: &Testbed, size: u8) -> Vec<String> {
    let mut nodes = Vec::new();
    for n in 0..size {
        nodes.push(bed.node(n, &[("site", "lab")]).await);
    }
    nodes
}

async fn send(bed: &Testbed, concurrency: &str, errors: &str) -> String {
    let input = json!({
        "DocumentName": "AWS-RunShellScript",
        "Targets": [{"Key": "tag:site", "Values": ["lab"]}],
        "Parameters": {"commands": ["uptime"]},
        "MaxConcurrency": concurrency,
        "MaxErrors": errors,
        "TimeoutSeconds": 60,
    });
    command_id(&bed.ok("SendCommand", input).await)
}

/// The nodes that have been released and have not ended.
async fn out(bed: &Testbed, command: &str) -> Vec<String> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT node_id FROM invocation WHERE command_id = $1 AND released_at IS NOT NULL AND finished_at IS NULL ORDER BY position",
    )
    .bind(command)
    .fetch_all(&bed.app.store.read)
    .await
    .unwrap();
    rows.into_iter().map(|(node,)| node).collect()
}

async fn shown(bed: &Testbed, command: &str) -> Value {
    bed.ok("ListCommands", json!({"CommandId": command})).await["Commands"][0].clone()
}

#[tokio::test]
async fn no_more_nodes_run_a_command_than_its_concurrency_allows() {
    let bed = Testbed::new().await;
    let nodes = fleet(&bed, 5).await;
    let command = send(&bed, "40%", "0").await;
    for left in [5, 4, 3, 2, 1] {
        let running = out(&bed, &command).await;
        assert_eq!(running.len(), left.min(2));
        bed.acknowledge(&command, &running[0]).await;
        bed.finish(&command, &running[0], "Success", "Success").await;
    }
    let end = shown(&bed, &command).await;
    assert_eq!((&end["Status"], &end["CompletedCount"]), (&json!("Success"), &json!(nodes.len())));
}

#[tokio::test]
async fn a_command_stops_when_it_has_one_error_more_than_allowed() {
    let bed = Testbed::new().await;
    fleet(&bed, 6).await;
    let command = send(&bed, "2", "1").await;
    for expected in [2, 1] {
        let running = out(&bed, &command).await;
        bed.finish(&command, &running[0], "Failed", "Failed").await;
        assert_eq!(out(&bed, &command).await.len(), expected);
    }
    // The one that runs is let finish.
    let running = out(&bed, &command).await;
    assert_eq!(shown(&bed, &command).await["Status"], "InProgress");
    bed.finish(&command, &running[0], "Success", "Success").await;
    let end = shown(&bed, &command).await;
    assert_eq!((&end["Status"], &end["ErrorCount"]), (&json!("Failed"), &json!(2)));
    let terminated =
        json!({"CommandId": command, "Filters": [{"key": "Status", "value": "Terminated"}]});
    let list = bed.ok("ListCommandInvocations", terminated).await;
    assert_eq!(list["CommandInvocations"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_is_not_delivered_in_time_times_out_and_makes_room() {
    let bed = Testbed::new().await;
    fleet(&bed, 2).await;
    let command = send(&bed, "1", "0").await;
    let first = out(&bed, &command).await;
    timeouts::run(&bed.app, Utc(bed.app.now().0 + 50_000)).await.unwrap();
    assert_eq!(out(&bed, &command).await, first);
    timeouts::run(&bed.app, Utc(bed.app.now().0 + 61_000)).await.unwrap();
    let second = out(&bed, &command).await;
    assert_ne!(second, first);
    bed.acknowledge(&command, &second[0]).await;
    timeouts::run(&bed.app, Utc(bed.app.now().0 + 3_600_000)).await.unwrap();
    assert_eq!(out(&bed, &command).await, second, "an acknowledged command is not undelivered");
    bed.finish(&command, &second[0], "Success", "Success").await;
    let end = shown(&bed, &command).await;
    assert_eq!(end["StatusDetails"], "DeliveryTimedOut");
    assert_eq!(end["DeliveryTimedOutCount"], 1);
}

#[tokio::test]
async fn a_node_that_never_reports_is_given_up_after_days() {
    let bed = Testbed::new().await;
    let node = fleet(&bed, 1).await.remove(0);
    let command = send(&bed, "1", "0").await;
    bed.acknowledge(&command, &node).await;
    let after = |hours: u64| Utc(bed.app.now().0 + hours * 3_600_000);
    timeouts::run(&bed.app, after(72)).await.unwrap();
    assert_eq!(shown(&bed, &command).await["Status"], "InProgress");
    timeouts::run(&bed.app, after(74)).await.unwrap();
    assert_eq!(shown(&bed, &command).await["StatusDetails"], "ExecutionTimedOut");
}

#[tokio::test]
async fn a_node_that_is_silent_past_its_timeout_gives_up_its_place() {
    let bed = Testbed::new().await;
    let nodes = fleet(&bed, 2).await;
    let command = send(&bed, "1", "0").await;
    bed.acknowledge(&command, &nodes[0]).await;
    review_all(&bed.app).await.unwrap();
    assert_eq!(out(&bed, &command).await.len(), 1);
    let long_ago = (bed.app.now().0 - 2 * 3_600_000).to_string();
    bed.sql(
        "UPDATE invocation SET acknowledged_at = $2 WHERE node_id = $1",
        &[&nodes[0], &long_ago],
    )
    .await;
    review_all(&bed.app).await.unwrap();
    assert_eq!(out(&bed, &command).await.len(), 2);
}

#[tokio::test]
async fn old_commands_go_with_all_that_belongs_to_them_and_open_ones_stay() {
    let bed = Testbed::new().await;
    let node = fleet(&bed, 1).await.remove(0);
    let (ended, open) = (send(&bed, "1", "0").await, send(&bed, "1", "0").await);
    bed.finish(&ended, &node, "Success", "Success").await;
    let now = bed.app.now();
    prune::run(&bed.app, Utc(now.0 + 29 * 86_400_000)).await.unwrap();
    let list = bed.ok("ListCommands", json!({})).await;
    assert_eq!(list["Commands"].as_array().unwrap().len(), 2);
    prune::run(&bed.app, Utc(now.0 + 31 * 86_400_000)).await.unwrap();
    let left = bed.ok("ListCommandInvocations", json!({})).await;
    let left = left["CommandInvocations"].as_array().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["CommandId"], json!(open));
}
