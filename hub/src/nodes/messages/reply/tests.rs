//! Replies in every order, repeated, late, garbled, and as the real agent sent them.

use super::*;
use crate::nodes::messages::testing::{cancel, command, hub, set, state};

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
    sqlx::query_as("SELECT name, status, stdout, position FROM invocation_step ORDER BY position")
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
    let first =
        json!({"documentStatus": "InProgress", "runtimeStatus": {"first": step("Success", "a")}});
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
    assert_eq!(state(&app, "c-1").await, ("InProgress".into(), "InProgress".into(), false, false));
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
    assert_eq!(send_reply(&app, &node, &garbled).await.unwrap_err().code, "ValidationException");
}

#[tokio::test]
async fn the_captured_replies_of_the_real_agent_end_a_command() {
    use crate::auth::request::testing::parse;
    let (app, node, _dir) = hub().await;
    command(&app, &node, "c-1", 1).await;
    for text in [
        include_str!("../../../../../tests/fixtures/amazon-ssm-agent/session-0007-sendreply.http"),
        include_str!("../../../../../tests/fixtures/amazon-ssm-agent/session-0011-sendreply.http"),
        include_str!("../../../../../tests/fixtures/amazon-ssm-agent/session-0013-sendreply.http"),
    ] {
        let mut body: Value = serde_json::from_slice(&parse(text).body).unwrap();
        body["MessageId"] = json!(stint_wire::ids::message_id("c-1", &node.id));
        send_reply(&app, &node, &body).await.unwrap();
    }
    let row = ("aws:runShellScript".into(), "Cancelled".into(), "hi\n".into(), 2);
    assert_eq!(steps(&app).await, [row]);
    assert_eq!(state(&app, "c-1").await.1, "Cancelled");
}
