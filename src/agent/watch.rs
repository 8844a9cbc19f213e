//! The tasks that watch over one running job each: its worker, its progress, its end.

use super::backoff::Backoff;
use super::turn::Turn;
use super::{Settings, Shared, deliver};
use crate::audit;
use crate::reactor::{after, readable};
use crate::spool::{Job, JobFolder, Outcome, Report};
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::doorbell::{self, Look};
use crate::sys::process::{self, Group};
use crate::sys::{FileError, clock, host};
use std::fs::File;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Workers that may die over one job before the agent gives it up. The original's number.
const MAX_RUNS: usize = 15;

/// While a reboot is awaited this long passes between two looks at what has become of it.
const LOOK: Duration = Duration::from_secs(1);

/// Runs a job that has just got its folder.
pub async fn start(shared: Rc<Shared>, job: Job, folder: JobFolder) {
    to_the_end(&shared, &job, &folder).await;
}

/// Takes over a job whose worker an earlier daemon started; it may still be alive.
pub async fn adopt(shared: Rc<Shared>, job: Job, folder: JobFolder) {
    // Without a doorbell there was never a worker.
    if !matches!(folder.path().join(doorbell::NAME).try_exists(), Ok(false)) {
        until_gone(&shared, &job, &folder, None).await;
    }
    // It may be this process's child, if that has become another program meanwhile.
    if let Some(worker) = folder.journal().worker {
        process::reap(worker.pid);
    }
    to_the_end(&shared, &job, &folder).await;
}

/// Gives the job workers until it is complete, reports and puts it away.
async fn to_the_end(shared: &Shared, job: &Job, folder: &JobFolder) {
    let mut backoff = Backoff::default();
    loop {
        let outcome = folder.outcome();
        let deaths = folder.journal().runs.saturating_sub(outcome.reboots() as usize);
        let outcome = if outcome.complete {
            outcome
        } else if deaths >= MAX_RUNS {
            let word = folder.last_word();
            outcome.given_up(format!(
                "{MAX_RUNS} worker processes died while running this command. {word}"
            ))
        } else if awaits_reboot(&outcome, folder) {
            match no_reboot(shared, job, folder).await {
                Some(reason) => outcome
                    .given_up(format!("A step asked for a reboot (exit code 194), but {reason}.")),
                None => continue,
            }
        } else {
            let result = run_worker(shared, job, folder).await;
            let outcome = folder.outcome();
            if outcome.complete || awaits_reboot(&outcome, folder) {
                continue;
            }
            let wait = backoff.failed(false);
            let seconds = wait.as_secs();
            match result {
                Ok(()) => {
                    let word = folder.last_word();
                    log::warn!("the worker of job {} died; another in {seconds} s. {word}", job.id);
                }
                Err(error) => {
                    log::error!("job {} has no worker: {error}; again in {seconds} s", job.id);
                }
            }
            after(wait).await;
            continue;
        };
        match put_away(shared, job, outcome).await {
            Ok(()) => break,
            Err(error) => {
                // Most often the disk is full. The job's folder keeps what there is to report.
                let wait = backoff.failed(false);
                log::error!(
                    "the end of job {} can't be noted: {error}; again in {} s",
                    job.id,
                    wait.as_secs()
                );
                after(wait).await;
            }
        }
    }
    shared.running.borrow_mut().remove(&job.id);
    shared.jobs.ring();
}

fn awaits_reboot(outcome: &Outcome, folder: &JobFolder) -> bool {
    let wanted = outcome.asks_for_reboot() && !folder.is_cancelled();
    wanted && !outcome.has_rebooted(&host::boot_id())
}

/// Waits for the end of this boot. Comes back with the reason if there won't be one, or without
/// if the job has been cancelled.
async fn no_reboot(shared: &Shared, job: &Job, folder: &JobFolder) -> Option<String> {
    let set = |turn| shared.running.borrow_mut().set(&job.id, turn);
    set(Turn::AwaitsReboot);
    shared.reboot.ring();
    while !folder.is_cancelled() {
        if let Some(Turn::GivenUp(reason)) = shared.running.borrow().of(&job.id) {
            return Some(reason.clone());
        }
        after(LOOK).await;
    }
    set(Turn::Beside);
    None
}

