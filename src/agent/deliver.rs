//! The task that empties the outbox.

use super::Shared;
use super::backoff::Backoff;
use super::modules::Ended;
use crate::spool::{Outcome, Report};
use crate::sys::{FileError, durable, faults};
use crate::uplink::UplinkError;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::reply::Status;

/// Delivers for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut backoff = Backoff::default();
    let changed = shared.changes.bell();
    loop {
        match turn(&shared, &mut backoff).await {
            None => shared.reports.wait().await,
            // A new report doesn't cut the wait short: it would meet the same closed door.
            Some(wait) => backoff.wait(wait, &changed).await,
        }
    }
}

/// Delivers what is there; gives back how long to wait before the rest is tried again.
async fn turn(shared: &Shared, backoff: &mut Backoff) -> Option<Duration> {
    let (mut reports, damaged) = match shared.outbox.reports() {
        Ok(found) => found,
        Err(error) => {
            log::error!("the outbox can't be read: {error}");
            return Some(backoff.failed(false));
        }
    };
    for file in damaged {
        match mend(shared, &file) {
            Ok(report) => reports.extend(report),
            Err(error) => {
                log::error!("{error}");
                return Some(backoff.failed(false));
            }
        }
    }
    for report in reports {
        if let Err(error) = tell(shared, &report).await {
            let wait = backoff.failed(error.is_rejection_of_the_node());
            if let Some(server) = shared.server.get() {
                server.board.failed("report", &error, wait);
            }
            return Some(wait);
        }
        if let Err(error) = shared.outbox.remove(&report) {
            log::warn!("a report that was told can't be removed: {error}");
            return Some(backoff.failed(false));
        }
        backoff.succeeded();
    }
    None
}

/// Puts what is still known in the place of a damaged report: how its job ended. If the job isn't
/// over, its last report will say all that this one said.
fn mend(shared: &Shared, file: &Path) -> Result<Option<Report>, FileError> {
    let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    shared.spool.keep_copy(file, &format!("{name}.report"));
    let Some((job, status)) = shared.spool.ended(&name) else {
        return durable::remove(file).map(|()| None);
    };
    let status = Status::parse(&status).unwrap_or(Status::Failed);
    let trace = "The report of this command was damaged on the device; its output is lost.";
    let outcome = Outcome::ended(status, trace.to_owned());
    let receipt = shared.receipt(&job);
    let report = Report { job, receipt, outcome };
    shared.outbox.put(&report)?;
    Ok(Some(report))
}

/// Tells the server. `Ok` if there is nothing left to tell: it has taken the report, or never
/// will.
pub async fn tell(shared: &Shared, report: &Report) -> Result<(), UplinkError> {
    let mut told = report.clone();
    if told.receipt.is_empty() {
        // It was noted before there was a server to ask.
        told.receipt = shared.receipt(&told.job);
    }
    faults::point("report");
    let told = shared.talk(move |uplink| uplink.report(&told)).await;
    faults::point("reported");
    match told {
        Err(error @ UplinkError::Refused { .. }) if !error.is_rejection_of_the_node() => {
            log::error!("the server won't take the report on job {}: {error}", report.job);
            Ok(())
        }
        other => other,
    }
}
