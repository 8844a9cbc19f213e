//! Watching a worker that need not be our child: a FIFO in the job's folder.
//!
//! The worker holds the writing end for as long as it lives. The daemon, and after a restart the
//! next daemon, holds the reading end: bytes say "there is news", the end of the file says "the
//! worker is gone". It works on every kernel, needs no process id that might have been given to
//! somebody else, and costs no wake-up while nothing happens.

use super::faults::attempt;
use super::{FileError, check};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
#[cfg(feature = "session")]
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The FIFO's name in a job's folder.
pub const NAME: &str = "doorbell";

/// What a look at the doorbell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The worker lives and has said nothing new.
    Quiet,
    /// The worker lives and has news.
    Rang,
    /// Nobody holds the writing end.
    Gone,
}

/// Opens the reading end in `folder`, making the FIFO if need be.
///
/// # Errors
/// The step that failed.
pub fn listen(folder: &Path) -> Result<File, FileError> {
    let path = folder.join(NAME);
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| FileError::new("make", &path)(io::ErrorKind::InvalidInput.into()))?;
    // SAFETY: the name is a C string that lives through the call.
    match attempt("make", &path, || check(unsafe { libc::mkfifo(name.as_ptr(), 0o600) })) {
        Err(error) if error.cause.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    attempt("open", &path, || options.open(&path))
}

/// Opens the writing end, for the worker to inherit. There must be a reading end.
///
/// # Errors
/// The step that failed.
pub fn hold(folder: &Path) -> Result<File, FileError> {
    let path = folder.join(NAME);
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK);
    attempt("open", &path, || options.open(&path))
}

/// Both ends without a folder: reading, writing. The next daemon won't hear it.
///
/// # Errors
/// What pipe2(2) says.
#[cfg(feature = "session")]
pub fn unnamed() -> Result<(File, File), FileError> {
    let mut ends = [-1; 2];
    // SAFETY: the array has room for the two descriptors, and nobody else has those.
    let [reader, writer] = unsafe {
        let made = check(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK));
        made.map_err(FileError::new("make", Path::new(NAME)))?;
        ends.map(|end| File::from_raw_fd(end))
    };
    Ok((reader, writer))
}

/// Reads what is there and tells the worker's state.
///
/// # Errors
/// What read(2) says.
pub fn look(mut listener: &File) -> io::Result<Look> {
    let mut rang = false;
    let mut news = [0; 64];
    loop {
        match listener.read(&mut news) {
            Ok(0) => return Ok(Look::Gone),
            Ok(_) => rang = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(if rang { Look::Rang } else { Look::Quiet });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::io::Write;

    #[test]
    fn a_doorbell_tells_quiet_from_news_from_gone() {
        let folder = Folder::new();
        let listener = listen(folder.path()).unwrap();
        assert_eq!(look(&listener).unwrap(), Look::Gone);
        let mut worker = hold(folder.path()).unwrap();
        assert_eq!(look(&listener).unwrap(), Look::Quiet);
        worker.write_all(b"1").unwrap();
        assert_eq!(look(&listener).unwrap(), Look::Rang);
        drop(worker);
        assert_eq!(look(&listener).unwrap(), Look::Gone);
    }

    #[test]
    fn the_next_daemon_hears_the_same_worker() {
        let folder = Folder::new();
        let first = listen(folder.path()).unwrap();
        let worker = hold(folder.path()).unwrap();
        drop(first);
        let second = listen(folder.path()).unwrap();
        assert_eq!(look(&second).unwrap(), Look::Quiet);
        drop(worker);
        assert_eq!(look(&second).unwrap(), Look::Gone);
    }
}
