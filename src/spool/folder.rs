//! The folder of one job that is being run: shared by the daemon and the worker, and all that
//! either has after a crash.
//!
//! - `job.json`: the job.
//! - `journal`: a line before each thing that must not be done twice, durable before it is done.
//!   A line break comes before it as well: the line before may have been cut short by a full disk.
//! - `outcome.json`: the finished steps, replaced after each.
//! - `cancel`: there when the operator wants it stopped.
//! - `last-word`: why a worker gave up, for the log.
//! - `step-N/`: the files of a step; `stdout` is there once its program has been started.

use super::content::{self, Content};
use super::job::{Job, Outcome};
use super::journal::{self, Journal};
use crate::sys::process::Identity;
use crate::sys::reserve::{self, Reserve};
use crate::sys::{FileError, durable};
use miniserde::json;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The job's name in its folder; the spool moves it there.
pub const JOB: &str = "job.json";
const JOURNAL: &str = "journal";
const OUTCOME: &str = "outcome.json";
const CANCEL: &str = "cancel";
const LAST_WORD: &str = "last-word";

/// In a step's folder: made when its program has been started.
const STDOUT: &str = "stdout";

/// A job's folder.
#[derive(Clone, Debug)]
pub struct JobFolder(PathBuf);

/// From where a worker goes on.
#[derive(Debug)]
pub struct Resume {
    /// What is over.
    pub outcome: Outcome,
    /// How many steps are begun or past. Those of them that `outcome` doesn't know have been
    /// interrupted, or may have been.
    pub started_steps: usize,
    /// The leader of the process group of the last script.
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

    /// What is over so far; a job just begun where there is no file, or none that can be read.
    pub fn outcome(&self) -> Outcome {
        match content::read(&self.0.join(OUTCOME)) {
            Ok(Content::Is(outcome)) => outcome,
            _ => Outcome::begun(),
        }
    }

    /// What earlier workers have left. Where a damaged file leaves a doubt whether a step was
    /// started, it counts as started.
    ///
    /// # Errors
    /// A file is there and the system can't read it: nothing may be run.
    pub fn resume(&self) -> Result<Resume, FileError> {
        let journal = self.read_journal()?;
        let outcome = content::read(&self.0.join(OUTCOME))?;
        let damaged = matches!(outcome, Content::Damaged);
        let outcome = match outcome {
            Content::Is(outcome) => outcome,
            Content::Damaged | Content::Missing => Outcome::begun(),
        };
        let noted = match journal.step {
            // That start ended in the wish for a reboot, and may be followed by another.
            Some((number, reboots)) if reboots < outcome.reboots() => number,
            Some((number, _)) => number.saturating_add(1),
            None => 0,
        };
        let next = outcome.steps.len();
        let started_steps = match (journal.damaged, damaged) {
            (false, _) => noted,
            // The outcome is durable before the next step is started; after a reboot the last one
            // is.
            (true, false) if outcome.asks_for_reboot() => noted.max(next),
            (true, false) => noted.max(next + 1),
            (true, true) => usize::MAX,
        };
        // A journal that has lost its end is not seen to be damaged, but a script leaves files.
        let began = self.step(next).join(STDOUT).exists();
        let started_steps = if began { started_steps.max(next + 1) } else { started_steps };
        Ok(Resume { outcome, started_steps, script: journal.script })
    }

    /// The folder of the files of step `number`, counted from 0.
    pub fn step(&self, number: usize) -> PathBuf {
        self.0.join(format!("step-{number}"))
    }

    /// The files that can't be read as what they should be.
    pub fn damaged(&self) -> Vec<PathBuf> {
        let mut damaged = Vec::new();
        if let Ok(Content::Damaged) = content::read::<Outcome>(&self.0.join(OUTCOME)) {
            damaged.push(self.0.join(OUTCOME));
        }
        if self.journal().damaged {
            damaged.push(self.0.join(JOURNAL));
        }
        damaged
    }

    /// Whether a worker has been at it.
    pub fn was_taken_up(&self) -> bool {
        fs::metadata(self.0.join(JOURNAL)).is_ok_and(|journal| journal.len() > 0)
    }

