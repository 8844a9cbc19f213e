//! SendReply: how far a command has come.

use super::super::input;
use super::address::{self, Address};
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

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Step {
    status: String,
    code: i64,
    name: Option<String>,
    output: Option<String>,
    standard_output: Option<String>,
    standard_error: Option<String>,
    start_date_time: Option<String>,
    end_date_time: Option<String>,
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
    merge(app, node, &address, reply_id, &reply).await?;
    Ok(json!({
        "MessageId": address.message,
        "ReplyId": reply_id,
        "ReplyStatus": "QUEUED",
    }))
}

async fn merge(
    app: &App,
    node: &NodeCaller,
    address: &Address<'_>,
    reply_id: &str,
    reply: &Reply,
) -> ApiResult<()> {
    let now = app.now();
    let mut transaction = app.store.begin().await?;
    let status: Option<String> =
        sqlx::query_scalar("SELECT status FROM invocation WHERE command_id = $1 AND node_id = $2")
            .bind(address.command)
            .bind(&node.id)
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(status) = status else {
        // What an agent says of a cancellation says nothing about the command.
        return if is_cancellation(&mut transaction, address).await? {
            Ok(())
        } else {
            Err(address::unknown(address.message))
        };
    };
    if !first_time(&mut transaction, &node.id, reply_id, now).await? {
        return Ok(());
    }
    if let Some(steps) = &reply.runtime_status {
        merge_steps(&mut transaction, &node.id, address.command, steps).await?;
    }
    if !commands::is_finished(&status) {
        advance(&mut transaction, &node.id, address.command, reply, now).await?;
    }
    commands::commit(app, transaction, address.command, now).await
}

