//! The time by which requests are signed: the system's, corrected by what a server says.

use crate::sys;
use std::sync::atomic::{AtomicI32, Ordering};
use stint_wire::time::Utc;

/// Servers accept signatures that are up to 5 minutes off; smaller differences need no mending.
const TOLERANCE_SECONDS: i64 = 4 * 60;

/// The system's clock and its known error. Seconds in 32 bits, because small processors have no
/// atomics of 64; they reach 68 years, enough for a board that boots in 1970.
#[derive(Debug, Default)]
pub struct Clock {
    offset_seconds: AtomicI32,
}

impl Clock {
    /// The best guess at the time.
    pub fn now(&self) -> Utc {
        let offset = i64::from(self.offset_seconds.load(Ordering::Relaxed)) * 1000;
        Utc(sys::clock::system().0.saturating_add_signed(offset))
    }

    /// Takes the time from a server that refused a signature for being out of date. True if that
    /// changed anything, so that signing again may help.
    ///
    /// Only called when a request was refused: an attacker who can forge that answer on a link
    /// without TLS can make signatures useless, which cutting the link would do as well.
    pub fn learn(&self, server: Utc) -> bool {
        let difference = seconds_between(self.now(), server);
        if difference.abs() < TOLERANCE_SECONDS {
            return false;
        }
        let offset = seconds_between(sys::clock::system(), server);
        let Ok(offset) = i32::try_from(offset) else { return false };
        log::warn!(
            "the clock is {} s off the server's; signing with the server's time",
            -difference
        );
        self.offset_seconds.store(offset, Ordering::Relaxed);
        true
    }
}

fn seconds_between(from: Utc, to: Utc) -> i64 {
    to.secs() as i64 - from.secs() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_decades_off_is_set_right_and_a_good_one_left_alone() {
        let clock = Clock::default();
        let real = sys::clock::system();
        assert!(!clock.learn(real));
        for wrong_by in [-1_700_000_000_i64, 1_000_000_000, 600] {
            let server = Utc(real.0.saturating_add_signed(wrong_by * 1000));
            assert!(clock.learn(server), "{wrong_by}");
            assert!(seconds_between(clock.now(), server).abs() <= 2, "{wrong_by}");
            assert!(!clock.learn(server));
        }
    }
}
