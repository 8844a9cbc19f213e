//! The four folders of the spool and the ways between them.

use super::content::{self, Content};
use super::corrupt::Corrupt;
use super::file_name;
use super::folder::{JOB, JobFolder};
use super::job::{Job, Outcome};
use super::retention::{self, Kept, Retention};
use crate::sys::reserve::{self, Reserve};
use crate::sys::{FileError, durable};
use miniserde::{Deserialize, Serialize, json};
use std::cell::Cell;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use stint_wire::time::Utc;

/// Jobs that may wait at once. More stay with the server, unacknowledged.
const MAX_PENDING: usize = 64;

/// A job larger than this isn't taken, bytes: documents of AWS are at most 64 KiB, parameters
/// come on top.
pub const MAX_JOB: usize = 256 * 1024;

/// The spool of one state folder.
#[derive(Clone, Debug)]
pub struct Spool {
    pending: PathBuf,
    current: PathBuf,
    completed: PathBuf,
    corrupt: Corrupt,
    reserve: Reserve,
    retention: Retention,
    /// Nothing is known before the first job has ended.
    kept: Cell<Option<Kept>>,
}

/// What became of a job that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is durable now and waits for its turn.
    New,
    /// It has been accepted before and still waits.
    Waiting,
    /// It has been accepted before, and started or ended.
    Known,
}

/// Why a job can't be taken.
#[derive(Debug)]
pub enum SpoolError {
    /// The disk: most often full, or read-only.
    File(FileError),
    /// Too many jobs wait.
    Full,
    /// The disk has no room for what would become of the job.
    NoRoom(FileError),
    /// The job is too large.
    TooLarge,
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolError::File(cause) => write!(f, "{cause}"),
            SpoolError::Full => write!(f, "{MAX_PENDING} jobs wait already"),
            SpoolError::NoRoom(cause) => write!(f, "its disk is full: {cause}"),
            SpoolError::TooLarge => {
                write!(f, "the document and its parameters exceed {MAX_JOB} bytes")
            }
        }
    }
}

impl std::error::Error for SpoolError {}

impl From<FileError> for SpoolError {
    fn from(cause: FileError) -> SpoolError {
        SpoolError::File(cause)
    }
}

/// How many jobs are where.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wait for their turn.
    pub pending: usize,
    /// Are being run.
    pub running: usize,
    /// Are over and still remembered.
    pub completed: usize,
}

#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    status: String,
    finished: String,
}

/// A job that was accepted and whose file is damaged.
#[derive(Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its id.
    pub id: String,
    /// What is known to be over.
    pub outcome: Outcome,
}

impl Spool {
    /// The spool below a state folder; its folders are made and cleared of half-written files.
    ///
    /// # Errors
    /// A folder can't be made or read.
    pub fn open(state: &Path) -> Result<Spool, FileError> {
        let spool = Spool::at(state);
        for folder in [&spool.pending, &spool.current, &spool.completed, spool.corrupt.path()] {
            durable::make_folder(folder)?;
            durable::sweep(folder)?;
        }
        if let Err(error) = spool.reserve.fill() {
            log::warn!("no new job is taken until the disk has room: {error}");
        }
        Ok(spool)
    }

    fn at(state: &Path) -> Spool {
        let root = state.join("spool");
        Spool {
            pending: root.join("pending"),
            current: root.join("current"),
            completed: root.join("completed"),
            corrupt: Corrupt::at(&root.join("corrupt")),
            reserve: Reserve::of(&root),
            retention: Retention::default(),
            kept: Cell::default(),
        }
    }

    /// The same spool, which keeps that much of finished jobs.
    pub fn keeping(self, retention: Retention) -> Spool {
        Spool { retention, ..self }
    }

    /// Counts the jobs of a state folder without touching it.
    pub fn count(state: &Path) -> Counts {
        let spool = Spool::at(state);
        let count = |folder| durable::list(folder).map_or(0, |names| names.len());
        let records = durable::list(&spool.completed).unwrap_or_default().into_iter();
        Counts {
            pending: count(&spool.pending),
            running: count(&spool.current),
            completed: records.filter(|name| name.ends_with(".json")).count(),
        }
    }

