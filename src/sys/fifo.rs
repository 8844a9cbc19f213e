//! Named pipes that are open at both ends: nobody who writes to one gets SIGPIPE, and what was
//! written waits there while nobody reads.

use super::faults::attempt;
use super::{FileError, check};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes one that is for its user alone; one that is there is fine.
///
/// # Errors
/// What mkfifo(3) says.
pub fn make(path: &Path) -> Result<(), FileError> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| FileError::new("make", path)(io::ErrorKind::InvalidInput.into()))?;
    // SAFETY: the name is a C string that lives through the call.
    match attempt("make", path, || check(unsafe { libc::mkfifo(name.as_ptr(), 0o600) })) {
        Err(error) if error.cause.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Opens both ends. Reads and writes of one that is `patient` wait.
///
/// # Errors
/// What open(2) says.
pub fn open(path: &Path, patient: bool) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(if patient { 0 } else { libc::O_NONBLOCK });
    attempt("open", path, || options.open(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::io::{Read, Write};

    #[test]
    fn what_is_written_waits_for_the_next_reader() {
        let folder = Folder::new();
        let path = folder.path().join("pipe");
        make(&path).unwrap();
        make(&path).unwrap();
        let mut writer = open(&path, true).unwrap();
        let mut reader = open(&path, false).unwrap();
        writer.write_all(b"a").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(reader.read(&mut bytes).unwrap(), 1);
        drop(reader);
        writer.write_all(b"bc").unwrap();
        let mut reader = open(&path, false).unwrap();
        drop(writer);
        assert_eq!(reader.read(&mut bytes).unwrap(), 2);
        assert_eq!(reader.read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
