//! Time over a real store.

use super::*;
use crate::tools::testbed::Testbed;
use serde_json::json;
use stint_wire::time::Utc;

#[tokio::test]
async fn what_is_not_delivered_in_time_times_out_and_makes_room() {
    let bed = Testbed::new().await;
    bed.fleet(2).await;
    let command = bed.send_to_all("1", "0").await;
    let first = bed.out(&command).await;
    timeouts::run(&bed.app, Utc(bed.app.now().0 + 50_000)).await.unwrap();
    assert_eq!(bed.out(&command).await, first);
    timeouts::run(&bed.app, Utc(bed.app.now().0 + 61_000)).await.unwrap();
    let second = bed.out(&command).await;
    assert_ne!(second, first);
    bed.acknowledge(&command, &second[0]).await;
    timeouts::run(&bed.app, Utc(bed.app.now().0 + 3_600_000)).await.unwrap();
    assert_eq!(bed.out(&command).await, second, "an acknowledged command is not undelivered");
    bed.finish(&command, &second[0], "Success", "Success").await;
    let end = bed.shown(&command).await;
    assert_eq!(end["StatusDetails"], "DeliveryTimedOut");
    assert_eq!(end["DeliveryTimedOutCount"], 1);
}

#[tokio::test]
async fn a_node_that_never_reports_is_given_up_after_days() {
    let bed = Testbed::new().await;
    let node = bed.fleet(1).await.remove(0);
    let command = bed.send_to_all("1", "0").await;
    bed.acknowledge(&command, &node).await;
    let after = |hours: u64| Utc(bed.app.now().0 + hours * 3_600_000);
    timeouts::run(&bed.app, after(72)).await.unwrap();
    assert_eq!(bed.shown(&command).await["Status"], "InProgress");
    timeouts::run(&bed.app, after(74)).await.unwrap();
    assert_eq!(bed.shown(&command).await["StatusDetails"], "ExecutionTimedOut");
}

#[tokio::test]
async fn a_node_that_is_silent_past_its_timeout_gives_up_its_place() {
    let bed = Testbed::new().await;
    let nodes = bed.fleet(2).await;
    let command = bed.send_to_all("1", "0").await;
    bed.acknowledge(&command, &nodes[0]).await;
    review_all(&bed.app).await.unwrap();
    assert_eq!(bed.out(&command).await.len(), 1);
    let long_ago = (bed.app.now().0 - 2 * 3_600_000).to_string();
    bed.sql(
        "UPDATE invocation SET acknowledged_at = $2 WHERE node_id = $1",
        &[&nodes[0], &long_ago],
    )
    .await;
    review_all(&bed.app).await.unwrap();
    assert_eq!(bed.out(&command).await.len(), 2);
}

#[tokio::test]
async fn old_commands_go_with_all_that_belongs_to_them_and_open_ones_stay() {
    let bed = Testbed::new().await;
    let node = bed.fleet(1).await.remove(0);
    let (ended, open) = (bed.send_to_all("1", "0").await, bed.send_to_all("1", "0").await);
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
