//! The text of a message: a command or a cancellation as an agent reads it.

use crate::commands::{Options, values};
use serde_json::{Map, Value, json};
use stint_wire::ec2messages::{CANCEL_COMMAND, SEND_COMMAND};
use stint_wire::ids;
use stint_wire::text::sha256_hex;
use stint_wire::time::Utc;

/// What follows the topic's prefix. Agents look at the prefix only.
const TOPIC_SUFFIX: &str = ".stint";

/// The columns of a command that its payload is made of.
#[derive(Debug, sqlx::FromRow)]
pub struct Command {
    /// Its UUID.
    pub id: String,
    /// The document's name.
    pub document_name: String,
    /// The document as JSON.
    pub content: String,
    /// JSON: name to list of strings.
    pub parameters: String,
    /// JSON: the members of the request that are only passed on.
    pub options: String,
    /// Milliseconds since 1970.
    pub requested_at: i64,
}

/// The message that hands a command to a node, with the document as that node is to have it.
///
/// # Errors
/// When a column holds no JSON, which would be a fault of the hub.
pub fn command_message(
    command: &Command,
    content: &Value,
    node: &str,
) -> Result<Value, serde_json::Error> {
    let given: Map<String, Value> = serde_json::from_str(&command.parameters)?;
    let options: Options = serde_json::from_str(&command.options)?;
    let cloud_watch = options.cloud_watch();
    let enabled = cloud_watch.get("CloudWatchOutputEnabled").and_then(Value::as_bool);
    let payload = json!({
        "Parameters": values::typed(content, given),
        "DocumentContent": content,
        "CommandId": command.id,
        "DocumentName": command.document_name,
        "OutputS3BucketName": options.output_s3_bucket_name.unwrap_or_default(),
        "OutputS3KeyPrefix": options.output_s3_key_prefix.unwrap_or_default(),
        "CloudWatchLogGroupName": cloud_watch.get("CloudWatchLogGroupName"),
        // A string, not a boolean: so the original reads it.
        "CloudWatchOutputEnabled": enabled.unwrap_or_default().to_string(),
    });
    Ok(envelope(
        SEND_COMMAND,
        &ids::message_id(&command.id, node),
        node,
        command.requested_at,
        payload.to_string(),
    ))
}

/// The message that takes a command back.
pub fn cancel_message(message: &str, command: &str, node: &str, requested_at: i64) -> Value {
    let payload = json!({"CancelMessageId": ids::message_id(command, node)});
    envelope(CANCEL_COMMAND, message, node, requested_at, payload.to_string())
}

fn envelope(topic: &str, message: &str, node: &str, created: i64, payload: String) -> Value {
    json!({
        "CreatedDate": Utc(created.unsigned_abs()).iso(),
        "Destination": node,
        "MessageId": message,
        "PayloadDigest": sha256_hex(payload.as_bytes()),
        "Payload": payload,
        "Topic": format!("{topic}{TOPIC_SUFFIX}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Value {
        serde_json::from_str(&command().content).unwrap()
    }

    fn command() -> Command {
        Command {
            id: "181cf578-8201-460b-8a5d-e405b1126a8a".to_owned(),
            document_name: "AWS-RunShellScript".to_owned(),
            content: json!({"schemaVersion": "2.2", "parameters": {
                "commands": {"type": "StringList"}, "workingDirectory": {"type": "String"},
                "wait": {"type": "Boolean"}, "map": {"type": "StringMap"},
                "maps": {"type": "MapList"}}})
            .to_string(),
            parameters: json!({"commands": ["echo hello"], "workingDirectory": ["/tmp"],
                "wait": ["true"], "map": ["{\"a\":\"b\"}"], "maps": ["{\"a\":\"b\"}"],
                "empty": []})
            .to_string(),
            options: json!({"OutputS3BucketName": "b"}).to_string(),
            requested_at: 1_795_335_392_646,
        }
    }

    #[test]
    fn parameters_have_the_types_that_the_document_declares() {
        let message = command_message(&command(), &content(), "mi-1").unwrap();
        let payload: Value = serde_json::from_str(message["Payload"].as_str().unwrap()).unwrap();
        assert_eq!(
            payload["Parameters"],
            json!({"commands": ["echo hello"], "workingDirectory": "/tmp", "wait": "true",
                   "map": {"a": "b"}, "maps": [{"a": "b"}], "empty": ""})
        );
        assert_eq!(payload["DocumentContent"]["schemaVersion"], "2.2");
        assert_eq!(payload["OutputS3BucketName"], "b");
        assert_eq!(payload["OutputS3KeyPrefix"], "");
        assert_eq!(payload["CloudWatchOutputEnabled"], "false");
    }

    #[test]
    fn an_envelope_has_every_member_that_the_original_needs() {
        let message = command_message(&command(), &content(), "mi-1").unwrap();
        assert_eq!(message["CreatedDate"], "2026-11-22T08:16:32.646Z");
        assert_eq!(message["Destination"], "mi-1");
        assert_eq!(message["MessageId"], "aws.ssm.181cf578-8201-460b-8a5d-e405b1126a8a.mi-1");
        assert_eq!(message["Topic"], "aws.ssm.sendCommand.stint");
        let payload = message["Payload"].as_str().unwrap();
        assert_eq!(message["PayloadDigest"], sha256_hex(payload.as_bytes()));
    }

    #[test]
    fn a_cancellation_names_the_message_of_the_command() {
        let message = cancel_message("aws.ssm.other.mi-1", "c-1", "mi-1", 0);
        assert_eq!(message["Topic"], "aws.ssm.cancelCommand.stint");
        assert_eq!(message["MessageId"], "aws.ssm.other.mi-1");
        assert_eq!(message["Payload"], r#"{"CancelMessageId":"aws.ssm.c-1.mi-1"}"#);
    }
}
