//! The task that tells the server, every few minutes, that this node is alive.

use super::Shared;
use super::backoff::Backoff;
use super::modules::Ended;
use crate::reactor::after;
use crate::spool::{Outbox, Spool};
use crate::sys::random;
#[cfg(feature = "ssm")]
use crate::uplink::budget::{self, Pressure};
use std::rc::Rc;
use std::time::Duration;

/// Where the day's budget is spent, so many times as long passes between two reports,
#[cfg(feature = "ssm")]
const STRETCH: u32 = 4;

/// and no more than this.
#[cfg(feature = "ssm")]
const LONGEST: Duration = Duration::from_secs(3600);

/// Reports for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut backoff = Backoff::default();
    let changed = shared.changes.bell();
    let Some(server) = shared.server.get() else { return Ok(()) };
    loop {
        let every = interval(&shared);
        let told = shared.talk(|uplink| uplink.ping()).await;
        #[cfg(feature = "ssm")]
        server.board.goes_to(server.uplink.server());
        let wait = match told {
            Ok(()) => {
                backoff.succeeded();
                server.board.pinged(every);
                rest(&shared).await;
                // Earlier by up to a tenth, so that no report is ever late and a fleet spreads.
                every.mul_f64(1.0 - 0.1 * random::fraction())
            }
            Err(error) => {
                let wait = backoff.failed(error.is_rejection_of_the_node());
                server.board.failed("health report", &error, wait);
                backoff.wait(wait, &changed).await;
                continue;
            }
        };
        after(wait).await;
    }
}

/// The time between two reports.
fn interval(shared: &Shared) -> Duration {
    let wanted = shared.settings.health_interval;
    #[cfg(feature = "ssm")]
    if budget::pressure() == Pressure::Spent {
        return (wanted * STRETCH).min(LONGEST.max(wanted));
    }
    wanted
}

/// Lets the link change itself while there is nothing to do.
async fn rest(shared: &Shared) {
    let jobs = Spool::count(&shared.state);
    if jobs.pending + jobs.running + Outbox::count(&shared.state) > 0 {
        return;
    }
    if let Err(error) = shared.talk(|uplink| uplink.at_rest()).await {
        log::warn!("the link could not change itself: {error}");
    }
}
