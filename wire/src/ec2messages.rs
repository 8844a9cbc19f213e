//! The message delivery service (`ec2messages`): five operations, polled by nodes.
//!
//! Amazon's name for it inside the agent is MDS. `docs/PROTOCOL.md` tells when each is sent.

use crate::json::ObjectWriter;
use miniserde::{Deserialize, Serialize};

/// The prefix of `X-Amz-Target`.
pub const TARGET_PREFIX: &str = "EC2WindowsMessageDeliveryService";

/// The service's name in credential scopes and host names.
pub const SERVICE: &str = "ec2messages";

/// Topics start with this when the payload is a command to run.
pub const SEND_COMMAND: &str = "aws.ssm.sendCommand";

/// Topics start with this when the payload names a command to cancel.
pub const CANCEL_COMMAND: &str = "aws.ssm.cancelCommand";

/// How long a message handed out stays hidden from the next poll, seconds: what the original
/// asks for.
pub const VISIBILITY_TIMEOUT_SECONDS: u32 = 10;

/// The body of GetMessages.
pub fn get_messages(destination: &str, request_id: &str) -> String {
    ObjectWriter::new()
        .string("Destination", destination)
        .string("MessagesRequestId", request_id)
        .raw("VisibilityTimeoutInSeconds", &VISIBILITY_TIMEOUT_SECONDS.to_string())
        .finish()
}

/// The body of AcknowledgeMessage.
pub fn acknowledge(message_id: &str) -> String {
    ObjectWriter::new().string("MessageId", message_id).finish()
}

/// The body of FailMessage: no part of the agent takes messages of that topic.
pub fn fail_message(message_id: &str) -> String {
    ObjectWriter::new()
        .string("FailureType", "InternalHandlerException")
        .string("MessageId", message_id)
        .finish()
}

/// The body of SendReply. `payload` is a [`crate::reply::Reply`] as JSON text.
pub fn send_reply(message_id: &str, payload: &str, reply_id: &str) -> String {
    ObjectWriter::new()
        .string("MessageId", message_id)
        .string("Payload", payload)
        .string("ReplyId", reply_id)
        .finish()
}

/// One message. The original ignores a message that lacks any of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// When it was made: ISO 8601 with milliseconds.
    #[serde(rename = "CreatedDate")]
    pub created_date: String,
    /// The node's id.
    #[serde(rename = "Destination")]
    pub destination: String,
    /// `aws.ssm.<command>.<node>`.
    #[serde(rename = "MessageId")]
    pub message_id: String,
    /// JSON text; its form depends on the topic.
    #[serde(rename = "Payload")]
    pub payload: String,
    /// [`SEND_COMMAND`] or [`CANCEL_COMMAND`] and anything after it.
    #[serde(rename = "Topic")]
    pub topic: String,
}

/// The payload under [`CANCEL_COMMAND`].
#[derive(Debug, Serialize, Deserialize)]
pub struct CancelPayload {
    /// The message id of the command to cancel.
    #[serde(rename = "CancelMessageId")]
    pub cancel_message_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_the_ones_the_original_sends() {
        assert_eq!(
            get_messages("mi-1", "r"),
            r#"{"Destination":"mi-1","MessagesRequestId":"r","VisibilityTimeoutInSeconds":10}"#
        );
        assert_eq!(acknowledge("m"), r#"{"MessageId":"m"}"#);
        assert_eq!(
            send_reply("m", r#"{"a":1}"#, "r"),
            r#"{"MessageId":"m","Payload":"{\"a\":1}","ReplyId":"r"}"#
        );
        assert_eq!(
            fail_message("m"),
            r#"{"FailureType":"InternalHandlerException","MessageId":"m"}"#
        );
    }
}
