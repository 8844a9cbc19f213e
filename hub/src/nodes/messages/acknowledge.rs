//! AcknowledgeMessage, DeleteMessage and FailMessage: the node has a message, or can't take it.

use super::super::input;
use super::address::{self, Address};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::commands::{self, is_finished};
use crate::error::ApiResult;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use stint_wire::time::Utc;

#[derive(sqlx::FromRow)]
struct Invocation {
    status: String,
    acknowledged_at: Option<i64>,
    expires_at: i64,
}

/// Answers AcknowledgeMessage: the message is not offered any more, and the command runs. It may
/// be repeated.
///
/// # Errors
/// `InvalidMessageIdException` for a message that doesn't exist, or whose command was cancelled
/// or expired before the node had it: the node is to drop it.
pub async fn acknowledge(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    let address = address::read(node, input)?;
    let now = app.now();
    let mut transaction = app.store.begin().await?;
    if cancellation(&mut transaction, &address, now).await? {
        transaction.commit().await?;
        return Ok(json!({}));
    }
    let invocation = invocation(&mut transaction, &address, &node.id).await?;
    let Some(invocation) = invocation else { return Err(address::unknown(address.message)) };
    if invocation.acknowledged_at.is_some() {
        return Ok(json!({}));
    }
    if is_finished(&invocation.status) || invocation.expires_at <= now.0 as i64 {
        return Err(address::unknown(address.message));
    }
    sqlx::query(
        "UPDATE invocation SET acknowledged_at = $1, started_at = COALESCE(started_at, $1),
           status = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress' ELSE status END,
           status_details = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress'
                            ELSE status_details END
         WHERE command_id = $2 AND node_id = $3",
    )
    .bind(now.0 as i64)
    .bind(address.command)
    .bind(&node.id)
    .execute(&mut *transaction)
    .await?;
    commands::commit(app, transaction, address.command, now).await?;
    app.wakeups.ring_poll(&node.id);
    Ok(json!({}))
}

/// Answers DeleteMessage, which only the original's updater sends: an acknowledgement that can't
/// fail.
///
/// # Errors
/// `ValidationException` and `AccessDeniedException` for a message that is not the node's.
pub async fn delete(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    match acknowledge(app, node, input).await {
        Err(error) if error.code == "InvalidMessageIdException" => Ok(json!({})),
        other => other,
    }
}

/// Answers FailMessage: the agent has no handler for it, so the invocation has ended.
///
/// # Errors
/// `InvalidMessageIdException` for a message that doesn't exist.
pub async fn fail(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    let address = address::read(node, input)?;
    let kind = input::required(input, "FailureType", 1, 128)?;
    let now = app.now();
    let mut transaction = app.store.begin().await?;
    if cancellation(&mut transaction, &address, now).await? {
        transaction.commit().await?;
        return Ok(json!({}));
    }
    let invocation = invocation(&mut transaction, &address, &node.id).await?;
    let Some(invocation) = invocation else { return Err(address::unknown(address.message)) };
    if is_finished(&invocation.status) {
        return Ok(json!({}));
    }
    sqlx::query(
        "UPDATE invocation SET status = 'Failed', status_details = 'Undeliverable',
           acknowledged_at = COALESCE(acknowledged_at, $1), finished_at = $1, trace = $2
         WHERE command_id = $3 AND node_id = $4",
    )
    .bind(now.0 as i64)
    .bind(format!("The agent could not take the command: {kind}"))
    .bind(address.command)
    .bind(&node.id)
    .execute(&mut *transaction)
    .await?;
    commands::commit(app, transaction, address.command, now).await?;
    app.wakeups.ring_poll(&node.id);
    Ok(json!({}))
}

/// `true` if the message is a cancellation; it is acknowledged then.
async fn cancellation(
    transaction: &mut Transaction<'static, Any>,
    address: &Address<'_>,
    now: Utc,
) -> ApiResult<bool> {
    let done = sqlx::query(
        "UPDATE cancellation SET acknowledged_at = COALESCE(acknowledged_at, $1)
         WHERE message_id = $2",
    )
    .bind(now.0 as i64)
    .bind(address.message)
    .execute(&mut **transaction)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn invocation(
    transaction: &mut Transaction<'static, Any>,
    address: &Address<'_>,
    node: &str,
) -> ApiResult<Option<Invocation>> {
    Ok(sqlx::query_as(
        "SELECT i.status, i.acknowledged_at, c.expires_at
         FROM invocation AS i JOIN command AS c ON c.id = i.command_id
         WHERE i.command_id = $1 AND i.node_id = $2",
    )
    .bind(address.command)
    .bind(node)
    .fetch_optional(&mut **transaction)
    .await?)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cancel, command, expire, hub, set, state};
    use super::*;

    fn message(node: &NodeCaller, id: &str) -> Value {
        let id = stint_wire::ids::message_id(id, &node.id);
        json!({"MessageId": id, "FailureType": "InternalHandlerException"})
    }

    #[tokio::test]
    async fn an_acknowledged_command_is_in_progress_and_may_be_acknowledged_again() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        for _ in 0..2 {
            acknowledge(&app, &node, &message(&node, "c-1")).await.unwrap();
            let expected = ("InProgress".to_owned(), "InProgress".to_owned(), true, false);
            assert_eq!(state(&app, "c-1").await, expected);
        }
    }

    #[tokio::test]
    async fn a_command_cancelled_or_expired_before_its_acknowledgement_is_to_be_dropped() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        set(&app, "c-1", "status = 'Cancelled', finished_at = 1").await;
        command(&app, &node, "c-2", 1).await;
        expire(&app, "c-2", 2).await;
        for id in ["c-1", "c-2", "c-3"] {
            let refused = acknowledge(&app, &node, &message(&node, id)).await.unwrap_err();
            assert_eq!(refused.code, "InvalidMessageIdException", "{id}");
            assert_eq!(delete(&app, &node, &message(&node, id)).await.unwrap(), json!({}));
        }
    }

    #[tokio::test]
    async fn a_finished_command_may_still_be_acknowledged() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        set(&app, "c-1", "status = 'Success', finished_at = 1, acknowledged_at = 1").await;
        acknowledge(&app, &node, &message(&node, "c-1")).await.unwrap();
        assert_eq!(state(&app, "c-1").await.0, "Success");
    }

    #[tokio::test]
    async fn an_acknowledged_cancellation_is_not_offered_again() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        cancel(&app, &node, "c-1", "x-1").await;
        acknowledge(&app, &node, &message(&node, "x-1")).await.unwrap();
        let left: Option<String> =
            sqlx::query_scalar("SELECT message_id FROM cancellation WHERE acknowledged_at IS NULL")
                .fetch_optional(&app.store.read)
                .await
                .unwrap();
        assert_eq!(left, None);
        assert!(!state(&app, "c-1").await.2);
    }

    #[tokio::test]
    async fn a_message_without_a_handler_is_undeliverable() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        fail(&app, &node, &message(&node, "c-1")).await.unwrap();
        let expected = ("Failed".to_owned(), "Undeliverable".to_owned(), true, true);
        assert_eq!(state(&app, "c-1").await, expected);
        set(&app, "c-1", "status_details = 'Failed'").await;
        fail(&app, &node, &message(&node, "c-1")).await.unwrap();
        assert_eq!(state(&app, "c-1").await.1, "Failed");
    }
}