async fn put_away(shared: &Shared, job: &Job, outcome: Outcome) -> Result<(), FileError> {
    let status = outcome.status.clone();
    let report = Report::on(job, outcome);
    // Told at once it needs no place in the outbox: until then the job's folder holds it. That
    // saves flash two files in three.
    let told = shared.is_online() && !shared.is_local(&report.receipt);
    if told && deliver::tell(shared, &report).await.is_ok() {
        shared.outbox.forget(&job.id)?;
    } else {
        shared.report(&report)?;
    }
    shared.spool.complete(&job.id, &status, clock::system())?;
    log::info!("job {} ended: {status}", job.id);
    audit::record("command.ended", "agent", &[("id", &job.id), ("status", &status)]);
    Ok(())
}

async fn run_worker(shared: &Shared, job: &Job, folder: &JobFolder) -> Result<(), FileError> {
    let listener = doorbell::listen(folder.path())?;
    let bell = doorbell::hold(folder.path())?;
    let mut child = spawn(folder.path(), &shared.settings, bell)?;
    until_gone(shared, job, folder, Some(listener)).await;
    // It has closed its end of the doorbell, so it has ended or is just about to.
    let _ = child.wait();
    Ok(())
}

fn spawn(folder: &Path, settings: &Settings, bell: File) -> Result<Child, FileError> {
    // The file this process was started from, even if an update has put another in its place.
    let program = Path::new("/proc/self/exe");
    let mut command = Command::new(program);
    command.arg("worker").arg(folder).current_dir("/");
    command.arg("--state-dir").arg(&settings.state);
    for (option, value) in [("--scripts", &settings.scripts), ("--config", &settings.config)] {
        if let Some(value) = value {
            command.arg(option).arg(value);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::from(bell)).stderr(Stdio::null());
    process::isolate(&mut command, Group::Session).spawn().map_err(FileError::new("start", program))
}

/// Whether the server is told how far a job has come. Its last report says all that.
fn is_worth_telling() -> bool {
    #[cfg(feature = "ssm")]
    return crate::uplink::budget::pressure() < crate::uplink::budget::Pressure::Spent;
    #[cfg(not(feature = "ssm"))]
    true
}

/// Returns when the worker is gone. One that can't be listened to, for want of descriptors or memory, may
/// well be there, and a second one would run the job twice: so nothing but the doorbell says that it is gone.
async fn until_gone(shared: &Shared, job: &Job, folder: &JobFolder, mut listener: Option<File>) {
    let mut backoff = Backoff::default();
    loop {
        let heard = match listener.take().map_or_else(|| doorbell::listen(folder.path()), Ok) {
            Ok(listener) => listen(shared, job, folder, listener).await,
            Err(error) => Err(error.cause),
        };
        let Err(error) = heard else { return };
        let wait = backoff.failed(false);
        let (id, seconds) = (&job.id, wait.as_secs());
        log::error!("the worker of job {id} can't be listened to, again in {seconds} s: {error}");
        after(wait).await;
    }
}

/// Returns when the worker is gone; reports each step that ends before the last.
async fn listen(shared: &Shared, job: &Job, folder: &JobFolder, listener: File) -> io::Result<()> {
    loop {
        match doorbell::look(&listener)? {
            Look::Gone => return Ok(()),
            Look::Quiet => {}
            Look::Rang => {
                let outcome = folder.outcome();
                // The last step's report is the document's, which follows at once.
                if !outcome.complete
                    && is_worth_telling()
                    && let Err(error) = shared.report(&Report::on(job, outcome))
                {
                    log::warn!("progress of job {} can't be reported: {error}", job.id);
                }
            }
        }
        readable(&listener).await;
    }
}
