//! What is to be done, what became of it, and what the server is told.

use miniserde::{Deserialize, Serialize};
use stint_wire::reply::{Status, limit, limit_stream};

/// What is kept of a stream where the disk has no room for more, bytes.
const SHORT: usize = 1024;

/// A document to run, as any server may have sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Unique among all jobs of this node: Systems Manager's command id.
    pub id: String,
    /// What the server wants named when it is told about this job.
    pub receipt: String,
    /// When the server made it, in its own spelling.
    pub created: String,
    /// This node's id, for the script's environment.
    pub node: String,
    /// This node's region, for the script's environment.
    pub region: String,
    /// The document's name, for people.
    pub document_name: String,
    /// The document, JSON text.
    pub document: String,
    /// Its parameters, JSON text of an object.
    pub parameters: String,
    /// Where its output goes besides the report. A spool of an earlier version has none.
    pub output: Option<OutputTo>,
}

/// Where a job's output is uploaded after each step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTo {
    /// The S3 bucket; empty for none.
    pub bucket: String,
    /// What its keys begin with, without a slash at either end; may be empty.
    pub prefix: String,
    /// The group in CloudWatch Logs; empty for none.
    pub log_group: String,
}

/// What became of a job, or how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Nothing more will happen.
    pub complete: bool,
    /// A [`Status`] word.
    pub status: String,
    /// Why the document as a whole was not run; else empty.
    pub trace: String,
    /// The steps that are over, in order. While a reboot is awaited the last of them is the one
    /// that asked for it, and will be run again.
    pub steps: Vec<StepOutcome>,
    /// The reboots that steps have asked for.
    pub reboot: Option<Reboot>,
}

/// Reboots on the wish of steps (exit code 194).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboot {
    /// How many there were.
    pub count: u32,
    /// The id of the boot in which the last was asked for: while it is the same the device hasn't
    /// rebooted yet.
    pub boot: String,
}

/// What became of one step. The streams are within the limits of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The step's name; in schema 1.x the plugin's.
    pub name: String,
    /// The plugin: `aws:runShellScript`.
    pub plugin: String,
    /// A [`Status`] word.
    pub status: String,
    /// The exit code.
    pub code: i32,
    /// ISO 8601 with milliseconds.
    pub started: String,
    /// ISO 8601 with milliseconds.
    pub ended: String,
    /// Head and tail of standard output.
    pub stdout: String,
    /// Head and tail of standard error.
    pub stderr: String,
    /// Where the whole output was meant to be uploaded, if it was. A spool of an earlier version
    /// has none.
    pub uploaded: Option<Uploaded>,
}

/// Where in S3 a step's output is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The bucket.
    pub bucket: String,
    /// The prefix of the job's keys on this node.
    pub prefix: String,
    /// The step's part of the keys.
    pub step: String,
}

/// What the server is to be told of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The job's id.
    pub job: String,
    /// The job's receipt.
    pub receipt: String,
    /// What became of it so far.
    pub outcome: Outcome,
}

impl Outcome {
    /// A job that has been started and has no finished step.
    pub fn begun() -> Outcome {
        Outcome {
            complete: false,
            status: Status::InProgress.as_str().to_owned(),
            trace: String::new(),
            steps: Vec::new(),
            reboot: None,
        }
    }

    /// A job that ended without any step having been run.
    pub fn ended(status: Status, trace: String) -> Outcome {
        let status = status.as_str().to_owned();
        Outcome { complete: true, status, trace, steps: Vec::new(), reboot: None }
    }

    /// The same, given up for this reason; the steps that are over stay.
    pub fn given_up(self, reason: String) -> Outcome {
        let status = Status::Failed.as_str().to_owned();
        let mut steps = self.steps;
        // A step that waited for a reboot has not ended well.
        let waiting = steps.last_mut().filter(|step| step.status() == Status::SuccessAndReboot);
        if let Some(step) = waiting {
            step.status.clone_from(&status);
        }
        Outcome { complete: true, status, trace: reason, steps, reboot: self.reboot }
    }

    /// The same with not more of the streams than a full disk may have room for.
    pub fn shortened(&self) -> Outcome {
        let steps = self.steps.iter().map(StepOutcome::shortened).collect();
        Outcome { steps, ..self.clone() }
    }

    /// Whether the last step that was run wants the device to reboot first.
    pub fn asks_for_reboot(&self) -> bool {
        !self.complete && self.status == Status::SuccessAndReboot.as_str()
    }

    /// How many reboots there were on the wish of steps.
    pub fn reboots(&self) -> u32 {
        self.reboot.as_ref().map_or(0, |reboot| reboot.count)
    }

    /// Whether the device has rebooted since that was asked for. A device that can't tell its
    /// boots apart has.
    pub fn has_rebooted(&self, boot: &str) -> bool {
        boot.is_empty() || self.reboot.as_ref().is_none_or(|reboot| reboot.boot != boot)
    }
}

impl StepOutcome {
    /// The step asked for a reboot, and the operator cancelled the job before there was one.
    pub fn cancel_before_reboot(&mut self) {
        self.status = Status::Cancelled.as_str().to_owned();
        let remark = "stint: the step was cancelled before the reboot that it asked for";
        self.stderr = limit_stream(&format!("{}{remark}", self.stderr));
    }

    /// The same with not more of the streams than a full disk may have room for.
    fn shortened(&self) -> StepOutcome {
        let cut = |text: &str| limit(text, SHORT, "\n--cut: the disk is full--\n");
        StepOutcome { stdout: cut(&self.stdout), stderr: cut(&self.stderr), ..self.clone() }
    }

    /// The status; a word that isn't one counts as a failure.
    pub fn status(&self) -> Status {
        Status::parse(&self.status).unwrap_or(Status::Failed)
    }
}

impl Report {
    /// The report on `job` that says `outcome`.
    pub fn on(job: &Job, outcome: Outcome) -> Report {
        Report { job: job.id.clone(), receipt: job.receipt.clone(), outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miniserde::json;

    #[test]
    fn what_an_earlier_version_spooled_is_still_read() {
        let job = r#"{"id":"c-1","receipt":"r","created":"","node":"mi-1","region":"r",
            "document_name":"D","document":"{}","parameters":"{}"}"#;
        assert_eq!(json::from_str::<Job>(job).unwrap().output, None);
        let report = r#"{"job":"c-1","receipt":"r","outcome":{"complete":true,"status":"Success",
            "trace":"","steps":[{"name":"a","plugin":"p","status":"Success","code":0,"started":"",
            "ended":"","stdout":"out","stderr":""}]}}"#;
        let report: Report = json::from_str(report).unwrap();
        assert_eq!(report.outcome.steps[0].uploaded, None);
    }
}
