//! What time it is, where the system's clock can't be relied on (docs/SECURITY.md, "Time").
//!
//! Never here: setting the system's clock. Whoever sets it later is believed again.

use crate::board::BOARD;
use crate::sys::clock::{is_set, since_boot, system};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stint_wire::time::Utc;

/// Servers accept signatures that are up to 5 minutes off; smaller differences need no mending.
const TOLERANCE: u64 = 4 * 60 * 1000;

/// A system clock that moves by more than this against the time since boot, milliseconds, has been
/// set by somebody. Time servers mend less without a step.
const STEP: u64 = 60 * 1000;

/// No time is before this one: that of the sources that this agent was built from.
pub fn earliest() -> Utc {
    Utc::from_secs(BOARD.sources_from)
}

/// Whether the system's clock may be wrong: nobody has set it, or to a time before the agent's own.
pub fn is_doubtful() -> bool {
    !is_set() || system() < earliest()
}

/// A time that was known once, from which the time since boot leads to the present.
#[derive(Clone, Copy)]
pub struct Anchor {
    time: Utc,
    system: Utc,
    boot: Duration,
}

impl Anchor {
    /// It is this time now.
    pub fn new(time: Utc) -> Anchor {
        Anchor { time, system: system(), boot: since_boot() }
    }

    /// The present; `None` if somebody has set the system's clock since, which is better then.
    pub fn now(&self) -> Option<Utc> {
        let gone = since_boot().saturating_sub(self.boot).as_millis() as u64;
        let expected = self.system.0.saturating_add(gone);
        (system().0.abs_diff(expected) <= STEP).then(|| Utc(self.time.0.saturating_add(gone)))
    }

    /// For how long it has led to the present, sleep included; `boot` is the time since boot.
    #[cfg(feature = "tls")]
    pub fn age(&self, boot: Duration) -> Duration {
        boot.saturating_sub(self.boot)
    }
}

/// Takes up what the agents of this state folder knew of the time. The daemon alone writes there
/// (`keeps`) what it learns.
#[cfg_attr(not(feature = "tls"), allow(unused_variables))]
pub fn remember(state: &Path, keeps: bool) {
    #[cfg(feature = "tls")]
    super::tls::time::remember(state, keeps);
}

/// The time by which certificates are judged. Nothing moves it but what a server with a valid
/// certificate says.
pub fn certain() -> Utc {
    #[cfg(feature = "tls")]
    return super::tls::time::now();
    #[cfg(not(feature = "tls"))]
    system().max(earliest())
}

/// The time, and true if somebody knows it: who has set the clock, or a server. Otherwise it is not earlier
/// than that.
#[cfg(any(feature = "ssm", feature = "events", feature = "update"))]
pub fn known() -> (Utc, bool) {
    if !is_doubtful() {
        return (certain(), true);
    }
    #[cfg(feature = "tls")]
    return super::tls::time::told();
    #[cfg(not(feature = "tls"))]
    (earliest(), false)
}

/// The time to date a new key by: `none` if nobody knows it.
#[cfg(feature = "ssm")]
pub fn known_or(none: Utc) -> Utc {
    let (now, is_known) = known();
    if is_known { now } else { none }
}

/// The time by which one link signs: the certain one, until its server says otherwise.
#[derive(Default)]
pub struct Clock(Mutex<Option<Anchor>>);

impl Clock {
    /// The best guess at the time.
    pub fn now(&self) -> Utc {
        self.lock().and_then(|anchor| anchor.now()).unwrap_or_else(certain)
    }

    /// Takes the time from a server that refused what was signed for the time `signed` as being out
    /// of date. True if signing again may help.
    ///
    /// Without TLS anybody may have said it, so it is good for this link's signatures alone, and
    /// never before [`earliest`].
    pub fn learn(&self, server: Utc, signed: Utc) -> bool {
        let now = self.now();
        if server.0.abs_diff(signed.0) < TOLERANCE {
            return false;
        }
        // Somebody may have learned it while this was under way.
        if server.0.abs_diff(now.0) < TOLERANCE {
            return true;
        }
        if server < earliest() {
            return false;
        }
        let seconds = now.secs() as i64 - server.secs() as i64;
        log::warn!("the clock is {seconds} s off the server's; signing with the server's time");
        *self.lock() = Some(Anchor::new(server));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Anchor>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_set_right_and_a_good_one_left_alone() {
        let clock = Clock::default();
        let real = system();
        assert!(!clock.learn(real, clock.now()));
        for wrong_by in [1_000_000_000_u64, 600, 3600] {
            let server = Utc(real.0 + wrong_by * 1000);
            assert!(clock.learn(server, real), "{wrong_by}");
            // The other lane's call, which was signed before.
            assert!(clock.learn(server, real));
            assert!(clock.now().0.abs_diff(server.0) <= 2000, "{wrong_by}");
            assert!(!clock.learn(server, clock.now()));
        }
    }

    #[test]
    fn nobody_brings_a_clock_to_a_time_before_its_agent() {
        let clock = Clock::default();
        for server in [Utc(0), Utc::from_secs(BOARD.sources_from - 1)] {
            assert!(!clock.learn(server, clock.now()));
            assert!(clock.now() >= earliest());
        }
    }

    #[test]
    fn a_clock_that_somebody_sets_is_believed_again() {
        let mut anchor = Anchor::new(Utc::from_secs(4_000_000_000));
        assert!(anchor.now().is_some_and(|now| now.secs() - 4_000_000_000 < 60));
        anchor.system = Utc::from_secs(0);
        assert!(anchor.now().is_none());
    }
}
