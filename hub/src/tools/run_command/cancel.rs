//! CancelCommand.

use super::targets;
use crate::app::App;
use crate::commands::{self, is_finished, unfinished};
use crate::error::{ApiError, ApiResult};
use crate::tools::uuid;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, FromRow, Transaction};
use stint_wire::{ids, time::Utc};

/// CancelCommand's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cancel {
    command_id: String,
    instance_ids: Option<Vec<String>>,
}

#[derive(FromRow)]
struct Row {
    node_id: String,
    status: String,
    hidden_until: Option<i64>,
    acknowledged_at: Option<i64>,
    /// 1: a node that can't be told, as nothing but the BootAgent protocol reaches it.
    untold: i64,
}

/// CancelCommand: on all nodes, or on those named. What no node has accepted is cancelled at once;
/// the others are told, and say themselves how it ended. The BootAgent protocol has no word for it:
/// on its nodes the command is cancelled at once, and what the node did all the same is seen in the
/// step. What has ended stays as it is.
///
/// # Errors
/// `InvalidCommandId`, `InvalidInstanceId` for a node that the command was not sent to,
/// `DuplicateInstanceId`.
pub async fn cancel(app: &App, input: Cancel) -> ApiResult<Value> {
    let named = input.instance_ids.unwrap_or_default();
    targets::refuse_duplicates(&named)?;
    let (command, now) = (input.command_id.as_str(), app.now());
    let mut tx = app.store.begin().await?;
    let rows = invocations(&mut tx, command).await?;
    if let Some(id) = named.iter().find(|id| !rows.iter().any(|r| r.node_id == **id)) {
        return Err(ApiError::new(
            "InvalidInstanceId",
            format!("Command {command} was not sent to {id}."),
        ));
    }
    let mut told = Vec::new();
    for row in rows {
        let meant = named.is_empty() || named.contains(&row.node_id);
        if !meant || is_finished(&row.status) {
            continue;
        }
        // A message that was handed out may be running although nobody acknowledged it.
        let told_of = row.acknowledged_at.is_some() || row.hidden_until.is_some();
        if told_of && row.untold == 0 {
            tell(&mut tx, command, &row.node_id, now).await?;
            told.push(row.node_id.clone());
        }
        let (state, finished_at) = match row.acknowledged_at {
            Some(_) if row.untold == 0 => ("Cancelling", None),
            _ => ("Cancelled", Some(now.0 as i64)),
        };
        sqlx::query(
            "UPDATE invocation SET status = $3, status_details = $3, finished_at = $4
             WHERE command_id = $1 AND node_id = $2",
        )
        .bind(command)
        .bind(&row.node_id)
        .bind(state)
        .bind(finished_at)
        .execute(&mut *tx)
        .await?;
    }
    if named.is_empty() {
        sqlx::query(concat!(
            "UPDATE command SET status = 'Cancelling', status_details = 'Cancelling'
             WHERE id = $1 AND status IN ",
            unfinished!()
        ))
        .bind(command)
        .execute(&mut *tx)
        .await?;
    }
    commands::commit(app, tx, command, now).await?;
    for node in told {
        app.wakeups.ring(&node);
    }
    Ok(json!({}))
}

/// The command's invocations.
async fn invocations(tx: &mut Transaction<'static, Any>, command: &str) -> ApiResult<Vec<Row>> {
    let known = sqlx::query("SELECT id FROM command WHERE id = $1")
        .bind(command)
        .fetch_optional(&mut **tx)
        .await?;
    if known.is_none() {
        return Err(ApiError::new(
            "InvalidCommandId",
            format!("There is no command {command}. ListCommands shows those there are."),
        ));
    }
    let rows = sqlx::query_as(
        "SELECT i.node_id, i.status, i.hidden_until, i.acknowledged_at,
           COALESCE(b.only_this, 0) AS untold
         FROM invocation i LEFT JOIN boot_agent b ON b.node_id = i.node_id
         WHERE i.command_id = $1",
    )
    .bind(command)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows)
}

/// A message of its own for the node, unless one waits already. Its id needs a UUID of its own:
/// nodes name their state after it.
async fn tell(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    node: &str,
    now: Utc,
) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO cancellation (message_id, command_id, node_id, requested_at)
         SELECT $1, $2, $3, $4 WHERE NOT EXISTS (
           SELECT 1 FROM cancellation
           WHERE command_id = $2 AND node_id = $3 AND acknowledged_at IS NULL)",
    )
    .bind(ids::message_id(&uuid()?, node))
    .bind(command)
    .bind(node)
    .bind(now.0 as i64)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
