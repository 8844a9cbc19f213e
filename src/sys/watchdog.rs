//! The board's hardware watchdog (linux/watchdog.h): open, it resets the board unless it is written
//! to often enough; `V` as the last thing written stops it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

/// `WDIOC_SETTIMEOUT`: `_IOWR('W', 6, int)`, the same number on all of our processors.
const SET_TIMEOUT: u32 = 0xC004_5706;

/// `WDIOC_GETTIMEOUT`: `_IOR('W', 7, int)`. MIPS has the bits for the direction elsewhere.
const GET_TIMEOUT: u32 =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 0x4004_5707 } else { 0x8004_5707 };

/// A watchdog that runs.
pub struct Watchdog {
    file: File,
    timeout: Duration,
}

impl Watchdog {
    /// Starts the watchdog at `path`, to bite after `wanted` without food. The driver may know
    /// better; what it answers is what holds. A file that isn't a watchdog takes every time.
    ///
    /// # Errors
    /// There is none, or somebody else feeds it (EBUSY).
    pub fn open(path: &Path, wanted: Duration) -> io::Result<Watchdog> {
        let file = OpenOptions::new().write(true).open(path)?;
        let mut seconds = libc::c_int::try_from(wanted.as_secs()).unwrap_or(libc::c_int::MAX);
        let number = file.as_raw_fd();
        // SAFETY: both calls read and fill one int, which lives through them.
        unsafe {
            if libc::ioctl(number, SET_TIMEOUT as libc::Ioctl, &raw mut seconds) != 0 {
                // One that can't be set says what it has.
                libc::ioctl(number, GET_TIMEOUT as libc::Ioctl, &raw mut seconds);
            }
        }
        let seconds = u64::try_from(seconds).unwrap_or(1).max(1);
        Ok(Watchdog { file, timeout: Duration::from_secs(seconds) })
    }

    /// After so long without food it bites.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Feeds it.
    ///
    /// # Errors
    /// What write(2) says.
    pub fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(b".")
    }
}

/// An end in good order: where the driver lets itself be stopped, the board goes on without it. A
/// process that is killed leaves a watchdog that bites.
impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.file.write_all(b"V");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn it_is_fed_and_stopped_by_what_is_written() {
        let folder = Folder::new();
        let path = folder.path().join("watchdog");
        assert!(Watchdog::open(&path, Duration::from_secs(9)).is_err());
        std::fs::write(&path, "").unwrap();
        let mut watchdog = Watchdog::open(&path, Duration::from_secs(9)).unwrap();
        assert_eq!(watchdog.timeout(), Duration::from_secs(9));
        watchdog.feed().unwrap();
        watchdog.feed().unwrap();
        drop(watchdog);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "..V");
    }
}
