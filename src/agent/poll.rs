//! The task that waits for work and takes it in.

use super::backoff::Backoff;
#[cfg(feature = "documents")]
use super::jobs;
use super::modules::Ended;
#[cfg(feature = "session")]
use super::sessions;
use super::{Shared, in_words};
use crate::audit;
use crate::reactor::after;
#[cfg(feature = "documents")]
use crate::spool::{Acceptance, SpoolError};
use crate::spool::{Job, Outcome, Report};
#[cfg(feature = "ssm")]
use crate::uplink::budget::{self, Pressure};
use crate::uplink::{Delivery, UplinkError};
use std::rc::Rc;
use std::time::{Duration, Instant};
use stint_wire::reply::Status;

/// An answer with nothing in it that came sooner than this wasn't waited for by the server.
const QUICK: Duration = Duration::from_secs(1);

/// Then the next poll has to wait for this long, or the two would spin. The original's number.
const PAUSE: Duration = Duration::from_secs(2);

/// Where the day's budget is spent, so much time passes between two polls. A shorter pause saves
/// nothing: after half a minute each poll costs a new connection.
#[cfg(feature = "ssm")]
const SELDOM: Duration = Duration::from_secs(600);

/// Polls for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut backoff = Backoff::default();
    let changed = shared.changes.bell();
    let Some(server) = shared.server.get() else { return Ok(()) };
    loop {
        let began = Instant::now();
        let uplink = server.uplink.clone();
        #[cfg(feature = "ssm")]
        server.board.goes_to(uplink.server());
        match in_words(shared.poll_lane.run(move || uplink.poll()).await) {
            Ok(deliveries) => {
                backoff.succeeded();
                server.board.polled();
                let nothing = deliveries.is_empty();
                for delivery in deliveries {
                    take(&shared, delivery).await;
                }
                // On a channel that is held open the next wait costs nothing.
                if !nothing || server.uplink.pushes() {
                    continue;
                }
                #[cfg(feature = "ssm")]
                if budget::pressure() == Pressure::Spent {
                    backoff.wait(SELDOM, &changed).await;
                    continue;
                }
                if began.elapsed() < QUICK {
                    after(PAUSE).await;
                }
            }
            Err(error) => {
                let wait = backoff.failed(error.is_rejection_of_the_node());
                server.board.failed("poll", &error, wait);
                backoff.wait(wait, &changed).await;
            }
        }
    }
}

async fn take(shared: &Shared, delivery: Delivery) {
    match delivery {
        Delivery::Job(job) => take_job(shared, job).await,
        Delivery::Cancel { receipt, job } => {
            log::info!("job {job} is cancelled by the server");
            audit::record("command.cancelled", shared.link(), &[("id", &job)]);
            #[cfg(feature = "documents")]
            if let Err(error) = jobs::cancel(shared, &job) {
                // Unacknowledged it comes again, and by then the disk may have room for it.
                log::error!("job {job} can't be cancelled: {error}");
                return;
            }
            acknowledge(shared, receipt).await;
        }
        Delivery::Unreadable { receipt, job, reason } => {
            log::warn!("job {job} can't be read: {reason}");
            let outcome = Outcome::ended(Status::Failed, reason);
            if refuse(shared, Report { job, receipt: receipt.clone(), outcome }).await {
                acknowledge(shared, receipt).await;
            }
        }
        #[cfg(feature = "session")]
        Delivery::Session { session, order } => sessions::begin(shared, session, order).await,
        #[cfg(feature = "session")]
        Delivery::EndSession { session } => sessions::end(shared, &session),
        Delivery::Unknown { topic } => log::warn!("a message with topic {topic} was refused"),
    }
}

#[cfg(not(feature = "documents"))]
async fn take_job(shared: &Shared, job: Job) {
    let reason = "This stint was built without documents; it can run no command.".to_owned();
    refuse(shared, Report::on(&job, Outcome::ended(Status::Failed, reason))).await;
}

#[cfg(feature = "documents")]
async fn take_job(shared: &Shared, job: Job) {
    match shared.spool.accept(&job) {
        Ok(Acceptance::New) => {
            log::info!("job {} ({}) accepted", job.id, job.document_name);
            shared.audit_accepted(&job, shared.link());
            shared.jobs.ring();
        }
        // The acknowledgement was lost, or came after the server's patience.
        Ok(Acceptance::Waiting) => {
            shared.jobs.ring();
            acknowledge(shared, job.receipt).await;
        }
        Ok(Acceptance::Known) => acknowledge(shared, job.receipt).await,
        // Not taken and not acknowledged: the server offers it again when there is room.
        Err(SpoolError::Full) => {
            log::warn!("job {} has to wait with the server: too many wait here", job.id)
        }
        Err(error) => {
            log::error!("job {} can't be taken: {error}", job.id);
            let reason = format!("The device can't take the command: {error}.");
            let report = Report::on(&job, Outcome::ended(Status::Failed, reason));
            // Else a server that doesn't take the report for it would offer the job again, which
            // by then might be run.
            if refuse(shared, report).await {
                acknowledge(shared, job.receipt).await;
            }
        }
    }
}

/// Tells the server that a job won't be done here; whether the server has heard it. If not, the
/// job must stay unacknowledged: then it is offered again, and nothing need be kept.
async fn refuse(shared: &Shared, report: Report) -> bool {
    let job = report.job.clone();
    let told = shared.talk(move |uplink| uplink.report(&report)).await;
    if let Err(error) = &told {
        log::warn!("the refusal of job {job} can't be reported: {error}");
    }
    told.is_ok()
}

async fn acknowledge(shared: &Shared, receipt: String) {
    let name = receipt.clone();
    match shared.talk(move |uplink| uplink.acknowledge(&receipt)).await {
        Ok(()) | Err(UplinkError::Refused { .. }) => {}
        Err(error) => log::warn!("{name} can't be acknowledged: {error}"),
    }
}