async fn is_cancellation(
    transaction: &mut Transaction<'static, Any>,
    address: &Address<'_>,
) -> ApiResult<bool> {
    let found: Option<String> =
        sqlx::query_scalar("SELECT command_id FROM cancellation WHERE message_id = $1")
            .bind(address.message)
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

async fn merge_steps(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    command: &str,
    steps: &BTreeMap<String, Step>,
) -> ApiResult<()> {
    let content: String = sqlx::query_scalar("SELECT content FROM command WHERE id = $1")
        .bind(command)
        .fetch_one(&mut **transaction)
        .await?;
    let order = step_names(&content);
    for (name, step) in steps {
        let recorded: Option<String> = sqlx::query_scalar(
            "SELECT status FROM invocation_step
             WHERE command_id = $1 AND node_id = $2 AND name = $3",
        )
        .bind(command)
        .bind(node)
        .bind(name)
        .fetch_optional(&mut **transaction)
        .await?;
        if verdict::replaces(&step.status, recorded.as_deref()) {
            let position = order.iter().position(|step| step == name).unwrap_or(order.len());
            put_step(transaction, node, command, name, position, step).await?;
        }
    }
    Ok(())
}

async fn put_step(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    command: &str,
    name: &str,
    position: usize,
    step: &Step,
) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO invocation_step (command_id, node_id, name, position, plugin, status, code,
           output, stdout, stderr, started_at, finished_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (command_id, node_id, name) DO UPDATE SET
           plugin = excluded.plugin, status = excluded.status, code = excluded.code,
           output = excluded.output, stdout = excluded.stdout, stderr = excluded.stderr,
           started_at = excluded.started_at, finished_at = excluded.finished_at",
    )
    .bind(command)
    .bind(node)
    .bind(name)
    .bind(position as i64)
    .bind(step.name.as_deref().unwrap_or(name))
    .bind(&step.status)
    .bind(step.code)
    .bind(step.output.as_deref().unwrap_or_default())
    .bind(step.standard_output.as_deref().unwrap_or_default())
    .bind(step.standard_error.as_deref().unwrap_or_default())
    .bind(moment(step.start_date_time.as_deref()))
    .bind(moment(step.end_date_time.as_deref()))
    .execute(&mut **transaction)
    .await?;
    Ok(())
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

/// The steps of a document in their order, by the names that replies use: of a 2.x document the
/// steps', of a 1.x document the plugins'.
fn step_names(content: &str) -> Vec<String> {
    let document: Document = serde_json::from_str(content).unwrap_or_default();
    let steps = document.main_steps.into_iter().map(|step| step.name);
    steps.chain(document.runtime_config.into_iter().map(|(plugin, _)| plugin)).collect()
}

/// The part of a document that names its steps.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    main_steps: Vec<StepName>,
    runtime_config: serde_json::Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StepName {
    name: String,
}

fn moment(text: Option<&str>) -> Option<i64> {
    Utc::parse_iso(text?).map(|moment| moment.0 as i64)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cancel, command, hub, set, state};
    use super::*;

    fn reply(node: &NodeCaller, command: &str, id: u8, payload: &Value) -> Value {
        json!({
            "MessageId": stint_wire::ids::message_id(command, &node.id),
            "ReplyId": format!("00000000-0000-0000-0000-0000000000{id:02}"),
            "Payload": payload.to_string(),
        })
    }

    fn step(status: &str, output: &str) -> Value {
        json!({"status": status, "code": 0, "name": "aws:runShellScript", "output": output,
               "standardOutput": output, "startDateTime": "1970-01-01T00:00:00.005Z"})
    }

    async fn steps(app: &App) -> Vec<(String, String, String, i64)> {
        sqlx::query_as(
            "SELECT name, status, stdout, position FROM invocation_step ORDER BY position",
        )
        .fetch_all(&app.store.read)
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn the_steps_of_all_replies_are_merged_in_the_order_of_the_document() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        for (id, payload) in [
            json!({"documentStatus": "InProgress", "runtimeStatus": null}),
            json!({"documentStatus": "InProgress", "runtimeStatus": {"second": step("Success", "b")}}),
            json!({"documentStatus": "InProgress", "runtimeStatus": {"first": step("Success", "a")}}),
            json!({"documentStatus": "InProgress", "runtimeStatus": {"first": step("InProgress", "")}}),
            json!({"documentStatus": "Success", "runtimeStatus": {}}),
        ]
        .iter()
        .enumerate()
        {
            send_reply(&app, &node, &reply(&node, "c-1", id as u8, payload)).await.unwrap();
        }
        let row = |name: &str, out: &str, at| (name.into(), "Success".into(), out.into(), at);
        assert_eq!(steps(&app).await, [row("first", "a", 0), row("second", "b", 1)]);
        assert_eq!(state(&app, "c-1").await.0, "Success");
    }

    #[tokio::test]
    async fn a_terminal_reply_counts_as_an_acknowledgement() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        let payload = json!({"documentStatus": "Failed", "documentTraceOutput": "bad schema"});
        let answer = send_reply(&app, &node, &reply(&node, "c-1", 1, &payload)).await.unwrap();
        assert_eq!(answer["ReplyStatus"], "QUEUED");
        assert_eq!(state(&app, "c-1").await, ("Failed".into(), "Failed".into(), true, true));
        let trace: String = sqlx::query_scalar("SELECT trace FROM invocation")
            .fetch_one(&app.store.read)
            .await
            .unwrap();
        assert_eq!(trace, "bad schema");
    }

    #[tokio::test]
    async fn what_has_ended_stays_ended_and_keeps_late_output() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        set(&app, "c-1", "status = 'TimedOut', finished_at = 1").await;
        for (id, payload) in [
            json!({"documentStatus": "InProgress"}),
            json!({"documentStatus": "Success", "runtimeStatus": {"first": step("Success", "late")}}),
        ]
        .iter()
        .enumerate()
        {
            send_reply(&app, &node, &reply(&node, "c-1", id as u8, payload)).await.unwrap();
        }
        assert_eq!(state(&app, "c-1").await.0, "TimedOut");
        assert_eq!(steps(&app).await[0].2, "late");
    }

    #[tokio::test]
    async fn a_repeated_reply_changes_nothing() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        let first = json!({"documentStatus": "InProgress", "runtimeStatus": {"first": step("Success", "a")}});
        let other =
            json!({"documentStatus": "Failed", "runtimeStatus": {"first": step("Failed", "b")}});
        send_reply(&app, &node, &reply(&node, "c-1", 1, &first)).await.unwrap();
        send_reply(&app, &node, &reply(&node, "c-1", 1, &other)).await.unwrap();
        assert_eq!(steps(&app).await[0].2, "a");
        assert_eq!(state(&app, "c-1").await.0, "InProgress");
    }

    #[tokio::test]
    async fn a_document_that_reboots_is_still_in_progress() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        let payload = json!({"documentStatus": "SuccessAndReboot"});
        send_reply(&app, &node, &reply(&node, "c-1", 1, &payload)).await.unwrap();
        assert_eq!(
            state(&app, "c-1").await,
            ("InProgress".into(), "InProgress".into(), false, false)
        );
    }

    #[tokio::test]
    async fn a_reply_to_a_cancellation_leaves_the_command_alone() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        cancel(&app, &node, "c-1", "x-1").await;
        let payload = json!({"documentStatus": "InProgress"});
        send_reply(&app, &node, &reply(&node, "x-1", 1, &payload)).await.unwrap();
        assert_eq!(state(&app, "c-1").await.0, "Pending");
    }

    #[tokio::test]
    async fn a_reply_that_fits_nothing_is_refused() {
        let (app, node, _dir) = hub().await;
        let unknown = reply(&node, "c-1", 1, &json!({}));
        let code = send_reply(&app, &node, &unknown).await.unwrap_err().code;
        assert_eq!(code, "InvalidMessageIdException");
        let mut garbled = unknown;
        garbled["Payload"] = json!("not json");
        assert_eq!(
            send_reply(&app, &node, &garbled).await.unwrap_err().code,
            "ValidationException"
        );
    }

    #[tokio::test]
    async fn the_captured_replies_of_the_real_agent_end_a_command() {
        use crate::auth::request::testing::parse;
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        for text in [
            include_str!("../../../../tests/fixtures/amazon-ssm-agent/session-0007-sendreply.http"),
            include_str!("../../../../tests/fixtures/amazon-ssm-agent/session-0011-sendreply.http"),
            include_str!("../../../../tests/fixtures/amazon-ssm-agent/session-0013-sendreply.http"),
        ] {
            let mut body: Value = serde_json::from_slice(&parse(text).body).unwrap();
            body["MessageId"] = json!(stint_wire::ids::message_id("c-1", &node.id));
            send_reply(&app, &node, &body).await.unwrap();
        }
        let row = ("aws:runShellScript".into(), "Cancelled".into(), "hi\n".into(), 2);
        assert_eq!(steps(&app).await, [row]);
        assert_eq!(state(&app, "c-1").await.1, "Cancelled");
    }
}
