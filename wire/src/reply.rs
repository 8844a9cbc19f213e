//! What a node reports of a command: the payload of SendReply, and the limits on output.

use crate::json::ObjectWriter;
use crate::text::{head, tail};
use crate::time::Utc;
use miniserde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `standardOutput` and `standardError` hold at most this many bytes each.
pub const STREAM_LIMIT: usize = 24_000;

/// `output`, both streams together, holds at most this many bytes.
pub const OUTPUT_LIMIT: usize = 2_500;

const STREAM_CUT: &str = "\n--output truncated--\n";
const OUTPUT_CUT: &str = "\n---Output truncated---\n";
const ERROR_MARK: &str = "\n----------ERROR-------\n";

/// How far a document or one of its steps has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Accepted, or running.
    InProgress,
    /// Ended well.
    Success,
    /// Ended well and asked for a reboot (exit code 194).
    SuccessAndReboot,
    /// Ended badly.
    Failed,
    /// Stopped on the operator's wish.
    Cancelled,
    /// Stopped by its own time limit.
    TimedOut,
    /// Not run, and rightly so.
    Skipped,
}

impl Status {
    /// Every status, in the order in which one decides a document's status when several steps
    /// differ, `Success` and `Skipped` last.
    const BY_WEIGHT: [Status; 7] = [
        Status::SuccessAndReboot,
        Status::Failed,
        Status::TimedOut,
        Status::Cancelled,
        Status::InProgress,
        Status::Success,
        Status::Skipped,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::InProgress => "InProgress",
            Status::Success => "Success",
            Status::SuccessAndReboot => "SuccessAndReboot",
            Status::Failed => "Failed",
            Status::Cancelled => "Cancelled",
            Status::TimedOut => "TimedOut",
            Status::Skipped => "Skipped",
        }
    }

    /// Reads a status word; `None` for the ones only amazon-ssm-agent's own parts use.
    pub fn parse(word: &str) -> Option<Status> {
        Status::BY_WEIGHT.into_iter().find(|status| status.as_str() == word)
    }

    /// The one of two that decides when several results become one step's.
    pub fn weightier(self, other: Status) -> Status {
        const ORDER: [Status; 7] = [
            Status::Skipped,
            Status::Success,
            Status::SuccessAndReboot,
            Status::InProgress,
            Status::Failed,
            Status::Cancelled,
            Status::TimedOut,
        ];
        let weight = |status| ORDER.iter().position(|known| *known == status);
        if weight(other) > weight(self) { other } else { self }
    }

    /// The status of a document whose steps ended so. A document of skipped steps only, or of
    /// none, is a success.
    pub fn of_document(steps: impl Iterator<Item = Status> + Clone) -> Status {
        let worst = Status::BY_WEIGHT.into_iter().find(|s| steps.clone().any(|step| step == *s));
        match worst {
            None | Some(Status::Skipped) => Status::Success,
            Some(status) => status,
        }
    }
}

/// Who sends a reply, and when.
pub struct From<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// The agent's version.
    pub version: &'a str,
    /// The time.
    pub now: Utc,
}

/// The text of a reply: by whom, the document's status and trace, and the steps by name. Written
/// by hand, because derived maps and structures would cost a device 5 kB.
pub fn text(from: &From<'_>, status: &str, trace: &str, steps: &[(&str, StepReply)]) -> String {
    let agent = ObjectWriter::new()
        .string("lang", "en-US")
        .string("name", from.agent)
        .string("os", "linux")
        .string("osver", "1")
        .string("ver", from.version)
        .finish();
    let (mut counts, mut by_name) = (ObjectWriter::new(), ObjectWriter::new());
    for status in Status::BY_WEIGHT.map(Status::as_str) {
        let count = steps.iter().filter(|(_, step)| step.status == status).count();
        if count > 0 {
            counts = counts.raw(status, &count.to_string());
        }
    }
    for (name, step) in steps {
        by_name = by_name.raw(name, &step.to_json());
    }
    let unless_empty = |text: String| if steps.is_empty() { "null".to_owned() } else { text };
    let additional = ObjectWriter::new()
        .raw("agent", &agent)
        .string("dateTime", &from.now.iso())
        .string("runId", "")
        .raw("runtimeStatusCounts", &unless_empty(counts.finish()))
        .finish();
    ObjectWriter::new()
        .raw("additionalInfo", &additional)
        .string("documentStatus", status)
        .string("documentTraceOutput", trace)
        .raw("runtimeStatus", &unless_empty(by_name.finish()))
        .finish()
}

