//! CancelCommand, before and after a node has the command.

use super::shown;
use crate::tools::testbed::Testbed;
use serde_json::json;

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
