//! The task that empties the outbox.

use super::Shared;
use super::backoff::{self, Backoff};
use super::modules::Ended;
use crate::spool::{Outcome, Report};
use crate::sys::{FileError, durable, faults};
use crate::uplink::UplinkError;
use smol::future::or;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};
use stint_wire::reply::Status;

/// So many reports in a row that aren't taken are enough for one round: whatever stands between here and the
/// server takes the next ones no better.
const IN_A_ROW: usize = 3;

/// What is tried again, and when.
#[derive(Default)]
struct Rounds {
    /// After a round that came to nothing.
    backoff: Backoff,
    /// Reports that weren't taken as they are, by their jobs' ids.
    refused: Vec<Refused>,
}

/// A report that got an answer, and not from a server that took it: a proxy finds it too large, or a page of the
/// Web came back.
struct Refused {
    job: String,
    backoff: Backoff,
    again: Instant,
}

/// What to wait for.
enum Next {
    /// A new report.
    News,
    /// A new report, the time to try one again, or a change of the network, which may be the end of what
    /// refused it.
    Either(Duration),
    /// The time alone: a new report would meet the same closed door.
    Time(Duration),
}

/// Delivers for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut rounds = Rounds::default();
    let changed = shared.changes.bell();
    loop {
        let news = async {
            shared.reports.wait().await;
            false
        };
        let is_change = match turn(&shared, &mut rounds).await {
            Next::News => news.await,
            Next::Either(wait) => or(news, backoff::pause(wait, &changed)).await,
            Next::Time(wait) => rounds.backoff.wait(wait, &changed).await,
        };
        if is_change {
            rounds.changed(Instant::now());
        }
    }
}

/// Delivers what is there.
async fn turn(shared: &Shared, rounds: &mut Rounds) -> Next {
    let (mut reports, damaged) = match shared.outbox.reports() {
        Ok(found) => found,
        Err(error) => {
            log::error!("the outbox can't be read: {error}");
            return Next::Time(rounds.backoff.failed(false));
        }
    };
    for file in damaged {
        match mend(shared, &file) {
            Ok(report) => reports.extend(report),
            Err(error) => {
                log::error!("{error}");
                return Next::Time(rounds.backoff.failed(false));
            }
        }
    }
    rounds.refused.retain(|it| reports.iter().any(|report| report.job == it.job));
    // Those that weren't tried yet come first: three that nobody takes must not stand before them for ever.
    reports.sort_by_key(|report| rounds.refused.iter().any(|it| it.job == report.job));
    let mut in_a_row = 0;
    for report in reports {
        let now = Instant::now();
        if rounds.refused.iter().any(|it| it.job == report.job && it.again > now) {
            continue;
        }
        match tell(shared, &report).await {
            Ok(()) => {}
            Err(error) if is_about_the_report(&error) => {
                let wait = rounds.refuse(&report.job, now);
                let (job, seconds) = (&report.job, wait.as_secs());
                log::warn!("the report on job {job} isn't taken, again in {seconds} s: {error}");
                #[cfg(feature = "ssm")]
                if let Some(server) = shared.server.get() {
                    server.board.met(&error);
                }
                in_a_row += 1;
                if in_a_row == IN_A_ROW {
                    // Those behind come first in the next round.
                    return Next::Time(rounds.backoff.failed(false));
                }
                continue;
            }
            Err(error) => {
                let wait = rounds.backoff.failed(error.is_rejection_of_the_node());
                if let Some(server) = shared.server.get() {
                    server.board.failed("report", &error, wait);
                }
                return Next::Time(wait);
            }
        }
        rounds.refused.retain(|it| it.job != report.job);
        in_a_row = 0;
        if let Err(error) = shared.outbox.remove(&report) {
            log::warn!("a report that was told can't be removed: {error}");
            return Next::Time(rounds.backoff.failed(false));
        }
        rounds.backoff.succeeded();
    }
    let now = Instant::now();
    let next = rounds.refused.iter().map(|it| it.again.saturating_duration_since(now)).min();
    next.map_or(Next::News, Next::Either)
}

/// Whether there was an answer, which may be another one for another report.
fn is_about_the_report(error: &UplinkError) -> bool {
    matches!(
        error,
        UplinkError::Portal { .. }
            | UplinkError::Trouble { .. }
            | UplinkError::TooLarge { .. }
            | UplinkError::BadAnswer { .. }
            | UplinkError::Untrusted { .. }
    )
}

impl Rounds {
    /// The network has changed: nobody knows whether those that were refused are refused here.
    fn changed(&mut self, now: Instant) {
        for it in &mut self.refused {
            it.again = now;
            it.backoff.changed(now);
        }
    }

    /// The report on that job has been refused once more; how long it waits.
    fn refuse(&mut self, job: &str, now: Instant) -> Duration {
        let at = self.refused.iter().position(|it| it.job == job).unwrap_or_else(|| {
            let backoff = Backoff::default();
            self.refused.push(Refused { job: job.to_owned(), backoff, again: now });
            self.refused.len() - 1
        });
        let Some(it) = self.refused.get_mut(at) else { return Duration::ZERO };
        let wait = it.backoff.failed(false);
        it.again = now + wait;
        wait
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_tried_at_once_on_another_network_and_waits_grow_from_there_again() {
        let (mut rounds, now) = (Rounds::default(), Instant::now());
        for job in ["a", "b", "a", "a", "a", "a"] {
            rounds.refuse(job, now);
        }
        assert!(rounds.refused.iter().all(|it| it.again > now));
        rounds.changed(now);
        assert!(rounds.refused.len() == 2 && rounds.refused.iter().all(|it| it.again == now));
        assert!(rounds.refuse("a", now).as_secs() <= 1);
    }
}
