//! The system's clock. Intervals are measured with [`std::time::Instant`] instead, or, where a
//! restart of the agent lies between, with [`since_boot`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stint_wire::time::Utc;

/// What adjtimex(2) answers while nobody has set the clock.
const TIME_ERROR: libc::c_long = libc::TIME_ERROR as libc::c_long;

/// What the system takes for the time. It may be wrong by decades: boards without a clock
/// battery boot in 1970.
pub fn system() -> Utc {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Utc(since.as_millis() as u64);
    #[cfg(debug_assertions)]
    let time = Utc(time.0.saturating_add_signed(shifted::by_seconds().saturating_mul(1000)));
    time
}

/// Whether somebody has set the clock: a time server, or a person with NTP switched off. A kernel
/// that doesn't say counts as one.
pub fn is_set() -> bool {
    #[cfg(debug_assertions)]
    if shifted::by_seconds() != 0 {
        return shifted::counts_as_set();
    }
    // The kernel's own call: that of a C library for 64-bit times brings 2 kB of conversion along,
    // and only the result is of interest here. No kernel's structure is larger.
    let mut answer = [0_u64; 64];
    // SAFETY: all zeros ask for nothing to be changed; the kernel fills in less than the array.
    unsafe { libc::syscall(libc::SYS_adjtimex, answer.as_mut_ptr()) != TIME_ERROR }
}

/// The time since the system's boot, sleep included. The kernel counts the starts of processes
/// from there.
pub fn since_boot() -> Duration {
    read(libc::CLOCK_BOOTTIME)
}

/// What [`std::time::Instant`] goes by, as a number that two processes can compare. It stands still while
/// the device sleeps.
#[cfg(feature = "guardian")]
pub fn awake() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

fn read(clock: libc::clockid_t) -> Duration {
    // SAFETY: all zero is a valid time, which the call fills.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(clock, &raw mut time);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// A wrong clock on purpose, for tests; only debug builds have it. `STINT_TEST_CLOCK_OFFSET` holds
/// the seconds by which the system's clock is shifted. A shifted clock counts as one that nobody
/// has set, unless `,set` follows.
#[cfg(debug_assertions)]
mod shifted {
    use std::env;

    fn wish() -> String {
        env::var("STINT_TEST_CLOCK_OFFSET").unwrap_or_default()
    }

    pub fn by_seconds() -> i64 {
        wish().trim_end_matches(",set").parse().unwrap_or_default()
    }

    pub fn counts_as_set() -> bool {
        wish().ends_with(",set")
    }
}
