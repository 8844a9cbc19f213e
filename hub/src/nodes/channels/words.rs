//! The payloads of a control channel's messages.

use serde::Deserialize;
use serde_json::{Value, json};

/// The payload of a job, out of a message as the delivery service would hand it out.
pub fn job(message: &Value) -> Value {
    json!({
        "Content": message.get("Payload"),
        "JobId": message.get("MessageId"),
        "Topic": message.get("Topic"),
        "SchemaVersion": 1,
    })
}

/// The payload that confirms the reply of this message id.
pub fn reply_ack(job: &str, reply_id: &str) -> Value {
    json!({"jobId": job, "acknowledgedMessageId": reply_id})
}

/// An acknowledgement of a job.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobAck {
    /// The job's id, which is the message's.
    pub job_id: String,
    /// A number as text.
    pub status_code: String,
    /// The code's name.
    pub error_message: String,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The agent has the job.
    Yes,
    /// It is to be offered again after a while.
    Later,
    /// The agent will never take it.
    Never,
}

impl JobAck {
    /// Judges the code.
    pub fn taken(&self) -> Taken {
        match self.status_code.as_str() {
            // Had it before; and one that it can't read, of which a failed reply follows.
            "200" | "51405" | "51408" => Taken::Yes,
            // Stopping, or too busy.
            "51401" | "51402" => Taken::Later,
            _ => Taken::Never,
        }
    }
}

/// A reply to a job.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reply {
    /// The job's id, which is the message's.
    pub job_id: String,
    /// What SendReply calls its payload.
    pub content: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_carries_what_a_poll_would_have_carried() {
        let message = json!({"MessageId": "aws.ssm.c.mi-1", "Payload": "{\"a\":1}", "Topic": "t",
            "CreatedDate": "d", "Destination": "mi-1", "PayloadDigest": "x"});
        let expected = json!({"Content": "{\"a\":1}", "JobId": "aws.ssm.c.mi-1", "Topic": "t",
            "SchemaVersion": 1});
        assert_eq!(job(&message), expected);
    }

    #[test]
    fn every_code_of_the_original_has_its_meaning() {
        for (code, taken) in [
            ("200", Taken::Yes),
            ("51401", Taken::Later),
            ("51402", Taken::Later),
            ("51403", Taken::Never),
            ("51404", Taken::Never),
            ("51405", Taken::Yes),
            ("51406", Taken::Never),
            ("51407", Taken::Never),
            ("51408", Taken::Yes),
            ("51499", Taken::Never),
            ("", Taken::Never),
        ] {
            let ack = JobAck { status_code: code.to_owned(), ..JobAck::default() };
            assert_eq!(ack.taken(), taken, "{code}");
        }
    }
}
