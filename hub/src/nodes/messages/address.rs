//! Message ids: which command a message carries, and whether the node may speak of it.

use super::super::input;
use crate::auth::identity::NodeCaller;
use crate::error::{ApiError, ApiResult};
use serde_json::Value;
use stint_wire::ids;

/// A message of the node that called.
#[derive(Debug)]
pub struct Address<'a> {
    /// `aws.ssm.<uuid>.<node>`
    pub message: &'a str,
    /// The id in its middle: a command's, unless the message is a cancellation.
    pub command: &'a str,
}

/// Reads the member `MessageId`.
///
/// # Errors
/// `ValidationException` when it is absent or too short, `InvalidMessageIdException` when it is
/// no message id, `AccessDeniedException` when the message is another node's.
pub fn read<'a>(node: &NodeCaller, input: &'a Value) -> ApiResult<Address<'a>> {
    let message = input::required(input, "MessageId", 16, 256)?;
    let command = ids::command_of_message(message);
    let addressee = message.rsplit('.').next().unwrap_or_default();
    if command == message || ids::message_id(command, addressee) != message {
        return Err(unknown(message));
    }
    if addressee != node.id {
        return Err(ApiError::access_denied(format!("{} may not act as {addressee}", node.id)));
    }
    Ok(Address { message, command })
}

/// The answer to a message id that names nothing, or nothing any more. Agents drop the message.
pub fn unknown(message: &str) -> ApiError {
    ApiError::new(
        "InvalidMessageIdException",
        format!("The message {message} doesn't exist, or is no longer to be run."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn whatever_is_accepted_is_the_node_s_own(message: String, command in "[a-z0-9-]{1,40}") {
            let node = NodeCaller { id: "mi-0123456789abcdef0".to_owned(), region: "r".to_owned() };
            for id in [message.clone(), format!("aws.ssm.{command}.{message}")] {
                if let Ok(address) = read(&node, &json!({"MessageId": id})) {
                    prop_assert_eq!(ids::message_id(address.command, &node.id), id);
                }
            }
        }
    }

    #[test]
    fn a_node_speaks_only_of_its_own_messages() {
        let node = NodeCaller { id: "mi-0123456789abcdef0".to_owned(), region: "r".to_owned() };
        let command = "181cf578-8201-460b-8a5d-e405b1126a8a";
        let own = json!({"MessageId": format!("aws.ssm.{command}.{}", node.id)});
        assert_eq!(read(&node, &own).unwrap().command, command);
        for (id, code) in [
            (format!("aws.ssm.{command}.mi-0123456789abcdef1"), "AccessDeniedException"),
            (format!("aws.ssm.more.{command}.{}", node.id), "InvalidMessageIdException"),
            (format!("{command}.{}", node.id), "InvalidMessageIdException"),
            ("x".repeat(40), "InvalidMessageIdException"),
            ("short".to_owned(), "ValidationException"),
        ] {
            assert_eq!(read(&node, &json!({"MessageId": id})).unwrap_err().code, code, "{id}");
        }
    }
}
