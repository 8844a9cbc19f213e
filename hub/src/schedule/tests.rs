//! Time over a real store.

use super::*;
use crate::auth::operator_keys::{self, AccessKey};
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

#[tokio::test]
async fn a_look_at_sessions_ends_those_whose_log_in_is_over_and_the_idle_ones_whatever_fails() {
    let bed = Testbed::new().await;
    let node = bed.fleet(1).await.remove(0);
    let key = AccessKey { id: "AKIATEST".to_owned(), secret: "secret".to_owned().into() };
    operator_keys::put(&bed.app.store, &bed.app.seal, &key, "", bed.app.now()).await.unwrap();
    let _channel = bed.app.wakeups.channel(&node);
    let open = async || {
        let session = bed.ok("StartSession", json!({"Target": node})).await;
        session["SessionId"].as_str().unwrap().to_owned()
    };
    let (of_browser, idle) = (open().await, open().await);
    let details = async |id: &str| sessions::find(&bed.app, id).await.unwrap().unwrap().details;
    due_sessions(&bed.app).await.unwrap();
    assert_eq!((details(&of_browser).await, details(&idle).await), (String::new(), String::new()));
    bed.sql("UPDATE session SET login = 'over' WHERE id = $1", &[&of_browser]).await;
    due_sessions(&bed.app).await.unwrap();
    assert!(details(&of_browser).await.contains("log-in") && details(&idle).await.is_empty());
    let connected =
        "UPDATE session SET status = 'Connected', joined_at = 1, used_at = 0 WHERE id = $1";
    bed.sql(connected, &[&idle]).await;
    bed.sql("DROP TABLE console_login", &[]).await;
    due_sessions(&bed.app).await.unwrap_err();
    assert!(details(&idle).await.contains("idle"));
}

#[tokio::test]
async fn a_log_in_is_deleted_when_it_is_over() {
    let bed = Testbed::new().await;
    let now = bed.app.now();
    for _ in 0..2 {
        logins::open(&bed.app, "AKIA1", "secret", now).await.unwrap();
    }
    let left = async |millis: u64| -> i64 {
        prune::run(&bed.app, Utc(now.0 + millis)).await.unwrap();
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM console_login");
        count.fetch_one(&bed.app.store.read).await.unwrap()
    };
    assert_eq!(left(logins::LONGEST_MILLIS).await, 2);
    assert_eq!(left(logins::LONGEST_MILLIS + 1).await, 0);
}

#[tokio::test]
async fn the_audit_log_of_a_node_that_is_gone_goes_after_a_year_and_that_of_another_stays() {
    let bed = Testbed::new().await;
    let node = bed.fleet(1).await.remove(0);
    let now = bed.app.now();
    for of in [node.as_str(), "mi-gone"] {
        bed.sql(
            "INSERT INTO audit_record (node_id, position, number, received_at, line)
             VALUES ($1, 1, 1, $2, '{}')",
            &[of, &now.0.to_string()],
        )
        .await;
    }
    let left = async |days: u64| -> Vec<String> {
        prune::run(&bed.app, Utc(now.0 + days * 86_400_000)).await.unwrap();
        let rows = sqlx::query_scalar("SELECT node_id FROM audit_record ORDER BY node_id");
        rows.fetch_all(&bed.app.store.read).await.unwrap()
    };
    assert_eq!(left(364).await.len(), 2);
    assert_eq!(left(366).await, [node]);
}

#[tokio::test]
async fn lines_of_nodes_that_are_there_are_not_read_to_find_those_of_nodes_that_are_gone() {
    let bed = Testbed::new().await;
    let plan = format!("EXPLAIN QUERY PLAN {}", prune::AUDIT_OF_NODES_GONE);
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(plan))
        .bind(1_i64)
        .fetch_all(&bed.app.store.read)
        .await
        .unwrap();
    let steps: Vec<&str> = plan.iter().map(|(.., step)| step.as_str()).collect();
    assert!(steps.iter().any(|step| step.contains("audit_record USING")), "{steps:?}");
    assert!(!steps.iter().any(|step| step.contains("SCAN audit_record")), "{steps:?}");
}

#[tokio::test]
async fn an_order_to_register_anew_goes_with_its_activation() {
    let bed = Testbed::new().await;
    let node = bed.fleet(1).await.remove(0);
    let (app, now) = (&bed.app, bed.app.now());
    let order = crate::nodes::reidentification::order;
    assert!(order(&app.store, &app.seal, &node, "", now).await.unwrap().is_some());
    let left = async || -> i64 {
        prune::run(app, Utc(now.0 + 1)).await.unwrap();
        let rows = sqlx::query_scalar("SELECT COUNT(*) FROM reidentification");
        rows.fetch_one(&app.store.read).await.unwrap()
    };
    assert_eq!(left().await, 1);
    let ordered = "DELETE FROM activation WHERE id = (SELECT activation_id FROM reidentification)";
    bed.sql(ordered, &[]).await;
    assert_eq!(left().await, 0);
}
