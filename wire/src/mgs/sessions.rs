//! Payloads about sessions, on the control channel; `channel_closed` comes on data channels, too.

use super::{MessageId, PayloadError, may, must, parse};
use crate::json::{Node, ObjectWriter, Value};
use crate::time::Utc;

/// The topic of [`InteractiveShell`]. Agents don't look at it.
pub const TOPIC: &str = "aws.ssm.interactive_shell";

/// `interactive_shell`: the start of a session, whatever its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InteractiveShell {
    /// A [`SessionOrder`] as JSON text.
    pub content: String,
    /// The session's id. Agents don't look at it.
    pub task_id: String,
}

impl InteractiveShell {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or has no content.
    pub fn read(payload: &[u8]) -> Result<InteractiveShell, PayloadError> {
        let node = parse(payload)?;
        Ok(InteractiveShell { content: must(&node, "Content")?, task_id: may(&node, "TaskId") })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("Content", &self.content)
            .string("TaskId", &self.task_id)
            .string("Topic", TOPIC)
            .raw("SchemaVersion", "1")
            .finish()
    }
}

/// What session is to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOrder {
    /// The document's name.
    pub document_name: String,
    /// The session document, `schemaVersion` 1.0.
    pub document: Node,
    /// The session's id.
    pub session_id: String,
    /// Its parameters: an object, whose values are strings or lists of them.
    pub parameters: Node,
    /// The user that the operator's account says; over that of the document, unless empty.
    pub run_as_user: String,
    /// Who starts it.
    pub owner: String,
}

impl SessionOrder {
    /// Reads [`InteractiveShell::content`].
    ///
    /// # Errors
    /// It isn't JSON, has no document, or no id by which to name the session.
    pub fn read(content: &str) -> Result<SessionOrder, PayloadError> {
        let node = parse(content.as_bytes())?;
        let object = |name: &str| node.get_any_case(name).cloned();
        let document = object("DocumentContent").filter(|it| matches!(it.value, Value::Object(_)));
        let nothing = || Node { line: 1, value: Value::Object(Vec::new()) };
        Ok(SessionOrder {
            document_name: may(&node, "DocumentName"),
            document: document.ok_or(PayloadError::Member("DocumentContent"))?,
            session_id: must(&node, "SessionId")?,
            parameters: object("Parameters").unwrap_or_else(nothing),
            run_as_user: may(&node, "RunAsUser"),
            owner: may(&node, "SessionOwner"),
        })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("DocumentName", &self.document_name)
            .raw("DocumentContent", &self.document.to_string())
            .string("SessionId", &self.session_id)
            .raw("Parameters", &self.parameters.to_string())
            .string("RunAsUser", &self.run_as_user)
            .string("SessionOwner", &self.owner)
            .finish()
    }
}

/// `channel_closed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelClosed {
    /// The id of the message, once more.
    pub message_id: String,
    /// The node's id.
    pub destination: String,
    /// The session that is to end, or has.
    pub session_id: String,
    /// When that was said.
    pub created: Utc,
    /// What a client is to show; empty if all went well.
    pub output: String,
}

impl ChannelClosed {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or names no session.
    pub fn read(payload: &[u8]) -> Result<ChannelClosed, PayloadError> {
        let node = parse(payload)?;
        Ok(ChannelClosed {
            message_id: may(&node, "MessageId"),
            destination: may(&node, "DestinationId"),
            session_id: must(&node, "SessionId")?,
            created: Utc::parse_iso(&may(&node, "CreatedDate")).unwrap_or_default(),
            output: may(&node, "Output"),
        })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("MessageType", super::message::kind::CHANNEL_CLOSED)
            .string("MessageId", &self.message_id)
            .string("DestinationId", &self.destination)
            .string("SessionId", &self.session_id)
            .raw("SchemaVersion", "1")
            .string("CreatedDate", &self.created.iso())
            .string("Output", &self.output)
            .finish()
    }
}

/// `agent_task_complete`: a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskComplete {
    /// The session's id.
    pub session_id: String,
    /// `Success`, `Failed`, …
    pub status: String,
    /// The node's id.
    pub node: String,
    /// Why it failed; empty if it didn't.
    pub output: String,
    /// Counts from 1; a repetition has the same message id.
    pub retry: u32,
}

impl TaskComplete {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't JSON, or lacks the session's id or its status.
    pub fn read(payload: &[u8]) -> Result<TaskComplete, PayloadError> {
        let node = parse(payload)?;
        let retry = node.get_any_case("RetryNumber").and_then(Node::as_u64).unwrap_or(1);
        Ok(TaskComplete {
            session_id: must(&node, "TaskId")?,
            status: must(&node, "FinalTaskStatus")?,
            node: may(&node, "InstanceId"),
            output: may(&node, "Output"),
            retry: retry as u32,
        })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .raw("SchemaVersion", "1")
            .string("TaskId", &self.session_id)
            .string("Topic", super::message::kind::AGENT_TASK_COMPLETE)
            .string("FinalTaskStatus", &self.status)
            .raw("IsRoutingFailure", "false")
            .string("AwsAccountId", "")
            .string("InstanceId", &self.node)
            .string("Output", &self.output)
            .string("S3Bucket", "")
            .string("S3UrlSuffix", "")
            .string("CwlGroup", "")
            .string("CwlStream", "")
            .raw("RetryNumber", &self.retry.to_string())
            .finish()
    }
}

/// `agent_task_acknowledge`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskAcknowledge {
    /// The id of the message that said it.
    pub message_id: MessageId,
    /// The session's id.
    pub session_id: String,
}

impl TaskAcknowledge {
    /// Reads it. Only the message's id matters.
    ///
    /// # Errors
    /// It isn't JSON, or lacks that id.
    pub fn read(payload: &[u8]) -> Result<TaskAcknowledge, PayloadError> {
        let node = parse(payload)?;
        let message_id = MessageId::parse(&must(&node, "MessageId")?);
        let message_id = message_id.ok_or(PayloadError::Member("MessageId"))?;
        Ok(TaskAcknowledge { message_id, session_id: may(&node, "TaskId") })
    }

    /// Writes it.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .raw("SchemaVersion", "1")
            .string("MessageId", &self.message_id.to_string())
            .string("TaskId", &self.session_id)
            .string("Topic", super::message::kind::AGENT_TASK_COMPLETE)
            .finish()
    }
}

/// The value of a parameter as text: a list with one element is that element.
pub fn parameter(value: &Node) -> String {
    match value.elements() {
        Some([one]) => parameter(one),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_needs_a_document_and_an_id() {
        let order = SessionOrder::read(r#"{"DocumentContent":{},"SessionId":"s"}"#).unwrap();
        assert_eq!((order.owner.as_str(), order.parameters.members().len()), ("", 0));
        for (text, name) in [
            (r#"{"SessionId":"s"}"#, "DocumentContent"),
            (r#"{"DocumentContent":"{}","SessionId":"s"}"#, "DocumentContent"),
            (r#"{"DocumentContent":{}}"#, "SessionId"),
        ] {
            assert_eq!(SessionOrder::read(text), Err(PayloadError::Member(name)), "{text}");
        }
    }

    #[test]
    fn a_list_with_one_element_is_that_element() {
        let value = |text| parameter(&crate::json::parse(text).unwrap());
        assert_eq!([value(r#""a""#), value(r#"["a"]"#), value("7")], ["a", "a", "7"]);
    }
}
