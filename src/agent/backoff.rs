//! How long to wait before trying again.

use crate::bell::Bell;
use crate::reactor::after;
use crate::sys::random;
use smol::future::or;
use std::time::{Duration, Instant};

/// The first wait. A server that restarts is back in about this time.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait. Devices are expected back within minutes of their network; the original
/// waits up to an hour, which is its users' loudest complaint.
const LONGEST: Duration = Duration::from_secs(120);

/// The wait after a server has turned this node away, which only a person can mend.
const REJECTED: Duration = Duration::from_secs(300);

/// Each wait is up to this part longer, so that a fleet doesn't return in step.
const JITTER: f64 = 0.25;

/// A change of the network makes the waits short again if the last one was so long ago. A link that flaps ends
/// single waits; were each of its changes a new beginning, the node would try without end at the pace of the first waits.
const CALM: Duration = Duration::from_secs(300);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    /// The last change of the network that ended a wait.
    changed: Option<Instant>,
}

impl Backoff {
    /// The wait after one more failure.
    pub fn failed(&mut self, rejected: bool) -> Duration {
        let wait = wait(self.failures, rejected, random::fraction());
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Waits; a change of the network ends it, after which the next waits are short again if that is rare. Tells
    /// whether there was one.
    pub async fn wait(&mut self, wait: Duration, changed: &Bell) -> bool {
        let is_change = pause(wait, changed).await;
        if is_change {
            self.changed(Instant::now());
        }
        is_change
    }

    /// The network has changed.
    pub fn changed(&mut self, now: Instant) {
        let last = self.changed.replace(now);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= CALM) {
            self.failures = 0;
        }
    }

    /// Something went well.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Waits for so long, or until the network changes: then it is true.
pub async fn pause(wait: Duration, changed: &Bell) -> bool {
    let timed = async {
        after(wait).await;
        false
    };
    let changed = async {
        changed.wait().await;
        true
    };
    or(timed, changed).await
}

fn wait(failures: u32, rejected: bool, chance: f64) -> Duration {
    let plain = match rejected {
        true => REJECTED,
        false => FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST),
    };
    plain.mul_f64(1.0 + JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_minutes_and_no_further() {
        let plain = |failures| wait(failures, false, 0.0).as_secs();
        assert_eq!([plain(0), plain(1), plain(6), plain(7), plain(u32::MAX)], [1, 2, 64, 120, 120]);
        assert_eq!(wait(0, true, 0.0).as_secs(), 300);
    }

    #[test]
    fn a_link_that_flaps_does_not_keep_the_waits_short_and_a_rare_change_does() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        let next = |backoff: &mut Backoff, second| {
            backoff.changed(start + Duration::from_secs(second));
            backoff.failed(false).as_secs()
        };
        for second in 0..9 {
            next(&mut backoff, second * 60);
        }
        assert!(next(&mut backoff, 540) >= 90);
        assert!(next(&mut backoff, 600) >= 90);
        assert!(next(&mut backoff, 600 + 300) <= 1);
    }

    #[test]
    fn no_wait_is_shorter_than_the_second_that_is_told() {
        assert!([0.0, 0.5, 1.0].iter().all(|chance| wait(0, false, *chance).as_secs() == 1));
    }

    #[test]
    fn a_fleet_does_not_come_back_in_step() {
        assert_eq!(wait(7, false, 0.0), Duration::from_secs(120));
        assert_eq!(wait(7, false, 1.0), Duration::from_secs(150));
    }
}
