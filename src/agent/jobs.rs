//! The task that acknowledges jobs and gives them workers; and their cancellation.

use super::backoff::Backoff;
use super::modules::Ended;
use super::turn::Turn;
use super::{Shared, spawn, watch};
use crate::document;
use crate::reactor::after;
use crate::spool::{Job, Lost, Outcome, Report};
use crate::sys::{FileError, clock, faults, process};
use crate::uplink::UplinkError;
use smol::{LocalExecutor, future};
use std::rc::Rc;
use stint_wire::reply::Status;

/// Brings jobs on their way for ever. Jobs that an earlier daemon had started come first.
pub async fn run(shared: Rc<Shared>, executor: Rc<LocalExecutor<'static>>) -> Ended {
    let mut backoff = Backoff::default();
    // Whether there may be jobs under way that nobody watches.
    let mut strays = true;
    loop {
        let adopted = if strays { adopt(&shared, &executor) } else { Ok(()) };
        let turned = turn(&shared, &executor).await;
        // A start that failed may have come as far as to move its job.
        strays = adopted.is_err() || turned.is_err();
        match adopted.and(turned) {
            Ok(()) => {
                backoff.succeeded();
                shared.jobs.wait().await;
            }
            Err(problem) => {
                let wait = backoff.failed(false);
                log::warn!("{problem}; trying again in {} s", wait.as_secs());
                future::or(after(wait), shared.jobs.wait()).await;
            }
        }
    }
}

fn note_running(shared: &Shared, job: &Job) {
    let alone = document::runs_alone(&job.document);
    let turn = if alone { Turn::Alone } else { Turn::Beside };
    shared.running.borrow_mut().set(&job.id, turn);
}

/// Whether the next job in line has its turn.
fn may_start(shared: &Shared, job: &Job) -> bool {
    let alone = document::runs_alone(&job.document);
    shared.running.borrow().let_in(alone, shared.settings.workers)
}

/// Takes over the jobs under way that nobody watches.
fn adopt(shared: &Rc<Shared>, executor: &LocalExecutor<'static>) -> Result<(), String> {
    let current = shared.spool.current();
    let current =
        current.map_err(|error| format!("jobs under way can't be looked for: {error}"))?;
    for (job, folder) in current {
        if shared.running.borrow().of(&job.id).is_none() {
            log::info!("job {} was under way and is taken over", job.id);
            note_running(shared, &job);
            spawn(executor, watch::adopt(shared.clone(), job, folder));
        }
    }
    Ok(())
}

/// Acknowledges what waits, then starts as many as may run at once, in the order in which they
/// came: none overtakes one that has to wait until it can be alone.
async fn turn(shared: &Rc<Shared>, executor: &LocalExecutor<'static>) -> Result<(), String> {
    let waiting = shared.spool.pending().map_err(|error| error.to_string())?;
    let (mut problem, mut full) = (Ok(()), false);
    for lost in shared.spool.lost().map_err(|error| error.to_string())? {
        let id = lost.id.clone();
        give_up(shared, lost).map_err(|error| format!("job {id} can't be given up: {error}"))?;
    }
    shared.spool.prune_corrupt();
    for job in waiting {
        let known = shared.acknowledged.borrow().contains(&job.id);
        if !known && let Err(error) = acknowledge(shared, &job).await {
            problem = Err(format!("job {} can't be acknowledged: {error}", job.id));
            continue;
        }
        full = full || !may_start(shared, &job);
        if full {
            continue;
        }
        let started = shared.spool.start(&job.id);
        let started =
            started.map_err(|error| format!("job {} can't be started: {error}", job.id))?;
        // None: cancelled, or refused by the server, since the list was made.
        if let Some(folder) = started {
            shared.acknowledged.borrow_mut().retain(|id| *id != job.id);
            note_running(shared, &job);
            spawn(executor, watch::start(shared.clone(), job, folder));
        }
    }
    problem
}

/// Reports a job whose file is damaged: the server must not wait for ever.
fn give_up(shared: &Shared, lost: Lost) -> Result<(), FileError> {
    let Lost { id, mut outcome } = lost;
    if !outcome.complete {
        outcome.complete = true;
        outcome.status = Status::Failed.as_str().to_owned();
        outcome.trace = "The file of this command on the device is damaged. How far it was run is \
                         not known; it is not run again."
            .to_owned();
    }
    let status = outcome.status.clone();
    let receipt = shared.receipt(&id);
    shared.report(&Report { job: id.clone(), receipt, outcome })?;
    shared.spool.complete(&id, &status, clock::system())
}

async fn acknowledge(shared: &Shared, job: &Job) -> Result<(), UplinkError> {
    if shared.is_local(&job.receipt) {
        return Ok(());
    }
    let receipt = job.receipt.clone();
    faults::point("acknowledge");
    match shared.talk(move |uplink| uplink.acknowledge(&receipt)).await {
        Ok(()) => {
            faults::point("acknowledged");
            shared.acknowledged.borrow_mut().push(job.id.clone());
            Ok(())
        }
        Err(error @ UplinkError::Refused { .. }) if !error.is_rejection_of_the_node() => {
            log::warn!("job {} is no longer wanted: {error}", job.id);
            forget(shared, job, "Refused");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn forget(shared: &Shared, job: &Job, status: &str) {
    if let Err(error) = shared.spool.complete(&job.id, status, clock::system()) {
        log::error!("job {} can't be put away: {error}", job.id);
    }
}

/// Stops a job, wherever it is: one that waits never starts, one that runs is killed, and one
/// that is over stays as it is.
///
/// # Errors
/// The wish can't be made durable.
pub fn cancel(shared: &Shared, id: &str) -> Result<(), FileError> {
    if let Some(job) = shared.spool.pending()?.iter().find(|job| job.id == id) {
        let reason = "The command was cancelled before it was started.".to_owned();
        shared.report(&Report::on(job, Outcome::ended(Status::Cancelled, reason)))?;
        shared.spool.complete(id, Status::Cancelled.as_str(), clock::system())?;
        shared.acknowledged.borrow_mut().retain(|known| known != id);
    } else if let Some(folder) = shared.spool.find_current(id) {
        // The marker first: a worker that hasn't noted itself yet will look for it.
        let marked = folder.cancel();
        let worker = folder.journal().worker.filter(|worker| worker.is_alive());
        let stopped = worker.is_some_and(|it| process::signal(it.pid, libc::SIGINT).is_ok());
        // A worker that got the signal needs no marker, for which a full disk may have no room.
        if !stopped {
            return marked;
        }
    }
    Ok(())
}