/// The payload of SendReply.
#[derive(Clone, Debug, Deserialize)]
pub struct Reply {
    /// Who says it and when.
    #[serde(rename = "additionalInfo")]
    pub additional_info: AdditionalInfo,
    /// A [`Status`] word, of the whole document.
    #[serde(rename = "documentStatus")]
    pub document_status: String,
    /// Why a document was refused; else empty.
    #[serde(rename = "documentTraceOutput")]
    pub document_trace_output: String,
    /// By step; a server merges the maps of all replies.
    #[serde(rename = "runtimeStatus")]
    pub runtime_status: Option<BTreeMap<String, StepReply>>,
}

/// The envelope's part of a reply.
#[derive(Clone, Debug, Deserialize)]
pub struct AdditionalInfo {
    /// The agent.
    pub agent: AgentInfo,
    /// ISO 8601 with milliseconds.
    #[serde(rename = "dateTime")]
    pub date_time: String,
    /// Empty for commands.
    #[serde(rename = "runId")]
    pub run_id: String,
    /// How many steps have which status.
    #[serde(rename = "runtimeStatusCounts")]
    pub runtime_status_counts: Option<BTreeMap<String, u32>>,
}

/// The agent as replies name it.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentInfo {
    /// `en-US`
    pub lang: String,
    /// The agent's name.
    pub name: String,
    /// `linux`
    pub os: String,
    /// `1`: a constant of the original, not the system's version.
    pub osver: String,
    /// The agent's version.
    pub ver: String,
}

/// What became of one step.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StepReply {
    /// A [`Status`] word.
    pub status: String,
    /// The exit code; 137 when the agent killed it.
    pub code: i32,
    /// The plugin: `aws:runShellScript`.
    pub name: String,
    /// Both streams, at most [`OUTPUT_LIMIT`] bytes.
    pub output: String,
    /// ISO 8601 with milliseconds.
    #[serde(rename = "startDateTime")]
    pub start_date_time: String,
    /// ISO 8601 with milliseconds.
    #[serde(rename = "endDateTime")]
    pub end_date_time: String,
    /// Where the whole output was uploaded; else empty.
    #[serde(rename = "outputS3BucketName")]
    pub output_s3_bucket_name: String,
    /// See above.
    #[serde(rename = "outputS3KeyPrefix")]
    pub output_s3_key_prefix: String,
    /// Filled when there is a bucket.
    #[serde(rename = "stepName")]
    pub step_name: String,
    /// At most [`STREAM_LIMIT`] bytes.
    #[serde(rename = "standardOutput")]
    pub standard_output: String,
    /// At most [`STREAM_LIMIT`] bytes.
    #[serde(rename = "standardError")]
    pub standard_error: String,
}

/// Cuts a stream to [`STREAM_LIMIT`] bytes, keeping its head and its tail: the original keeps
/// the head only, and the line that tells why a script failed is the last.
pub fn limit_stream(text: &str) -> String {
    limit_stream_to(text, STREAM_LIMIT)
}

/// The same with another limit, bytes.
pub fn limit_stream_to(text: &str, most: usize) -> String {
    limit(text, most, STREAM_CUT)
}

