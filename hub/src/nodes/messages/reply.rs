//! SendReply: how far a command has come.

use super::super::input;
use super::address;
use super::steps::{self, Step};
use super::together;
use super::verdict::{self, Verdict};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::commands;
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use std::collections::BTreeMap;
use stint_wire::text::head;
use stint_wire::time::Utc;

/// Bytes kept of a document's trace: what GetCommandInvocation could show.
const TRACE_LIMIT: usize = 24_000;

/// Characters of a payload. The request's own limit is below it in any case.
const PAYLOAD_LIMIT: usize = crate::server::BODY_LIMIT;

/// A reply's payload, read leniently: what a newer agent adds or an older one leaves out is no
/// reason to lose what it did say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reply {
    document_status: String,
    document_trace_output: Option<String>,
    runtime_status: Option<BTreeMap<String, Step>>,
}

/// A reply of a node that has been read.
#[derive(Debug, Default)]
pub struct Said {
    node: String,
    message: String,
    /// The command that it is about.
    pub command: String,
    id: String,
    reply: Reply,
}

/// Answers the operation. A reply that was seen before changes nothing; one for a command that
/// has ended adds its steps and leaves the status; a terminal one counts as acknowledgement.
///
/// # Errors
/// `InvalidMessageIdException` for a command that doesn't exist, `ValidationException` for a
/// payload that can't be read.
pub async fn send_reply(app: &App, node: &NodeCaller, input: &Value) -> ApiResult<Value> {
    let address = address::read(node, input)?;
    let reply_id = input::required(input, "ReplyId", 16, 128)?;
    let payload = input::required(input, "Payload", 2, PAYLOAD_LIMIT)?;
    let reply: Reply = serde_json::from_str(payload).map_err(|e| {
        ApiError::validation(format!("the Payload of a reply must be JSON of a known form: {e}"))
    })?;
    // Such a one counts as an acknowledgement.
    let is_end = verdict::of_document(&reply.document_status) != Verdict::Running;
    let said = Said {
        node: node.id.clone(),
        message: address.message.to_owned(),
        command: address.command.to_owned(),
        id: reply_id.to_owned(),
        reply,
    };
    together::keep(app, said).await?;
    if is_end {
        app.wakeups.ring_poll(&node.id);
    }
    Ok(json!({
        "MessageId": address.message,
        "ReplyId": reply_id,
        "ReplyStatus": "QUEUED",
    }))
}

/// Writes down what a reply says. Whether that is anything new about the command.
///
/// # Errors
/// As [`send_reply`]; a refusal has written nothing.
pub async fn merge(
    transaction: &mut Transaction<'static, Any>,
    said: &Said,
    now: Utc,
) -> ApiResult<bool> {
    let Said { node, message, command, id, reply } = said;
    let status: Option<String> =
        sqlx::query_scalar("SELECT status FROM invocation WHERE command_id = $1 AND node_id = $2")
            .bind(command)
            .bind(node)
            .fetch_optional(&mut **transaction)
            .await?;
    let Some(status) = status else {
        // What an agent says of a cancellation says nothing about the command.
        return if is_cancellation(transaction, message).await? {
            Ok(false)
        } else {
            Err(address::unknown(message))
        };
    };
    if !first_time(transaction, node, id, now).await? {
        return Ok(false);
    }
    if let Some(steps) = &reply.runtime_status {
        steps::merge(transaction, node, command, steps).await?;
    }
    if !commands::is_finished(&status) {
        advance(transaction, node, command, reply, now).await?;
    }
    Ok(true)
}

async fn is_cancellation(
    transaction: &mut Transaction<'static, Any>,
    message: &str,
) -> ApiResult<bool> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT command_id FROM cancellation WHERE message_id = $1")
            .bind(message)
            .fetch_optional(&mut **transaction)
            .await?;
    Ok(found.is_some())
}

/// Reply ids are the node's own, so that no node can use up another's.
async fn first_time(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    reply_id: &str,
    now: Utc,
) -> ApiResult<bool> {
    let noted = sqlx::query(
        "INSERT INTO reply_seen (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(format!("{node}/{reply_id}"))
    .bind(now.0 as i64)
    .execute(&mut **transaction)
    .await?;
    Ok(noted.rows_affected() == 1)
}

async fn advance(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    command: &str,
    reply: &Reply,
    now: Utc,
) -> ApiResult<()> {
    let trace = head(reply.document_trace_output.as_deref().unwrap_or_default(), TRACE_LIMIT);
    let moved = match verdict::of_document(&reply.document_status) {
        Verdict::Running => sqlx::query(
            "UPDATE invocation SET started_at = COALESCE(started_at, $3),
               trace = CASE WHEN $4 = '' THEN trace ELSE $4 END,
               status = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress'
                        ELSE status END,
               status_details = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress'
                                ELSE status_details END
             WHERE command_id = $1 AND node_id = $2",
        )
        .bind(command)
        .bind(node)
        .bind(now.0 as i64)
        .bind(trace),
        Verdict::Ended(status, details) => sqlx::query(
            "UPDATE invocation SET started_at = COALESCE(started_at, $3),
               trace = CASE WHEN $4 = '' THEN trace ELSE $4 END, status = $5, status_details = $6,
               acknowledged_at = COALESCE(acknowledged_at, $3), finished_at = $3
             WHERE command_id = $1 AND node_id = $2",
        )
        .bind(command)
        .bind(node)
        .bind(now.0 as i64)
        .bind(trace)
        .bind(status)
        .bind(details),
    };
    moved.execute(&mut **transaction).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
