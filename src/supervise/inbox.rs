//! Jobs from other processes of the agent: the document step `stint:configureAgent`.
//!
//! A file per job, a FIFO as the bell, and a file per answer.

use crate::sys::{FileError, clock, durable, fifo};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use stint_wire::bootagent::{Job, JobResult};
use stint_wire::json;

/// The FIFO that is rung.
const BELL: &str = "bell";

/// An answer that is older than any step's time limit is awaited by nobody, seconds.
const KEPT: u64 = 3 * 24 * 3600;

/// The inbox below a state folder.
pub struct Inbox(PathBuf);

impl Inbox {
    /// The inbox of a state folder.
    pub fn of(state: &Path) -> Inbox {
        Inbox(state.join("supervise").join("inbox"))
    }

    /// The daemon's end of the bell: readable when something came.
    ///
    /// # Errors
    /// The folder or the FIFO can't be made.
    pub fn listen(&self) -> Result<File, FileError> {
        durable::make_folder(&self.0)?;
        durable::sweep(&self.0)?;
        self.sweep();
        let bell = self.0.join(BELL);
        fifo::make(&bell)?;
        fifo::open(&bell, false)
    }

    /// Removes answers that nobody has come for: their worker died.
    fn sweep(&self) {
        for name in durable::list(&self.0).unwrap_or_default() {
            let path = self.0.join(&name);
            let age = fs::metadata(&path).map(|meta| clock::age_of_file(&meta));
            let is_old = age.is_ok_and(|age| age > KEPT);
            if name.ends_with(".result") && is_old {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// Takes the bell's news away.
    pub fn hush(mut bell: &File) {
        let mut news = [0; 64];
        while let Ok(1..) = bell.read(&mut news) {}
    }

    /// The jobs that lie there, each with the name under which its answer is awaited. What makes no
    /// sense is answered at once.
    pub fn jobs(&self) -> Vec<(String, Job)> {
        let names = durable::list(&self.0).unwrap_or_default();
        let mut jobs = Vec::new();
        for name in names.iter().filter_map(|name| name.strip_suffix(".json")) {
            // One that can't be read now is read the next time.
            let Ok(text) = fs::read_to_string(self.job(name)) else { continue };
            let read = json::parse(&text).ok().and_then(|node| Job::read(&node));
            let wrong = match read {
                Some(Ok(job)) => {
                    jobs.push((name.to_owned(), job));
                    continue;
                }
                Some(Err(result)) => result,
                None => JobResult {
                    id: name.to_owned(),
                    errcode: stint_wire::bootagent::report::UNREADABLE,
                    message: "the job has no id or no action".to_owned(),
                },
            };
            if let Err(error) = self.answer(name, &wrong) {
                log::error!("a job in the inbox can't be answered: {error}");
            }
        }
        jobs
    }

    /// Takes a job away that has been accepted.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        durable::remove(&self.job(name))
    }

    /// Answers a job.
    ///
    /// # Errors
    /// The answer can't be written.
    pub fn answer(&self, name: &str, result: &JobResult) -> Result<(), FileError> {
        durable::write(&self.result(name), result.write().as_bytes())?;
        self.remove(name)
    }

    /// Hands a job in, from another process.
    ///
    /// # Errors
    /// It can't be written, or no daemon listens.
    pub fn hand_in(&self, name: &str, job: &Job) -> Result<(), FileError> {
        use std::os::unix::fs::OpenOptionsExt;
        let bell = self.0.join(BELL);
        let mut options = fs::OpenOptions::new();
        // Without a listener this fails, as it should.
        options.write(true).custom_flags(libc::O_NONBLOCK);
        let mut bell = options.open(&bell).map_err(FileError::new("ring", &bell))?;
        durable::write(&self.job(name), job.write().as_bytes())?;
        // A bell that is full has been rung.
        let _ = bell.write(b"1");
        Ok(())
    }

    /// Whether a job's answer lies there.
    pub fn is_answered(&self, name: &str) -> bool {
        self.result(name).exists()
    }

    /// The answer to a job, which is taken away; `None` while there is none.
    ///
    /// # Errors
    /// It can't be read.
    pub fn collect(&self, name: &str) -> Result<Option<JobResult>, FileError> {
        let path = self.result(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::new("read", &path)(error)),
        };
        durable::remove(&path)?;
        Ok(json::parse(&text).ok().and_then(|node| JobResult::read(&node)))
    }

    fn job(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    fn result(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.result"))
    }
}
