//! A hub with one node, and commands as SendCommand would leave them.

use crate::app::{App, testing};
use crate::auth::identity::NodeCaller;
use crate::nodes::registration::testing::register_node;

/// A hub, its node, and the directory that lives as long as the test holds it.
pub async fn hub() -> (App, NodeCaller, tempfile::TempDir) {
    let (app, dir) = testing::app().await;
    let node = register_node(&app).await;
    (app, node, dir)
}

/// A released command, asked for at `at`, that never expires, with two steps named `first` and `second`.
pub async fn command(app: &App, node: &NodeCaller, id: &str, at: i64) {
    let content = r#"{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"first"},
                      {"action":"aws:runShellScript","name":"second"}]}"#;
    sqlx::query(
        "INSERT INTO command (id, region, document_name, document_version, content, comment,
           parameters, instance_ids, targets, max_concurrency, max_errors, timeout_seconds,
           options, requested_at, expires_at, status, status_details, target_count)
         VALUES ($1, 'r', 'D', '1', $2, '', '{}', '[]', '[]', '50', '0', 60, '{}', $3, $4,
           'Pending', 'Pending', 1)",
    )
    .bind(id)
    .bind(content)
    .bind(at)
    .bind(i64::MAX)
    .execute(&app.store.write)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO invocation (command_id, node_id, position, requested_at, status,
           status_details, released_at, trace)
         VALUES ($1, $2, 0, $3, 'Pending', 'Pending', $3, '')",
    )
    .bind(id)
    .bind(&node.id)
    .bind(at)
    .execute(&app.store.write)
    .await
    .unwrap();
}

/// Changes when the command expires.
pub async fn expire(app: &App, command: &str, at: i64) {
    sqlx::query("UPDATE command SET expires_at = $1 WHERE id = $2")
        .bind(at)
        .bind(command)
        .execute(&app.store.write)
        .await
        .unwrap();
}

/// A cancellation of the command under a message id made of `id`.
pub async fn cancel(app: &App, node: &NodeCaller, command: &str, id: &str) {
    sqlx::query(
        "INSERT INTO cancellation (message_id, command_id, node_id, requested_at)
         VALUES ($1, $2, $3, 1)",
    )
    .bind(stint_wire::ids::message_id(id, &node.id))
    .bind(command)
    .bind(&node.id)
    .execute(&app.store.write)
    .await
    .unwrap();
}

/// Changes columns of the command's invocation: `change` is the text after SET.
pub async fn set(app: &App, command: &str, change: &str) {
    let sql = format!("UPDATE invocation SET {change} WHERE command_id = '{command}'");
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&app.store.write).await.unwrap();
}

/// Status, details, and whether the invocation is acknowledged and finished.
pub async fn state(app: &App, command: &str) -> (String, String, bool, bool) {
    let row: (String, String, Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT status, status_details, acknowledged_at, finished_at FROM invocation
         WHERE command_id = $1",
    )
    .bind(command)
    .fetch_one(&app.store.read)
    .await
    .unwrap();
    (row.0, row.1, row.2.is_some(), row.3.is_some())
}
