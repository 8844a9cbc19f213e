//! One daemon per state folder, and a way to see whether there is one that can't get in its way.

use super::{FileError, check};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
#[cfg(any(feature = "guardian", feature = "update"))]
use std::thread;
#[cfg(any(feature = "guardian", feature = "update"))]
use std::time::Duration;

/// A lock that is held so often, and so long after, is held by somebody who lives: 1 s.
#[cfg(any(feature = "guardian", feature = "update"))]
const LOOKS: u32 = 20;
#[cfg(any(feature = "guardian", feature = "update"))]
const LOOK: Duration = Duration::from_millis(50);

/// Takes the lock at `path` for as long as the returned file lives, the process's death
/// included. `None` if another holds it.
///
/// It is a lock of the open file (fcntl(2), "open file description locks", Linux 3.15), which can
/// be asked about without being taken.
///
/// # Errors
/// The lock file can't be made or locked.
pub fn acquire(path: &Path) -> Result<Option<File>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(FileError::new("open", path))?;
    Ok(take(&file).map_err(FileError::new("lock", path))?.then_some(file))
}

/// Locks a file that is open for writing, for as long as it is open. `false` if another holds it;
/// the same process counts as another if it has opened the file twice.
///
/// # Errors
/// It can't be locked.
pub fn take(file: &File) -> io::Result<bool> {
    let lock = whole_file();
    // SAFETY: the descriptor is open, and the lock lives through the call.
    match check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether somebody holds the lock at `path`. A file that isn't there, or can't be asked, is held
/// by nobody.
pub fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let mut lock = whole_file();
    // SAFETY: the descriptor is open, and the lock lives through the call, which fills it.
    let asked = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) });
    asked.is_ok() && lock.l_type != libc::F_UNLCK as libc::c_short
}

/// Whether somebody holds the lock at `path` for longer than a moment. The children of a process that has ended may
/// hold its lock until they are programs of their own.
#[cfg(any(feature = "guardian", feature = "update"))]
pub fn is_kept(path: &Path) -> bool {
    for _ in 0..LOOKS {
        if !is_held(path) {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

fn whole_file() -> libc::flock {
    // SAFETY: all zero is valid: from the beginning to the end, of no process.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_lock_is_held_once_and_goes_with_its_file() {
        let folder = Folder::new();
        let path = folder.path().join("lock");
        assert!(!is_held(&path));
        let held = acquire(&path).unwrap();
        assert!(held.is_some() && is_held(&path));
        assert!(acquire(&path).unwrap().is_none());
        drop(held);
        assert!(!is_held(&path));
        assert!(acquire(&path).unwrap().is_some());
    }

    #[cfg(any(feature = "guardian", feature = "update"))]
    #[test]
    fn a_lock_that_outlives_its_process_for_a_moment_is_not_kept() {
        let folder = Folder::new();
        let path = folder.path().join("lock");
        let held = acquire(&path).unwrap();
        assert!(is_kept(&path));
        let gone = thread::spawn(move || {
            thread::sleep(LOOK);
            drop(held);
        });
        assert!(!is_kept(&path));
        gone.join().unwrap();
    }

    #[test]
    fn asking_takes_nothing() {
        let folder = Folder::new();
        let path = folder.path().join("lock");
        drop(acquire(&path).unwrap());
        assert!(!is_held(&path) && !is_held(&path));
        let held = acquire(&path).unwrap();
        assert!(is_held(&path) && is_held(&path) && held.is_some());
    }
}
