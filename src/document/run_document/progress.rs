//! How far an inner document has come, in memory and, over a reboot, on disk.

use super::super::plugin::{self, Ended};
use super::source::Found;
use miniserde::{Deserialize, Serialize, json};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use stint_wire::reply::Status;

/// What has been run of an inner document, and what it said.
#[derive(Serialize, Deserialize)]
pub struct Progress {
    /// The document's name, for people.
    pub name: String,
    /// The text that was begun: after a reboot the same is gone on with, whatever has become of
    /// the file or the server.
    pub document: String,
    /// Its parameters, JSON text of an object.
    pub parameters: String,
    /// Where its scripts run, if they don't say otherwise.
    pub directory: String,
    /// The standard output of all steps so far, within the limits of the wire.
    pub stdout: String,
    /// The standard error likewise.
    pub stderr: String,
    steps: Vec<Over>,
}

/// A step that is over.
#[derive(Serialize, Deserialize)]
struct Over {
    status: String,
    code: i32,
}

impl Progress {
    /// Nothing has been run yet.
    pub fn new(found: Found) -> Progress {
        Progress {
            name: found.name,
            document: found.document,
            parameters: found.parameters,
            directory: found.directory,
            stdout: String::new(),
            stderr: String::new(),
            steps: Vec::new(),
        }
    }

    /// What a reboot left; `None` if the document hasn't been begun.
    ///
    /// # Errors
    /// There is a note and it can't be read, so that nobody knows which steps to run.
    pub fn read(path: &Path) -> Result<Option<Progress>, String> {
        let unclear =
            |cause: &str| format!("can't tell how far {} has come: {cause}", path.display());
        match fs::read_to_string(path) {
            Ok(text) => json::from_str(&text).map(Some).map_err(|_| unclear("it is damaged")),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unclear(&error.to_string())),
        }
    }

    /// The note's text.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }

    /// How the step of that number ended, if it has.
    pub fn known(&self, number: usize) -> Option<(Status, i32)> {
        self.steps.get(number).map(|over| (over.status(), over.code))
    }

    /// Adds the next step.
    pub fn add(&mut self, ended: Ended) {
        self.steps.push(Over { status: ended.status.as_str().to_owned(), code: ended.code });
        self.stdout = plugin::join(&self.stdout, &ended.stdout);
        self.stderr = plugin::join(&self.stderr, &ended.stderr);
    }

    /// Whether the last step wants the device rebooted.
    pub fn asks_for_reboot(&self) -> bool {
        self.steps.last().is_some_and(|over| over.status() == Status::SuccessAndReboot)
    }

    /// After the reboot the last step is run again.
    pub fn forget_the_last(&mut self) {
        self.steps.pop();
    }

    /// The status of the whole: the weightiest of the steps'.
    pub fn merged(&self) -> Status {
        self.steps.iter().map(Over::status).fold(Status::Skipped, Status::weightier)
    }
}

impl Over {
    fn status(&self) -> Status {
        Status::parse(&self.status).unwrap_or(Status::Failed)
    }
}
