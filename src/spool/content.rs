//! Reading a state file, and telling apart the three ways in which it can have nothing to say.

use crate::sys::FileError;
use miniserde::{Deserialize, json};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What is in a state file.
#[derive(Debug, PartialEq, Eq)]
pub enum Content<T> {
    /// There is no such file.
    Missing,
    /// It isn't what it should be: the disk or a power cut has damaged it.
    Damaged,
    /// What it should be.
    Is(T),
}

/// Reads a state file.
///
/// # Errors
/// The system can't read it now. That says nothing about the content.
pub fn read<T: Deserialize>(path: &Path) -> Result<Content<T>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(json::from_str(&text).map_or(Content::Damaged, Content::Is)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Content::Missing),
        // Not UTF-8.
        Err(error) if error.kind() == ErrorKind::InvalidData => Ok(Content::Damaged),
        Err(error) => Err(FileError::new("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_a_damaged_one() {
        let folder = Folder::new();
        let path = folder.path().join("x");
        assert_eq!(read::<u8>(&path).unwrap(), Content::Missing);
        for damaged in [&b""[..], b"{", b"\0\0", b"\xff"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(read::<u8>(&path).unwrap(), Content::Damaged);
        }
        fs::write(&path, "7").unwrap();
        assert_eq!(read(&path).unwrap(), Content::Is(7));
        assert!(read::<u8>(folder.path()).is_err());
    }
}
