//! GetMessages: the long poll.

use super::super::{input, only_itself};
use super::offer::{self, Look, Offer};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use serde_json::{Value, json};
use std::time::Duration;
use stint_wire::ec2messages::VISIBILITY_TIMEOUT_SECONDS;
use stint_wire::time::Utc;
use tokio::time::{Instant, sleep_until};

/// How long a poll is held open. amazon-ssm-agent cuts the connection after 20 s, and one that
/// is answered in time can be reused.
const HOLD: Duration = Duration::from_secs(15);

/// The longest time a client may keep a message to itself, seconds.
const MAX_VISIBILITY_SECONDS: u64 = 3_600;

/// Answers the operation: at once when there are messages, or when there is one during the hold;
/// else with none at its end.
///
/// # Errors
/// `ValidationException` for a malformed member, `AccessDeniedException` for the destination of
/// another node.
pub async fn get_messages(
    app: &App,
    node: &NodeCaller,
    input: &Value,
    endpoint: &str,
) -> ApiResult<Value> {
    only_itself(node, input::required(input, "Destination", 10, 124)?)?;
    let request_id = input::required(input, "MessagesRequestId", 16, 64)?;
    let visibility = visibility_millis(input)?;
    let messages = wait(app, node, endpoint, visibility).await?;
    Ok(json!({
        "Destination": node.id,
        "Messages": messages,
        "MessagesRequestId": request_id,
    }))
}

async fn wait(
    app: &App,
    node: &NodeCaller,
    endpoint: &str,
    visibility: u64,
) -> ApiResult<Vec<Value>> {
    let end = Instant::now() + HOLD;
    let poll = app.wakeups.bell(&node.id);
    loop {
        if poll.is_over() {
            return Ok(Vec::new());
        }
        let now = app.now();
        let look = Look {
            node: &node.id,
            endpoint,
            now,
            visibility_millis: visibility,
            most: usize::MAX,
            // A node that holds a channel gets its messages there. Were that half open, they
            // come this way the second time.
            late_only: app.wakeups.has_channel(&node.id),
        };
        // Boxed, so that a poll holds the memory of a look only while it looks.
        let next = match Box::pin(offer::take(app, &look)).await? {
            Offer::Messages(messages) => return Ok(messages),
            Offer::NothingUntil(next) => next,
        };
        let look_again = next.map_or(end, |next| end.min(Instant::now() + until(next, now)));
        tokio::select! {
            () = poll.rung() => {}
            () = sleep_until(look_again) => {
                if look_again == end {
                    return Ok(Vec::new());
                }
            }
        }
    }
}

fn until(next: Utc, now: Utc) -> Duration {
    Duration::from_millis(next.0.saturating_sub(now.0))
}

fn visibility_millis(input: &Value) -> ApiResult<u64> {
    let seconds = match input.get("VisibilityTimeoutInSeconds") {
        None | Some(Value::Null) => u64::from(VISIBILITY_TIMEOUT_SECONDS),
        Some(value) => value.as_u64().ok_or_else(|| {
            ApiError::validation("VisibilityTimeoutInSeconds must be a whole number of seconds")
        })?,
    };
    Ok(seconds.min(MAX_VISIBILITY_SECONDS) * 1000)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{command, hub};
    use super::*;

    fn asked(node: &NodeCaller) -> Value {
        json!({"Destination": node.id, "MessagesRequestId": "bba2d08e-2d44-4d91-ae31-7adeac8631b1"})
    }

    #[tokio::test]
    async fn a_poll_is_answered_as_soon_as_its_bell_rings() {
        let (app, node, _dir) = hub().await;
        let asked = asked(&node);
        let poll = get_messages(&app, &node, &asked, "");
        let send = async {
            while !app.wakeups.is_polling(&node.id) {
                tokio::task::yield_now().await;
            }
            command(&app, &node, "c-1", 1).await;
            app.wakeups.ring(&node.id);
        };
        let (answer, ()) = tokio::join!(poll, send);
        let answer = answer.unwrap();
        assert_eq!(answer["Messages"].as_array().unwrap().len(), 1);
        assert_eq!(answer["MessagesRequestId"], asked["MessagesRequestId"]);
        assert!(!app.wakeups.is_polling(&node.id));
    }

    #[tokio::test]
    async fn a_message_that_is_not_acknowledged_is_handed_out_again_within_the_hold() {
        let (app, node, _dir) = hub().await;
        command(&app, &node, "c-1", 1).await;
        let mut asked = asked(&node);
        asked["VisibilityTimeoutInSeconds"] = json!(1);
        let first = get_messages(&app, &node, &asked, "").await.unwrap();
        let second = get_messages(&app, &node, &asked, "").await.unwrap();
        assert_eq!(first["Messages"], second["Messages"]);
    }

    #[tokio::test]
    async fn whatever_acknowledges_a_command_wakes_the_poll_for_those_behind_it() {
        let (app, node, _dir) = hub().await;
        for (id, operation, more) in [
            ("c-1", "AcknowledgeMessage", json!({})),
            ("c-2", "FailMessage", json!({"FailureType": "InternalHandlerException"})),
            (
                "c-3",
                "SendReply",
                json!({"ReplyId": "bba2d08e-2d44-4d91-ae31-7adeac8631b1",
                       "Payload": r#"{"documentStatus":"Failed"}"#}),
            ),
        ] {
            command(&app, &node, id, 1).await;
            let poll = app.wakeups.bell(&node.id);
            let mut input = more;
            input["MessageId"] = json!(stint_wire::ids::message_id(id, &node.id));
            super::super::call(&app, &node, operation, &input, "").await.unwrap();
            poll.rung().await;
        }
    }

    #[tokio::test]
    async fn a_poll_that_is_dropped_has_handed_nothing_out() {
        let (app, node, _dir) = hub().await;
        let asked = asked(&node);
        {
            let poll = get_messages(&app, &node, &asked, "");
            let hang_up = async {
                while !app.wakeups.is_polling(&node.id) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { _ = poll => unreachable!(), () = hang_up => {} }
        }
        assert!(!app.wakeups.is_polling(&node.id));
        command(&app, &node, "c-1", 1).await;
        let answer = get_messages(&app, &node, &asked, "").await.unwrap();
        assert_eq!(answer["Messages"].as_array().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_hub_that_stops_answers_polls_at_once() {
        let (app, node, _dir) = hub().await;
        let asked = asked(&node);
        let stop = async {
            while !app.wakeups.is_polling(&node.id) {
                tokio::task::yield_now().await;
            }
            app.wakeups.close();
        };
        let (answer, ()) = tokio::join!(get_messages(&app, &node, &asked, ""), stop);
        assert_eq!(answer.unwrap()["Messages"], json!([]));
    }

    #[tokio::test]
    async fn a_node_polls_only_for_itself_and_names_a_sane_timeout() {
        let (app, node, _dir) = hub().await;
        let mut other = asked(&node);
        other["Destination"] = json!("mi-00000000000000000");
        let refused = get_messages(&app, &node, &other, "").await.unwrap_err();
        assert_eq!(refused.code, "AccessDeniedException");
        for (given, millis) in
            [(json!(null), 10_000), (json!(3), 3_000), (json!(1_000_000), 3_600_000)]
        {
            let input = json!({"VisibilityTimeoutInSeconds": given});
            assert_eq!(visibility_millis(&input).unwrap(), millis);
        }
        assert!(visibility_millis(&json!({"VisibilityTimeoutInSeconds": -1})).is_err());
    }
}