/// Both streams in one text of at most [`OUTPUT_LIMIT`] bytes.
pub fn combined_output(stdout: &str, stderr: &str) -> String {
    if stderr.is_empty() {
        return limit(stdout, OUTPUT_LIMIT, OUTPUT_CUT);
    }
    let room = OUTPUT_LIMIT - ERROR_MARK.len();
    let for_stderr = stderr.len().min((room / 2).max(room.saturating_sub(stdout.len())));
    let mut out = limit(stdout, room - for_stderr, OUTPUT_CUT);
    out.push_str(ERROR_MARK);
    out.push_str(&limit(stderr, for_stderr, OUTPUT_CUT));
    out
}

/// `text` itself, or its head, `mark` and its tail in `limit` bytes.
pub fn limit(text: &str, limit: usize, mark: &str) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let room = limit.saturating_sub(mark.len());
    let first = head(text, room / 2);
    format!("{first}{mark}{}", tail(text, room - first.len()))
}

impl StepReply {
    /// The JSON text.
    pub fn to_json(&self) -> String {
        ObjectWriter::new()
            .string("status", &self.status)
            .raw("code", &self.code.to_string())
            .string("name", &self.name)
            .string("output", &self.output)
            .string("startDateTime", &self.start_date_time)
            .string("endDateTime", &self.end_date_time)
            .string("outputS3BucketName", &self.output_s3_bucket_name)
            .string("outputS3KeyPrefix", &self.output_s3_key_prefix)
            .string("stepName", &self.step_name)
            .string("standardOutput", &self.standard_output)
            .string("standardError", &self.standard_error)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniserde::json;
    use proptest::prelude::*;

    #[test]
    fn the_last_line_of_a_long_output_survives() {
        let long = format!("first\n{}\nlast", "x".repeat(50_000));
        let cut = limit_stream(&long);
        assert!(cut.len() <= STREAM_LIMIT);
        assert!(cut.starts_with("first\n") && cut.ends_with("\nlast"));
        assert!(cut.contains("--output truncated--"));
    }

    #[test]
    fn a_failed_step_makes_a_failed_document() {
        use Status::*;
        for (steps, document) in [
            (vec![Success, Skipped], Success),
            (vec![], Success),
            (vec![Success, Failed, TimedOut], Failed),
            (vec![Cancelled, Success], Cancelled),
            (vec![Failed, SuccessAndReboot], SuccessAndReboot),
            (vec![InProgress, Success], InProgress),
        ] {
            assert_eq!(Status::of_document(steps.iter().copied()), document, "{steps:?}");
        }
    }

    #[test]
    fn several_results_of_one_step_become_the_weightiest() {
        use Status::*;
        let order = [Skipped, Success, SuccessAndReboot, InProgress, Failed, Cancelled, TimedOut];
        for (a, first) in order.into_iter().enumerate() {
            for (b, second) in order.into_iter().enumerate() {
                assert_eq!(first.weightier(second), order[a.max(b)]);
            }
        }
    }

    #[test]
    fn a_reply_of_the_original_is_understood() {
        let text = r#"{"additionalInfo":{"agent":{"lang":"en-US","name":"amazon-ssm-agent","os":"linux",
            "osver":"1","ver":"3.3.0.0"},"dateTime":"2026-11-22T08:34:25.495Z","runId":"",
            "runtimeStatusCounts":null,"ableToOpenMGSConnection":false},"documentStatus":"InProgress",
            "documentTraceOutput":"","runtimeStatus":null}"#;
        let reply: Reply = json::from_str(text).unwrap();
        assert_eq!(Status::parse(&reply.document_status), Some(Status::InProgress));
        assert!(reply.runtime_status.is_none());
    }

    proptest! {
        #[test]
        fn no_output_is_longer_than_its_limit(out in ".{0,4000}", err in ".{0,4000}") {
            prop_assert!(combined_output(&out, &err).len() <= OUTPUT_LIMIT);
            prop_assert!(limit_stream(&out.repeat(8)).len() <= STREAM_LIMIT);
        }

        #[test]
        fn short_output_is_whole(out in ".{0,200}", err in ".{1,200}") {
            let both = combined_output(&out, &err);
            prop_assert!(both.starts_with(&out) && both.ends_with(&err));
        }
    }
}
