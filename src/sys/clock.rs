//! The system's clock. Intervals are measured with [`std::time::Instant`] instead, or, where a
//! restart of the agent lies between, with [`since_boot`].
//!
//! [`std::time::SystemTime::now`] is for nobody here (clippy.toml): built for musl and 32 bits, it asks for a time of
//! 32 bits, and the process dies of what it hears after January 2038.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use stint_wire::time::Utc;

/// What adjtimex(2) answers while nobody has set the clock.
const TIME_ERROR: libc::c_long = libc::TIME_ERROR as libc::c_long;

/// What the system takes for the time. It may be wrong by decades: boards without a clock
/// battery boot in 1970.
pub fn system() -> Utc {
    let time = Utc(since_1970().as_millis() as u64);
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

/// When a file was changed, as seconds and nanoseconds since 1970. Nothing here is older than that: a time before is
/// one after January 2038 of which 32 bits are left, by the C library or by an old file system.
pub fn of_file(meta: &Metadata) -> (i64, i64) {
    let seconds = meta.mtime();
    let lost = if seconds < 0 { 1 << 32 } else { 0 };
    (seconds.saturating_add(lost), meta.mtime_nsec())
}

/// How long ago that was by the system's clock, seconds; 0 if it is yet to come.
pub fn age_of_file(meta: &Metadata) -> u64 {
    since_1970().as_secs().saturating_sub(of_file(meta).0 as u64)
}

fn read(clock: libc::clockid_t) -> Duration {
    // SAFETY: all zero is a valid time, which the call fills; if it can't, it stays that.
    unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(clock, &raw mut time);
        Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec as u32)
    }
}

#[cfg(target_pointer_width = "64")]
fn since_1970() -> Duration {
    read(libc::CLOCK_REALTIME)
}

/// A kernel before 5.1 (2019) doesn't know the call, and its own time ends in 2038.
#[cfg(target_pointer_width = "32")]
fn since_1970() -> Duration {
    /// The number of `clock_gettime64`, which the libc crate doesn't name for musl. MIPS counts from 4000.
    const CALL: libc::c_long = if cfg!(target_arch = "mips") { 4403 } else { 403 };
    ask(CALL).unwrap_or_else(|| read(libc::CLOCK_REALTIME))
}

/// The time of day by a call of the kernel that answers in two numbers of 64 bits; `None` if it knows no such call.
#[cfg(any(target_pointer_width = "32", test))]
fn ask(call: libc::c_long) -> Option<Duration> {
    let mut time = [0_i64; 2];
    // SAFETY: the kernel fills two numbers of 64 bits, which are there.
    let done = unsafe { libc::syscall(call, libc::CLOCK_REALTIME, time.as_mut_ptr()) };
    let [seconds, nanoseconds] = time;
    (done == 0).then(|| Duration::new(seconds.max(0) as u64, nanoseconds as u32))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs::{File, FileTimes};
    use std::time::UNIX_EPOCH;

    /// A processor of 64 bits has the same answer under the usual number.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn the_time_in_64_bits_is_the_systems_and_a_kernel_that_has_none_is_told() {
        let before = since_1970();
        let asked = ask(libc::SYS_clock_gettime).unwrap();
        assert!(before <= asked && asked <= since_1970());
        assert_eq!(ask(-1), None);
    }

    #[test]
    fn a_file_of_after_2038_is_the_younger_one_where_32_bits_hold_its_time() {
        let folder = Folder::new();
        let of = |seconds: i64| {
            let path = folder.path().join("file");
            let file = File::create(&path).unwrap();
            let gone = Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 { UNIX_EPOCH - gone } else { UNIX_EPOCH + gone };
            file.set_times(FileTimes::new().set_modified(time)).unwrap();
            std::fs::metadata(&path).unwrap()
        };
        let last = i64::from(i32::MAX);
        assert_eq!(of_file(&of(last)).0, last);
        assert_eq!(of_file(&of(i64::from(i32::MIN))).0, last + 1);
        assert_eq!(age_of_file(&of(-1)), 0);
        assert!(age_of_file(&of(1_000_000_000)) > 0);
    }
}
