//! `stint worker`: runs one job in a process of its own, so that nothing a script does can harm
//! the daemon.
//!
//! Never here: the daemon's memory. A worker knows its job's folder, and how to reach the network
//! if a step needs it (`document::remote`); it outlives the daemon, and a later worker can go on
//! where it was killed. Its standard output is the doorbell by which the daemon hears of it
//! (`sys::doorbell`).

mod output;

use crate::document::remote::{Patience, Remote, RemoteError, Stop};
use crate::document::{
    Context, Document, Ended, Flow, Next, RESOLVE_LIMIT, ReferenceError, Signals, Step,
    check_values, goes_on, run,
};
use crate::spool::{Job, JobFolder, Outcome, Reboot, StepOutcome};
use crate::sys::process::{self, Identity};
use crate::sys::{FileError, clock, durable, faults, host};
use output::Delivery;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use stint_wire::reply::{Status, limit_stream};

/// After this many reboots the next step that asks for one fails. The original stops here as
/// well, without a word.
const MAX_REBOOTS: u32 = 15;

/// The code of a step that was cancelled before it was started.
const NOT_STARTED: i32 = 1;

/// Why a worker gives up. The daemon sees only that it is gone and that its job isn't complete.
#[derive(Debug)]
pub enum WorkerError {
    /// There is no job to be read in the folder.
    NoJob(PathBuf),
    /// A file of the job can't be written; most often the disk is full.
    File(FileError),
    /// Signals can't be caught.
    Signals(io::Error),
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkerError::NoJob(path) => write!(f, "there is no job in {}", path.display()),
            WorkerError::File(cause) => write!(f, "{cause}"),
            WorkerError::Signals(cause) => write!(f, "can't catch signals: {cause}"),
        }
    }
}

impl std::error::Error for WorkerError {}

impl From<FileError> for WorkerError {
    fn from(cause: FileError) -> WorkerError {
        WorkerError::File(cause)
    }
}

/// What a worker may use besides its job's folder.
pub struct Means<'a> {
    /// Where scripts are written; beside the job if there is none.
    pub scripts: Option<&'a Path>,
    /// The network; see [`remote`].
    pub remote: &'a dyn Remote,
    /// The agent's state folder; the usual one if nobody says.
    pub state: Option<&'a Path>,
}

/// The way to the network with the configuration in `config`, or the usual one, and the
/// registration in `state`, or in the folder that the configuration names. Nothing is read before
/// a step needs it.
pub fn remote(config: Option<&Path>, state: Option<&Path>) -> Box<dyn Remote> {
    #[cfg(feature = "ssm")]
    return Box::new(crate::uplink::remote::Network::new(config, state));
    #[cfg(not(feature = "ssm"))]
    {
        let _ = (config, state);
        Box::new(crate::document::remote::Nowhere)
    }
}

/// Runs the job in `folder` to its end, from wherever an earlier worker left it. After each step
/// `bell` gets a byte; nobody need be there to hear it.
///
/// # Errors
/// See [`WorkerError`]; what is over is on disk all the same.
pub fn work(folder: &Path, means: &Means<'_>, bell: &mut dyn Write) -> Result<(), WorkerError> {
    let folder = JobFolder::at(folder);
    let result = take_up(folder.clone(), means, bell);
    if let Err(error) = &result {
        // Nobody reads what a worker says, so the daemon finds its last words here.
        folder.leave_word(&error.to_string());
    }
    result
}

fn take_up(folder: JobFolder, means: &Means<'_>, bell: &mut dyn Write) -> Result<(), WorkerError> {
    if let Some(scripts) = means.scripts {
        durable::make_folder(scripts)?;
    }
    let signals = Signals::catch().map_err(WorkerError::Signals)?;
    let job = folder.job().ok_or_else(|| WorkerError::NoJob(folder.path().to_owned()))?;
    let resume = folder.resume()?;
    if let Some(script) = resume.script.filter(|script| script.is_alive()) {
        // Its worker was killed and couldn't end it.
        let _ = process::kill_group(script.pid);
    }
    folder.note_run(Identity::of(std::process::id()))?;
    let mut worker = Worker {
        outcome: resume.outcome,
        started: resume.started_steps,
        flow: Flow::default(),
        means,
        folder,
        job,
        signals,
    };
    if worker.outcome.complete { Ok(()) } else { worker.run(bell) }
}