    /// Takes a job, once and for all: when this returns it survives a power cut.
    ///
    /// # Errors
    /// See [`SpoolError`]; the job has not been taken.
    pub fn accept(&self, job: &Job) -> Result<Acceptance, SpoolError> {
        let name = file_name(&job.id);
        let waiting = durable::list(&self.pending)?;
        if waiting.iter().any(|file| pending_name(file) == Some(&name)) {
            return Ok(Acceptance::Waiting);
        }
        if self.current.join(&name).exists() || self.record(&name).exists() {
            return Ok(Acceptance::Known);
        }
        if waiting.len() >= MAX_PENDING {
            return Err(SpoolError::Full);
        }
        let text = json::to_string(job);
        if text.len() > MAX_JOB {
            return Err(SpoolError::TooLarge);
        }
        // Without a reserve it couldn't be noted what became of it.
        self.reserve.fill().map_err(SpoolError::NoRoom)?;
        let last = waiting.iter().filter_map(|file| sequence(file)).max().unwrap_or(0);
        let file = format!("{:016x}-{name}.json", last + 1);
        let path = self.pending.join(file);
        if let Err(error) = durable::write(&path, text.as_bytes()) {
            // If only the last fsync failed the file is there, and the job, which is refused now,
            // would be run all the same.
            let _ = fs::remove_file(&path);
            return Err(no_room(error));
        }
        Ok(Acceptance::New)
    }

