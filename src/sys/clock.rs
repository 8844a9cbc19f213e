//! The system's clock. Intervals are measured with [`std::time::Instant`] instead, or, where a
//! restart of the agent lies between, with [`since_boot`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stint_wire::time::Utc;

/// What the system takes for the time. It may be wrong by decades: boards without a clock
/// battery boot in 1970.
pub fn system() -> Utc {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Utc(since.as_millis() as u64)
}

/// Whether somebody has set the clock: a time server, or a person with NTP switched off. A kernel
/// that doesn't say counts as one.
pub fn is_set() -> bool {
    // SAFETY: all zeros are a valid structure, which asks for nothing to be changed.
    let mut answer: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it fills in the structure, which outlives the call.
    unsafe { libc::adjtimex(&raw mut answer) != libc::TIME_ERROR }
}

/// The time since the system's boot, sleep included. The kernel counts the starts of processes
/// from there.
pub fn since_boot() -> Duration {
    // SAFETY: all zero is a valid time, which the call fills.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}
