//! Disk space kept back for what has to be written when the disk is full: what became of a job,
//! and that it is to be stopped.

use super::{FileError, durable};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The outcome of a job with several steps, its report and its record fit in, bytes.
const SIZE: usize = 64 * 1024;

/// A file that is given up when the disk is full.
#[derive(Clone, Debug)]
pub struct Reserve(PathBuf);

impl Reserve {
    /// The reserve of a folder, which may have none.
    pub fn of(folder: &Path) -> Reserve {
        Reserve(folder.join("reserve"))
    }

    /// Keeps the space back.
    ///
    /// # Errors
    /// There is none to be kept back: the disk is as good as full.
    pub fn fill(&self) -> Result<(), FileError> {
        if fs::metadata(&self.0).is_ok_and(|meta| meta.len() == SIZE as u64) {
            return Ok(());
        }
        durable::write(&self.0, &incompressible())
    }

    /// Does a write, and once more with the reserve given up if there was no room for it.
    ///
    /// # Errors
    /// What the write says.
    pub fn spend<T>(&self, write: impl Fn() -> Result<T, FileError>) -> Result<T, FileError> {
        match write() {
            Err(error) if is_full(&error) && fs::remove_file(&self.0).is_ok() => {
                log::warn!("{error}; the reserve of {SIZE} bytes is given up");
                write()
            }
            other => other,
        }
    }
}

/// Whether an operation failed for want of room.
pub fn is_full(error: &FileError) -> bool {
    matches!(error.cause.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// JFFS2, UBIFS and others compress what they store: zeros would keep nothing back.
fn incompressible() -> Vec<u8> {
    let mut word = 0x9e37_79b9_u32;
    let next = |_| {
        // Marsaglia's xorshift; nothing depends on how random it is.
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        word as u8
    };
    (0..SIZE).map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::cell::Cell;
    use std::io;

    fn full() -> FileError {
        let cause = io::Error::from_raw_os_error(libc::ENOSPC);
        FileError { action: "write", path: "x".into(), cause }
    }

    #[test]
    fn a_full_disk_costs_the_reserve_once_and_the_write_is_done() {
        let folder = Folder::new();
        let reserve = Reserve::of(folder.path());
        reserve.fill().unwrap();
        let tries = Cell::new(0);
        let write = || {
            tries.set(tries.get() + 1);
            if folder.path().join("reserve").exists() { Err(full()) } else { Ok(()) }
        };
        reserve.spend(write).unwrap();
        assert_eq!(tries.get(), 2);
        assert!(reserve.spend(|| Err::<(), _>(full())).is_err());
        reserve.fill().unwrap();
        assert_eq!(fs::metadata(folder.path().join("reserve")).unwrap().len(), SIZE as u64);
    }

    #[test]
    fn another_error_does_not_cost_the_reserve() {
        let folder = Folder::new();
        let reserve = Reserve::of(folder.path());
        reserve.fill().unwrap();
        let other = || {
            let cause = io::Error::from_raw_os_error(libc::EIO);
            Err::<(), _>(FileError { action: "write", path: "x".into(), cause })
        };
        assert!(reserve.spend(other).is_err());
        assert!(folder.path().join("reserve").exists());
    }
}
