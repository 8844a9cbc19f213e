//! The message delivery service (`ec2messages`): how commands reach a node and how it reports.
//!
//! Never here: which node gets a command and when it is released; that is the schedule's. A
//! message stays in the store until the node has acknowledged it, so one that is lost on the
//! way is offered again.

mod acknowledge;
mod address;
mod offer;
mod payload;
mod poll;
mod reply;
mod steps;
mod together;
mod verdict;

pub use acknowledge::{acknowledge, fail};
pub use offer::{Begun, Look, begin, offer_again, rest};
pub use reply::send_reply;
pub use together::Together;

use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use serde_json::{Value, json};

/// Answers an operation. `endpoint` is the URL under which the node reached the hub.
///
/// # Errors
/// `UnknownOperationException`, and the operation's own.
pub async fn call(
    app: &App,
    node: &NodeCaller,
    operation: &str,
    input: &Value,
    endpoint: &str,
) -> ApiResult<Value> {
    match operation {
        "GetMessages" => poll::get_messages(app, node, input, endpoint).await,
        // Boxed, as a poll waits in this future and would hold their room as well.
        "AcknowledgeMessage" => Box::pin(acknowledge::acknowledge(app, node, input)).await,
        "DeleteMessage" => Box::pin(acknowledge::delete(app, node, input)).await,
        "FailMessage" => Box::pin(acknowledge::fail(app, node, input)).await,
        "SendReply" => Box::pin(reply::send_reply(app, node, input)).await,
        "GetEndpoint" => Ok(json!({"Endpoint": endpoint})),
        _ => Err(ApiError::new(
            "UnknownOperationException",
            format!("{operation} is no operation of the message delivery service"),
        )),
    }
}

#[cfg(test)]
pub mod testing;
