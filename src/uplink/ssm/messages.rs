//! Messages into deliveries. Pure.

use super::super::Delivery;
use crate::spool::{Job, OutputTo};
use miniserde::json as miniserde_json;
use stint_wire::ec2messages::{CANCEL_COMMAND, CancelPayload, Message, SEND_COMMAND};
use stint_wire::json::{self, Node, Value};
use stint_wire::{ids, text};

/// The messages of an answer to GetMessages; `None` if it is none. A message that lacks what it must have is
/// passed over, as by the original: it must not hold up the others.
pub fn list(answer: &str) -> Option<Vec<Message>> {
    let answer = json::parse(answer).ok().filter(|node| matches!(node.value, Value::Object(_)))?;
    let messages = answer.get("Messages").and_then(Node::elements).unwrap_or_default();
    Some(messages.iter().filter_map(message).collect())
}

fn message(node: &Node) -> Option<Message> {
    let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
    Some(Message {
        created_date: text("CreatedDate")?,
        destination: text("Destination")?,
        message_id: text("MessageId")?,
        payload: text("Payload").unwrap_or_default(),
        topic: text("Topic")?,
    })
}

/// What a message asks of this node.
pub fn read(message: &Message, node: &str, region: &str) -> Delivery {
    let receipt = message.message_id.clone();
    if message.topic.starts_with(CANCEL_COMMAND) {
        let job = ids::command_of_message(&receipt).to_owned();
        return match miniserde_json::from_str::<CancelPayload>(&message.payload) {
            Ok(cancel) => {
                let job = ids::command_of_message(&cancel.cancel_message_id).to_owned();
                Delivery::Cancel { receipt, job }
            }
            Err(_) => Delivery::Unreadable {
                receipt,
                job,
                reason: "the cancellation names no command".into(),
            },
        };
    }
    if !message.topic.starts_with(SEND_COMMAND) {
        return Delivery::Unknown { topic: message.topic.clone() };
    }
    let job = ids::command_of_message(&receipt).to_owned();
    match read_command(message, node, region, &job) {
        Ok(job) => Delivery::Job(job),
        Err(reason) => Delivery::Unreadable { receipt, job, reason },
    }
}

fn read_command(message: &Message, node: &str, region: &str, id: &str) -> Result<Job, String> {
    let payload = json::parse(&message.payload)
        .map_err(|error| format!("the payload is no JSON: {error}"))?;
    let text = |name: &str| {
        payload.get_any_case(name).and_then(Node::as_str).unwrap_or_default().to_owned()
    };
    let document =
        payload.get_any_case("DocumentContent").ok_or("the payload holds no document")?;
    let parameters = payload.get_any_case("Parameters").map(Node::to_string);
    Ok(Job {
        id: id.to_owned(),
        receipt: message.message_id.clone(),
        created: message.created_date.clone(),
        node: node.to_owned(),
        region: region.to_owned(),
        document_name: text("DocumentName"),
        document: document.to_string(),
        parameters: parameters.unwrap_or_else(|| "{}".to_owned()),
        output: output(&text),
    })
}

/// Where the output is to go, if the payload names a place.
fn output(text: &dyn Fn(&str) -> String) -> Option<OutputTo> {
    // A string, not a boolean: so the service sends it, and Go's spellings of true are these.
    let to_logs =
        ["1", "t", "T", "TRUE", "true", "True"].contains(&text("CloudWatchOutputEnabled").as_str());
    let to = OutputTo {
        bucket: text("OutputS3BucketName"),
        prefix: text("OutputS3KeyPrefix").trim_matches('/').to_owned(),
        log_group: if to_logs { log_group(text) } else { String::new() },
    };
    (!to.bucket.is_empty() || to_logs).then_some(to)
}

/// The log group that is named, or the one that the service makes of the document's name.
fn log_group(text: &dyn Fn(&str) -> String) -> String {
    let named = text("CloudWatchLogGroupName");
    if !named.is_empty() {
        return named;
    }
    let valid = |c: char| c.is_ascii_alphanumeric() || "_-/.#".contains(c);
    let document = text("DocumentName");
    format!("/aws/ssm/{}", document.replace(|c| !valid(c), "."))
}

