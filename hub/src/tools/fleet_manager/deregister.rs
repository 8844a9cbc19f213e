//! DeregisterManagedInstance.

use crate::app::App;
use crate::commands;
use crate::error::{ApiError, ApiResult};
use crate::sessions;
use crate::tools::tags::MANAGED_INSTANCE;
use serde::Deserialize;
use serde_json::{Value, json};

/// DeregisterManagedInstance's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Deregister {
    instance_id: String,
}

impl Deregister {
    /// Of this node.
    pub fn of(node: &str) -> Deregister {
        Deregister { instance_id: node.to_owned() }
    }
}

/// DeregisterManagedInstance: the node's keys, credentials and tags are gone at once, and what it
/// had not finished is undeliverable. What it has done stays in the commands' history.
///
/// # Errors
/// `InvalidInstanceId` when there is no such node.
pub async fn deregister(app: &App, input: Deregister) -> ApiResult<Value> {
    let (node, now) = (input.instance_id, app.now());
    let mut tx = app.store.begin().await?;
    let deleted =
        sqlx::query("DELETE FROM node WHERE id = $1").bind(&node).execute(&mut *tx).await?;
    if deleted.rows_affected() == 0 {
        return Err(ApiError::new(
            "InvalidInstanceId",
            format!(
                "There is no managed node {node}. DescribeInstanceInformation lists those there \
                 are."
            ),
        ));
    }
    // SQLite and PostgreSQL both delete the credentials with the node; nothing else refers to it.
    sqlx::query("DELETE FROM tag WHERE resource_type = $1 AND resource_id = $2")
        .bind(MANAGED_INSTANCE)
        .bind(&node)
        .execute(&mut *tx)
        .await?;
    sqlx::query("DELETE FROM cancellation WHERE node_id = $1")
        .bind(&node)
        .execute(&mut *tx)
        .await?;
    let unfinished: Vec<(String,)> = sqlx::query_as(
        "UPDATE invocation
         SET status = 'Failed', status_details = 'Undeliverable', finished_at = $2
         WHERE node_id = $1 AND status IN ('Pending', 'Delayed', 'InProgress', 'Cancelling')
         RETURNING command_id",
    )
    .bind(&node)
    .bind(now.0 as i64)
    .fetch_all(&mut *tx)
    .await?;
    let mut released = Vec::new();
    for (command,) in unfinished {
        released.extend(commands::advance(&mut tx, &command, now).await?);
    }
    tx.commit().await?;
    for other in released {
        app.wakeups.ring(&other);
    }
    // Its open poll ends, and the next request finds no such node.
    app.wakeups.hang_up(&node);
    sessions::forsake(app, &node, now).await?;
    Ok(json!({}))
}