    /// Replaces what is over so far.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save_outcome(&self, outcome: &Outcome) -> Result<(), FileError> {
        let path = self.0.join(OUTCOME);
        let write = |outcome: &Outcome| {
            let text = json::to_string(outcome);
            self.reserve().spend(|| durable::write(&path, text.as_bytes()))
        };
        match write(outcome) {
            // How it ended is worth more than all that it said.
            Err(error) if reserve::is_full(&error) => write(&outcome.shortened()),
            other => other,
        }
    }

    /// Makes an empty journal, whose name is on disk as soon as the folder is: so a step waits for one file
    /// and not for the folder as well. If that fails the first worker makes it.
    pub fn prepare_journal(&self) {
        let _ = durable::append(&self.0.join(JOURNAL), b"");
    }

    /// Notes that a worker takes the job. It must listen to signals by then.
    ///
    /// # Errors
    /// The journal can't be written.
    pub fn note_run(&self, worker: Option<Identity>) -> Result<(), FileError> {
        let line =
            worker.map_or("\nrun\n".to_owned(), |w| format!("\nrun {} {}\n", w.pid, w.started));
        let journal = self.0.join(JOURNAL);
        // What a step notes counts on the journal's name being on disk.
        let add = if journal.exists() { durable::append } else { durable::append_durably };
        self.reserve().spend(|| add(&journal, line.as_bytes()))
    }

    /// Notes that step `number`, counted from 0, is about to be started, after so many reboots
    /// asked for by steps. Only when this has returned may it be. [`JobFolder::note_run`] comes first.
    ///
    /// # Errors
    /// The journal can't be written; the step must not be started.
    pub fn note_step(&self, number: usize, reboots: u32) -> Result<(), FileError> {
        // The full stop tells a whole line from one that was cut short.
        let line = format!("\nstep {number} {reboots}.\n");
        durable::append_to_known(&self.0.join(JOURNAL), line.as_bytes())
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

    /// Reads the journal; an empty one where there is none, or none that can be read.
    pub fn journal(&self) -> Journal {
        self.read_journal().unwrap_or_default()
    }

    fn read_journal(&self) -> Result<Journal, FileError> {
        let path = self.0.join(JOURNAL);
        match fs::read(&path) {
            Ok(bytes) => Ok(journal::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Journal::default()),
            Err(error) => Err(FileError::new("read", &path)(error)),
        }
    }

    /// Notes that the operator wants it stopped.
    ///
    /// # Errors
    /// The marker can't be written.
    pub fn cancel(&self) -> Result<(), FileError> {
        self.reserve().spend(|| durable::write(&self.0.join(CANCEL), b""))
    }

    /// The spool's reserve, two folders up.
    fn reserve(&self) -> Reserve {
        // A folder of `stint run-document` is in no spool, and has none.
        let current = self.0.parent().filter(|parent| parent.ends_with("current"));
        Reserve::of(current.and_then(Path::parent).unwrap_or(&self.0))
    }

    /// Whether the operator wants it stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.join(CANCEL).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Reboot;
    use crate::testing::Folder;

    #[test]
    fn a_journal_tells_what_was_begun() {
        let folder = Folder::new();
        let job = JobFolder::at(folder.path());
        assert_eq!(job.journal(), Journal::default());
        let (worker, script) = (Identity { pid: 5, started: 6 }, Identity { pid: 7, started: 8 });
        job.note_run(None).unwrap();
        job.note_run(Some(worker)).unwrap();
        // Step 0 was skipped.
        job.note_step(1, 0).unwrap();
        job.note_script(script).unwrap();
        let (worker, script) = (Some(worker), Some(script));
        let journal = Journal { runs: 2, worker, step: Some((1, 0)), script, damaged: false };
        assert_eq!(job.journal(), journal);
    }

    #[test]
    fn what_is_noted_after_a_line_cut_short_is_told_from_it() {
        let folder = Folder::new();
        let job = JobFolder::at(folder.path());
        fs::write(folder.path().join(JOURNAL), "run 1 2\nscr").unwrap();
        let worker = Some(Identity { pid: 5, started: 6 });
        job.note_run(worker).unwrap();
        job.note_step(0, 0).unwrap();
        let journal = Journal { runs: 2, worker, step: Some((0, 0)), script: None, damaged: false };
        assert_eq!(job.journal(), journal);
    }

    fn resumed(journal: &[u8], outcome: &[u8]) -> Option<usize> {
        let folder = Folder::new();
        fs::write(folder.path().join(JOURNAL), journal).unwrap();
        if !outcome.is_empty() {
            fs::write(folder.path().join(OUTCOME), outcome).unwrap();
        }
        JobFolder::at(folder.path()).resume().ok().map(|resume| resume.started_steps)
    }

    #[test]
    fn where_a_damaged_file_leaves_a_doubt_the_step_counts_as_started() {
        assert_eq!(resumed(b"\nrun 1 2\n", b""), Some(0));
        for cut in ["s", "st", "step", "step ", "step 1", "step 1 0", "\0\0\0", "nonsense"] {
            assert_eq!(resumed(format!("\nrun 1 2\n\n{cut}\n").as_bytes(), b""), Some(1), "{cut}");
        }
        for harmless in ["r", "ru", "run", "run 1", "sc", "script", "script 1"] {
            let journal = format!("\nrun 1 2\n\n{harmless}\n");
            assert_eq!(resumed(journal.as_bytes(), b""), Some(0), "{harmless}");
        }
        assert_eq!(resumed(b"\nstep 2 0.\n", b"garbage"), Some(3));
        assert_eq!(resumed(b"\nstep 2 0.\n\xff\xfe", b"{\"comp"), Some(usize::MAX));
    }

    #[test]
    fn a_step_that_asked_for_a_reboot_may_be_started_once_more_and_not_twice() {
        let folder = Folder::new();
        let job = JobFolder::at(folder.path());
        let mut outcome = Outcome::begun();
        outcome.reboot = Some(Reboot { count: 1, boot: "b".into() });
        job.save_outcome(&outcome).unwrap();
        job.note_step(3, 0).unwrap();
        assert_eq!(job.resume().unwrap().started_steps, 3);
        job.note_step(3, 1).unwrap();
        assert_eq!(job.resume().unwrap().started_steps, 4);
    }

    #[test]
    fn a_journal_that_lost_its_end_does_not_hide_a_script_that_was_begun() {
        let folder = Folder::new();
        let job = JobFolder::at(folder.path());
        job.note_run(Identity::of(1)).unwrap();
        job.note_step(0, 0).unwrap();
        fs::create_dir(job.step(0)).unwrap();
        fs::write(job.step(0).join(STDOUT), "").unwrap();
        let whole = fs::read(folder.path().join(JOURNAL)).unwrap();
        for length in 0..=whole.len() {
            fs::write(folder.path().join(JOURNAL), &whole[..length]).unwrap();
            assert_eq!(job.resume().unwrap().started_steps, 1, "{length}");
        }
    }

    #[test]
    fn a_file_that_the_system_cannot_read_stops_the_job_rather_than_count_as_empty() {
        let folder = Folder::new();
        fs::create_dir(folder.path().join(JOURNAL)).unwrap();
        assert!(JobFolder::at(folder.path()).resume().is_err());
    }
}