/// Bytes of an id that is the same each time it is made of this text.
pub fn digest(seed: &str) -> [u8; 16] {
    let digest = text::sha256_hex(seed.as_bytes());
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest.bytes()) {
        *byte = from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str) -> Message {
        Message {
            created_date: "2026-11-22T08:16:32.646Z".into(),
            destination: "mi-1".into(),
            message_id: "aws.ssm.c-1.mi-1".into(),
            payload: payload.into(),
            topic: topic.into(),
        }
    }

    #[test]
    fn a_message_that_lacks_what_it_must_have_is_passed_over_and_holds_up_no_other() {
        let whole =
            r#"{"CreatedDate":"c","Destination":"mi-1","MessageId":"m","Topic":"t","More":1}"#;
        let mut messages = vec![whole.to_owned()];
        for name in ["CreatedDate", "Destination", "MessageId", "Topic"] {
            messages.push(whole.replace(name, "Other"));
            messages.push(whole.replace(&format!("\"{name}\":"), &format!("\"{name}\":7,\"x\":")));
        }
        messages.push("null".to_owned());
        let found = list(&format!(r#"{{"Messages":[{}]}}"#, messages.join(","))).unwrap();
        assert_eq!(found.iter().map(|it| it.message_id.as_str()).collect::<Vec<_>>(), ["m"]);
        for nothing in ["{}", r#"{"Messages":null}"#, r#"{"Messages":[]}"#] {
            assert_eq!(list(nothing), Some(Vec::new()));
        }
        for bad in ["", "[]", "<html>"] {
            assert_eq!(list(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_command_becomes_a_job() {
        let payload = r#"{"Parameters":{"commands":["id"]},"DocumentContent":{"schemaVersion":"1.2"},"CommandId":"c-1","DocumentName":"D"}"#;
        let Delivery::Job(job) = read(&message("aws.ssm.sendCommand.x", payload), "mi-1", "r")
        else {
            panic!("no job")
        };
        assert_eq!((job.id.as_str(), job.document_name.as_str()), ("c-1", "D"));
        assert_eq!(job.document, r#"{"schemaVersion":"1.2"}"#);
        assert_eq!(job.parameters, r#"{"commands":["id"]}"#);
    }

    #[test]
    fn the_payload_says_where_the_output_goes() {
        let output = |more: &str| {
            let payload = format!(r#"{{"DocumentContent":{{}},"DocumentName":"a:b c/d_e"{more}}}"#);
            match read(&message(SEND_COMMAND, &payload), "mi-1", "r") {
                Delivery::Job(job) => job.output,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(output(r#","OutputS3BucketName":"","CloudWatchOutputEnabled":"false""#), None);
        let to = output(r#","OutputS3BucketName":"b","OutputS3KeyPrefix":"/x/y/""#).unwrap();
        assert_eq!(
            (to.bucket.as_str(), to.prefix.as_str(), to.log_group.as_str()),
            ("b", "x/y", "")
        );
        let to = output(r#","CloudWatchOutputEnabled":"True","CloudWatchLogGroupName":null"#);
        assert_eq!(to.unwrap().log_group, "/aws/ssm/a.b.c/d_e");
        let to = output(r#","CloudWatchOutputEnabled":"true","CloudWatchLogGroupName":"g""#);
        assert_eq!(to.unwrap().log_group, "g");
    }

    #[test]
    fn a_cancellation_names_the_job_and_not_itself() {
        let mut cancel =
            message("aws.ssm.cancelCommand.x", r#"{"CancelMessageId":"aws.ssm.c-1.mi-1"}"#);
        cancel.message_id = "aws.ssm.other.mi-1".into();
        assert_eq!(
            read(&cancel, "mi-1", "r"),
            Delivery::Cancel { receipt: "aws.ssm.other.mi-1".into(), job: "c-1".into() }
        );
    }

    #[test]
    fn what_cannot_be_read_is_reported_and_what_is_unknown_is_refused() {
        for payload in ["", "{}", "[", "{\"DocumentContent\":"] {
            let delivery = read(&message(SEND_COMMAND, payload), "mi-1", "r");
            assert!(matches!(delivery, Delivery::Unreadable { .. }), "{payload}");
        }
        assert!(matches!(read(&message("other", "{}"), "mi-1", "r"), Delivery::Unknown { .. }));
    }
}
