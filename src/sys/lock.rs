//! One daemon per state folder.

use super::{FileError, check};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Takes the lock at `path` for as long as the returned file lives, the process's death
/// included. `None` if another process holds it.
///
/// # Errors
/// The lock file can't be made or locked.
pub fn acquire(path: &Path) -> Result<Option<File>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).map_err(FileError::new("open", path))?;
    // SAFETY: the descriptor is open; the call takes integers only.
    match check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(FileError::new("lock", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_lock_is_held_once_and_goes_with_its_file() {
        let folder = Folder::new();
        let path = folder.path().join("lock");
        let held = acquire(&path).unwrap();
        assert!(held.is_some());
        assert!(acquire(&path).unwrap().is_none());
        drop(held);
        assert!(acquire(&path).unwrap().is_some());
    }
}