    /// The jobs that wait, oldest first. What can't be read is set aside; what has been started or
    /// is over, and is still here because of a power cut, is removed.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn pending(&self) -> Result<Vec<Job>, FileError> {
        let mut jobs = Vec::new();
        for file in durable::list(&self.pending)? {
            let path = self.pending.join(&file);
            if pending_name(&file).is_some_and(|name| self.is_past_pending(name)) {
                let _ = durable::remove(&path);
                continue;
            }
            match content::read(&path) {
                Ok(Content::Is(job)) => jobs.push(job),
                Ok(Content::Damaged) => self.corrupt.set_aside(&path),
                Ok(Content::Missing) => {}
                Err(error) => log::error!("{error}"),
            }
        }
        Ok(jobs)
    }

    /// Gives a waiting job its folder, for a worker to run it in. `None` if it doesn't wait.
    ///
    /// # Errors
    /// The folder can't be made, and the job still waits; or it isn't certain that the move is on
    /// disk, and [`Spool::current`] lists the job.
    pub fn start(&self, id: &str) -> Result<Option<JobFolder>, FileError> {
        let Some(path) = self.find_pending(id)? else { return Ok(None) };
        let folder = self.current.join(file_name(id));
        durable::make_folder(&folder)?;
        let job = JobFolder::at(&folder);
        job.prepare_journal();
        durable::move_into(&path, &folder.join(JOB))?;
        Ok(Some(job))
    }

    /// The folders of jobs that have been started and are not over. What can't be read is set
    /// aside; a folder that never got its job, or has lost it at its end, is removed.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn current(&self) -> Result<Vec<(Job, JobFolder)>, FileError> {
        let mut jobs = Vec::new();
        for name in durable::list(&self.current)? {
            let path = self.current.join(&name);
            let folder = JobFolder::at(&path);
            match content::read(&path.join(JOB)) {
                Ok(Content::Is(job)) => {
                    for damaged in folder.damaged() {
                        let file = damaged.file_stem().unwrap_or_default().to_string_lossy();
                        self.corrupt.keep_copy(&damaged, &format!("{name}.{file}"));
                    }
                    jobs.push((job, folder));
                }
                Ok(Content::Damaged) => self.corrupt.set_aside(&path),
                Ok(Content::Missing) if folder.was_taken_up() && !self.is_known(&name)? => {
                    self.corrupt.set_aside(&path);
                }
                Ok(Content::Missing) => {
                    if let Err(cause) = fs::remove_dir_all(&path) {
                        log::error!("{}", FileError::new("remove", &path)(cause));
                    }
                }
                Err(error) => log::error!("{error}"),
            }
        }
        Ok(jobs)
    }

    /// The jobs whose file was set aside and whose end nobody has noted yet with
    /// [`Spool::complete`]. One whose id doesn't show in its file's name can't be told.
    ///
    /// # Errors
    /// A folder can't be read.
    pub fn lost(&self) -> Result<Vec<Lost>, FileError> {
        let mut lost: Vec<Lost> = Vec::new();
        for (name, outcome) in self.corrupt.jobs()? {
            let told = lost.iter().any(|known| known.id == name) || self.is_known(&name)?;
            // A digest of an id doesn't tell it.
            if !told && name.len() != DIGEST && !self.current.join(&name).join(JOB).exists() {
                lost.push(Lost { id: name, outcome });
            }
        }
        Ok(lost)
    }

    /// The id and the status of a job that is over and remembered, by the name of its files.
    pub fn ended(&self, name: &str) -> Option<(String, String)> {
        match content::read::<Record>(&self.record(name)) {
            Ok(Content::Is(record)) => Some((record.id, record.status)),
            _ => None,
        }
    }

    /// The folder of a job that has been started.
    pub fn find_current(&self, id: &str) -> Option<JobFolder> {
        let path = self.current.join(file_name(id));
        path.exists().then(|| JobFolder::at(&path))
    }

    /// Remembers that a job is over and removes what it left. Its report must be durable
    /// elsewhere by then.
    ///
    /// # Errors
    /// The record can't be written; the job still counts as not over.
    pub fn complete(&self, id: &str, status: &str, now: Utc) -> Result<(), FileError> {
        let name = file_name(id);
        let record = Record { id: id.into(), status: status.into(), finished: now.iso() };
        let text = json::to_string(&record);
        self.reserve.spend(|| durable::write(&self.record(&name), text.as_bytes()))?;
        if let Some(path) = self.find_pending(id)? {
            durable::remove(&path)?;
        }
        let folder = self.current.join(&name);
        if folder.exists() {
            // The job first, as its folder can't go all at once: without its journal a job would
            // look as if it had never been run. What is left is removed at the next start.
            durable::remove(&folder.join(JOB))?;
            retention::keep_output(&folder, &self.completed.join(&name));
        }
        let (completed, keep) = (&self.completed, self.retention);
        let counted = self.kept.get().and_then(|kept| kept.with(completed, &name, keep));
        self.kept.set(counted.or_else(|| retention::prune(completed, &name, keep)));
        if let Err(error) = self.reserve.fill() {
            log::warn!("no new job is taken until the disk has room: {error}");
        }
        Ok(())
    }

    fn is_past_pending(&self, name: &str) -> bool {
        self.current.join(name).join(JOB).exists() || self.record(name).exists()
    }

    /// Whether it is over, or waits.
    fn is_known(&self, name: &str) -> Result<bool, FileError> {
        let waits = |file: &String| pending_name(file) == Some(name);
        Ok(self.record(name).exists() || durable::list(&self.pending)?.iter().any(waits))
    }

    fn record(&self, name: &str) -> PathBuf {
        retention::record(&self.completed, name)
    }

    fn find_pending(&self, id: &str) -> Result<Option<PathBuf>, FileError> {
        let name = file_name(id);
        let files = durable::list(&self.pending)?;
        let found = files.iter().find(|file| pending_name(file) == Some(&name));
        Ok(found.map(|file| self.pending.join(file)))
    }

    /// Forgets the oldest of what was set aside; to be called when nothing of it is
    /// [`Spool::lost`].
    pub fn prune_corrupt(&self) {
        self.corrupt.prune();
    }

    /// Keeps a copy, under that name, of what is damaged and still has to stay where it is.
    pub fn keep_copy(&self, path: &Path, name: &str) {
        self.corrupt.keep_copy(path, name);
    }
}

fn no_room(error: FileError) -> SpoolError {
    if reserve::is_full(&error) { SpoolError::NoRoom(error) } else { SpoolError::File(error) }
}

/// The job's name in the name of a file in `pending/`: 16 digits, a hyphen, the name, `.json`.
pub(super) fn pending_name(file: &str) -> Option<&str> {
    file.strip_suffix(".json")?.get(17..)
}

/// Names this long are digests of ids (`file_name`).
const DIGEST: usize = 64;

fn sequence(file: &str) -> Option<u64> {
    u64::from_str_radix(file.get(..16)?, 16).ok()
}

#[cfg(test)]
mod tests;
