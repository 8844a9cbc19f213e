//! What is to be done, what became of it, and what the server is told.

use miniserde::{Deserialize, Serialize};
use stint_wire::reply::Status;

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
    /// The steps that are over, in order.
    pub steps: Vec<StepOutcome>,
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
        }
    }

    /// A job that ended without any step having been run.
    pub fn ended(status: Status, trace: String) -> Outcome {
        Outcome { complete: true, status: status.as_str().to_owned(), trace, steps: Vec::new() }
    }
}

impl StepOutcome {
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
