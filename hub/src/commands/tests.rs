//! Rate control over a real store.

use crate::tools::testbed::Testbed;
use serde_json::json;

#[tokio::test]
async fn no_more_nodes_run_a_command_than_its_concurrency_allows() {
    let bed = Testbed::new().await;
    let nodes = bed.fleet(5).await;
    let command = bed.send_to_all("40%", "0").await;
    for left in [5, 4, 3, 2, 1] {
        let running = bed.out(&command).await;
        assert_eq!(running.len(), left.min(2));
        bed.acknowledge(&command, &running[0]).await;
        bed.finish(&command, &running[0], "Success", "Success").await;
    }
    let end = bed.shown(&command).await;
    assert_eq!((&end["Status"], &end["CompletedCount"]), (&json!("Success"), &json!(nodes.len())));
}

#[tokio::test]
async fn a_command_stops_when_it_has_one_error_more_than_allowed() {
    let bed = Testbed::new().await;
    bed.fleet(6).await;
    let command = bed.send_to_all("2", "1").await;
    for expected in [2, 1] {
        let running = bed.out(&command).await;
        bed.finish(&command, &running[0], "Failed", "Failed").await;
        assert_eq!(bed.out(&command).await.len(), expected);
    }
    // The one that runs is let finish.
    let running = bed.out(&command).await;
    assert_eq!(bed.shown(&command).await["Status"], "InProgress");
    bed.finish(&command, &running[0], "Success", "Success").await;
    let end = bed.shown(&command).await;
    assert_eq!((&end["Status"], &end["ErrorCount"]), (&json!("Failed"), &json!(2)));
    let terminated =
        json!({"CommandId": command, "Filters": [{"key": "Status", "value": "Terminated"}]});
    let list = bed.ok("ListCommandInvocations", terminated).await;
    assert_eq!(list["CommandInvocations"].as_array().unwrap().len(), 3);
}
