//! The folder of one job that is being run: shared by the daemon and the worker, and all that
//! either has after a crash.
//!
//! - `job.json`: the job.
//! - `journal`: a line before each thing that must not be done twice, durable before it is done.
//!   A line break comes before it as well: the line before may have been cut short by a full disk.
//! - `outcome.json`: the finished steps, replaced after each.
//! - `cancel`: there when the operator wants it stopped.
//! - `last-word`: why a worker gave up, for the log.

use super::job::{Job, Outcome};
use crate::sys::process::Identity;
use crate::sys::{FileError, durable};
use miniserde::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The job's name in its folder; the spool moves it there.
pub const JOB: &str = "job.json";
const JOURNAL: &str = "journal";
const OUTCOME: &str = "outcome.json";
const CANCEL: &str = "cancel";
const LAST_WORD: &str = "last-word";

/// A job's folder.
#[derive(Clone, Debug)]
pub struct JobFolder(PathBuf);

/// What the journal tells of earlier workers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// How many workers have been at it.
    pub runs: usize,
    /// The last of them, dead or alive.
    pub worker: Option<Identity>,
    /// How many steps have been started, the interrupted one included.
    pub started_steps: usize,
    /// The leader of the process group of the last script, to be ended if its worker was killed.
    pub script: Option<Identity>,
}

impl JobFolder {
    /// The folder at that path; it is not looked into.
    pub fn at(path: &Path) -> JobFolder {
        JobFolder(path.to_owned())
    }

    /// The folder at that path, which exists, with a job in it.
    ///
    /// # Errors
    /// The job's file can't be written.
    pub fn with(path: &Path, job: &Job) -> Result<JobFolder, FileError> {
        durable::write(&path.join(JOB), json::to_string(job).as_bytes())?;
        Ok(JobFolder::at(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The job; `None` if its file can't be read or is damaged.
    pub fn job(&self) -> Option<Job> {
        json::from_str(&fs::read_to_string(self.0.join(JOB)).ok()?).ok()
    }

    /// What is over so far; a job just begun where there is no file.
    pub fn outcome(&self) -> Outcome {
        let text = fs::read_to_string(self.0.join(OUTCOME)).unwrap_or_default();
        json::from_str(&text).unwrap_or_else(|_| Outcome::begun())
    }

    /// Replaces what is over so far.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save_outcome(&self, outcome: &Outcome) -> Result<(), FileError> {
        durable::write(&self.0.join(OUTCOME), json::to_string(outcome).as_bytes())
    }

    /// Notes that a worker takes the job. It must listen to signals by then.
    ///
    /// # Errors
    /// The journal can't be written.
    pub fn note_run(&self, worker: Option<Identity>) -> Result<(), FileError> {
        let line =
            worker.map_or("\nrun\n".to_owned(), |w| format!("\nrun {} {}\n", w.pid, w.started));
        durable::append(&self.0.join(JOURNAL), line.as_bytes())
    }

    /// Notes that the next step is about to be started. Only when this has returned may it be.
    ///
    /// # Errors
    /// The journal can't be written; the step must not be started.
    pub fn note_step(&self) -> Result<(), FileError> {
        durable::append_durably(&self.0.join(JOURNAL), b"\nstep\n")
    }

    /// Notes the leader of a script's process group. A power cut that takes the note takes the
    /// script as well.
    ///
    /// # Errors
    /// The journal can't be written.
    pub fn note_script(&self, script: Identity) -> Result<(), FileError> {
        let line = format!("\nscript {} {}\n", script.pid, script.started);
        durable::append(&self.0.join(JOURNAL), line.as_bytes())
    }

    /// Leaves the reason why a worker gives up, if the disk takes it.
    pub fn leave_word(&self, reason: &str) {
        let _ = fs::write(self.0.join(LAST_WORD), reason);
    }

    /// The reason that the last worker left; empty if it was killed.
    pub fn last_word(&self) -> String {
        fs::read_to_string(self.0.join(LAST_WORD)).unwrap_or_default()
    }

    /// Reads the journal.
    pub fn journal(&self) -> Journal {
        parse_journal(&fs::read_to_string(self.0.join(JOURNAL)).unwrap_or_default())
    }

    /// Notes that the operator wants it stopped.
    ///
    /// # Errors
    /// The marker can't be written.
    pub fn cancel(&self) -> Result<(), FileError> {
        durable::write(&self.0.join(CANCEL), b"")
    }

    /// Whether the operator wants it stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.join(CANCEL).exists()
    }
}

/// A line cut short by a power cut counts as what it would have been: better a step reported as
/// interrupted than one run twice.
fn parse_journal(text: &str) -> Journal {
    let mut journal = Journal::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        match words.next().unwrap_or_default() {
            "run" => {
                journal.runs += 1;
                journal.worker = identity(words);
            }
            "script" => journal.script = identity(words),
            word if !word.is_empty() && "step".starts_with(word) => journal.started_steps += 1,
            _ => {}
        }
    }
    journal
}

/// A process id and its start.
fn identity<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Identity> {
    Some(Identity { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use proptest::prelude::*;

    #[test]
    fn a_journal_tells_what_was_begun() {
        let folder = Folder::new();
        let job = JobFolder::at(folder.path());
        assert_eq!(job.journal(), Journal::default());
        let (worker, script) = (Identity { pid: 5, started: 6 }, Identity { pid: 7, started: 8 });
        job.note_run(None).unwrap();
        job.note_run(Some(worker)).unwrap();
        job.note_step().unwrap();
        job.note_script(script).unwrap();
        let (worker, script) = (Some(worker), Some(script));
        assert_eq!(job.journal(), Journal { runs: 2, worker, started_steps: 1, script });
    }

    #[test]
    fn what_is_noted_after_a_line_cut_short_is_told_from_it() {
        let folder = Folder::new();
        let job = JobFolder::at(folder.path());
        fs::write(folder.path().join(JOURNAL), "run 1 2\nst").unwrap();
        let worker = Some(Identity { pid: 5, started: 6 });
        job.note_run(worker).unwrap();
        job.note_step().unwrap();
        let journal = Journal { runs: 2, worker, started_steps: 2, script: None };
        assert_eq!(job.journal(), journal);
    }

    #[test]
    fn a_line_cut_short_counts_as_a_started_step() {
        assert_eq!(parse_journal("run\nst").started_steps, 1);
        assert_eq!(parse_journal("run\ns").started_steps, 1);
        assert_eq!(parse_journal("run\nscript 1").script, None);
    }

    proptest! {
        #[test]
        fn no_journal_makes_the_parser_panic(text: String) {
            let _ = parse_journal(&text);
        }
    }
}
