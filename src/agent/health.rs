//! The task that tells the server, every few minutes, that this node is alive.

use super::Shared;
use super::backoff::Backoff;
use super::modules::Ended;
use crate::sys::random;
use smol::Timer;
use std::rc::Rc;

/// Reports for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut backoff = Backoff::default();
    let changed = shared.changes.bell();
    let Some(server) = shared.server.get() else { return Ok(()) };
    loop {
        let wait = match shared.talk(|uplink| uplink.ping()).await {
            Ok(()) => {
                backoff.succeeded();
                server.board.pinged(shared.settings.health_interval);
                // Earlier by up to a tenth, so that no report is ever late and a fleet spreads.
                shared.settings.health_interval.mul_f64(1.0 - 0.1 * random::fraction())
            }
            Err(error) => {
                let wait = backoff.failed(error.is_rejection_of_the_node());
                server.board.failed("health report", &error, wait);
                backoff.wait(wait, &changed).await;
                continue;
            }
        };
        Timer::after(wait).await;
    }
}