struct Worker<'a> {
    folder: JobFolder,
    job: Job,
    outcome: Outcome,
    /// Steps that earlier workers have passed, whether or not they are over.
    started: usize,
    flow: Flow,
    means: &'a Means<'a>,
    signals: Signals,
}

impl Worker<'_> {
    fn run(&mut self, bell: &mut dyn Write) -> Result<(), WorkerError> {
        let document = match self.document() {
            Ok(document) => document,
            Err(reason) => {
                self.outcome = Outcome::ended(Status::Failed, reason);
                return Ok(self.folder.save_outcome(&self.outcome)?);
            }
        };
        if self.outcome.asks_for_reboot() {
            if !self.folder.is_cancelled() && !self.outcome.has_rebooted(&host::boot_id()) {
                return Ok(());
            }
            match self.outcome.steps.last_mut() {
                Some(step) if self.folder.is_cancelled() => step.cancel_before_reboot(),
                _ => drop(self.outcome.steps.pop()),
            }
            self.outcome.status = Status::InProgress.as_str().to_owned();
        }
        let count = document.steps.len();
        for (number, step) in document.steps.iter().enumerate() {
            let outcome = match self.outcome.steps.get(number) {
                Some(known) => {
                    self.flow.ended(step, known.status(), known.code);
                    if number + 1 == count {
                        self.complete();
                        self.folder.save_outcome(&self.outcome)?;
                    }
                    continue;
                }
                // Whoever comes after the reboot goes on here.
                None if self.is_going_down() => return Ok(()),
                None => self.step(number, step, number + 1 == count)?,
            };
            let reboot = outcome.status() == Status::SuccessAndReboot;
            self.outcome.steps.push(outcome);
            if reboot {
                self.outcome.status = Status::SuccessAndReboot.as_str().to_owned();
                let count = self.outcome.reboots() + 1;
                self.outcome.reboot = Some(Reboot { count, boot: host::boot_id() });
            } else if number + 1 == count {
                self.complete();
            }
            self.save_and_deliver(number, step)?;
            let _ = bell.write_all(b".").and_then(|()| bell.flush());
            if reboot {
                break;
            }
        }
        Ok(())
    }

    fn complete(&mut self) {
        self.outcome.complete = true;
        let statuses = self.outcome.steps.iter().map(StepOutcome::status);
        self.outcome.status = Status::of_document(statuses).as_str().to_owned();
    }

    fn is_going_down(&self) -> bool {
        self.signals.is_cancelled() && self.signals.is_going_down() && !self.folder.is_cancelled()
    }

    fn document(&self) -> Result<Document, String> {
        let (text, given) = (&self.job.document, &self.job.parameters);
        let document = Document::parse(text, given).map_err(|error| error.to_string())?;
        // Once a step has been started the values have been found good. One that asked for a reboot
        // was.
        if self.started == 0 && self.outcome.reboots() == 0 {
            let patience = Patience::new(&self.signals, RESOLVE_LIMIT);
            match check_values(text, given, self.means.remote, &patience) {
                // Nobody waits for the values any more: each step will say so.
                Ok(()) | Err(ReferenceError::Remote(RemoteError::Stopped(Stop::Cancelled))) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(document)
    }

    /// Makes the last result durable, and then sends its output to where the job wants it.
    fn save_and_deliver(&mut self, number: usize, step: &Step) -> Result<(), WorkerError> {
        let (job, folder) = (&self.job, self.folder.step(number));
        let delivery = match self.outcome.steps.last_mut() {
            // A step that wasn't run has no folder, and nothing to send.
            Some(result) if folder.is_dir() => {
                let delivery = Delivery::of(job, step, result, folder);
                if let Some(delivery) = &delivery {
                    delivery.announce(result);
                }
                delivery
            }
            _ => None,
        };
        self.folder.save_outcome(&self.outcome)?;
        if let (Some(delivery), Some(result)) = (delivery, self.outcome.steps.last_mut()) {
            delivery.carry_out(self.means.remote, result);
            self.folder.save_outcome(&self.outcome)?;
        }
        Ok(())
    }

    fn step(&mut self, number: usize, step: &Step, last: bool) -> Result<StepOutcome, WorkerError> {
        let started = clock::system();
        let ended = if number < self.started && !goes_on(&step.plugin) {
            self.interrupted(number)
        } else if self.signals.is_cancelled() || self.folder.is_cancelled() {
            let stderr = "The step was cancelled before it was started.".to_owned();
            Ended { status: Status::Cancelled, code: NOT_STARTED, stdout: String::new(), stderr }
        } else {
            match self.flow.next(step, last) {
                Next::Run => match self.execute(number, step)? {
                    ended if ended.status == Status::Cancelled && self.is_going_down() => {
                        self.interrupted(number)
                    }
                    ended => self.no_endless_reboots(ended),
                },
                Next::Skip(why) => {
                    Ended { status: Status::Skipped, code: 0, stdout: why, stderr: String::new() }
                }
                Next::Fail(why) => Ended::failed(why),
            }
        };
        let (status, code) = self.flow.ended(step, ended.status, ended.code);
        let forgiven = status == Status::Success && ended.status == Status::Failed;
        Ok(StepOutcome {
            name: step.name.clone(),
            plugin: step.plugin.clone(),
            status: status.as_str().to_owned(),
            code,
            started: started.iso(),
            ended: clock::system().iso(),
            stdout: ended.stdout,
            // A failure that the document turns into a success leaves no error behind.
            stderr: if forgiven { String::new() } else { ended.stderr },
            uploaded: None,
        })
    }

    /// A step that can't see that it has been done would keep the device rebooting for ever.
    fn no_endless_reboots(&self, ended: Ended) -> Ended {
        if ended.status != Status::SuccessAndReboot || self.outcome.reboots() < MAX_REBOOTS {
            return ended;
        }
        let remark = format!(
            "stint: the step asks for a reboot after {MAX_REBOOTS} reboots; it is not done again"
        );
        let stderr = limit_stream(&format!("{}{remark}", ended.stderr));
        Ended { status: Status::Failed, stderr, ..ended }
    }

    fn execute(&mut self, number: usize, step: &Step) -> Result<Ended, WorkerError> {
        let path = self.folder.step(number);
        // The step's files are for its own time; after a power cut nobody looks for them.
        faults::attempt("make", &path, || fs::create_dir_all(&path))?;
        // Only now may the step be started: whoever comes after us can tell that it was.
        self.folder.note_step(number, self.outcome.reboots())?;
        let folder = &self.folder;
        let mut begun = |script| {
            faults::point("script begun");
            // Without it a killed worker's script would go on; the step itself is noted already.
            let _ = folder.note_script(script);
        };
        let script = self.script(&path);
        let mut context = Context {
            command: &self.job.id,
            node: &self.job.node,
            region: &self.job.region,
            folder: &path,
            script: &script,
            downloads: &folder.path().join("downloads"),
            directory: Path::new("/"),
            way: "",
            depth: 0,
            deadline: None,
            remote: self.means.remote,
            state: self.means.state,
            signals: &mut self.signals,
            begun: &mut begun,
        };
        let ended = run(step, &mut context);
        faults::point("script ended");
        Ok(ended)
    }

    /// A step that an earlier worker started and didn't bring to its end. It isn't run again:
    /// nobody can know how far it came.
    fn interrupted(&self, number: usize) -> Ended {
        let path = self.folder.step(number);
        let output = |name| {
            let bytes = fs::read(path.join(name)).unwrap_or_default();
            limit_stream(&String::from_utf8_lossy(&bytes))
        };
        // Its worker couldn't remove it.
        for extension in ["sh", "ps1"] {
            let _ = fs::remove_file(self.script(&path).with_extension(extension));
        }
        let cancelled = self.folder.is_cancelled();
        let status = if cancelled { Status::Cancelled } else { Status::Failed };
        let remark = "stint: the step was interrupted (its process was killed or the device lost \
                      power) and is not run again";
        let stderr = limit_stream(&format!("{}{remark}", output("stderr")));
        Ended { status, code: 1, stdout: output("stdout"), stderr }
    }

    /// Where the step's script goes. A worker runs one at a time, and no two are on one job, so
    /// the name of the job's folder is enough.
    fn script(&self, step: &Path) -> PathBuf {
        match (self.means.scripts, self.folder.path().file_name()) {
            (Some(scripts), Some(job)) => scripts.join(job).with_extension("sh"),
            _ => step.join("_script.sh"),
        }
    }
}

#[cfg(test)]
mod tests;
