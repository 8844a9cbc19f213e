//! A large file in the making: written beside its place, and there only when it is whole.

use super::faults::{attempt, write_all};
use super::{FileError, durable};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Seek;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Names of such files end so. One that a crash has left is replaced by the next try.
const SUFFIX: &str = ".stint-part";

/// A file that isn't whole yet. Dropped before [`Part::keep`], it is removed.
pub struct Part {
    file: File,
    path: PathBuf,
    place: PathBuf,
    length: u64,
    kept: bool,
}

impl Part {
    /// Begins a file that will be at `place`; the folder must be there.
    ///
    /// # Errors
    /// It can't be made.
    pub fn begin(place: &Path) -> Result<Part, FileError> {
        let mut name = OsString::from(place.as_os_str());
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let _ = fs::remove_file(&path);
        let mut options = OpenOptions::new();
        // A new file, so that a link which somebody has put there is not followed.
        options.write(true).create_new(true).mode(0o600);
        let file = attempt("create", &path, || options.open(&path))?;
        Ok(Part { file, path, place: place.to_owned(), length: 0, kept: false })
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// They can't be written; most often the disk is full.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        write_all(&mut self.file, &self.path, bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins again.
    ///
    /// # Errors
    /// The file can't be cut.
    pub fn restart(&mut self) -> Result<(), FileError> {
        attempt("truncate", &self.path, || self.file.set_len(0).and_then(|()| self.file.rewind()))?;
        self.length = 0;
        Ok(())
    }

    /// Moves it into its place with `mode`; done when all of it is on disk.
    ///
    /// # Errors
    /// The step that failed; nothing is left then, and what was at the place still is.
    pub fn keep(mut self, mode: u32) -> Result<(), FileError> {
        let mode = Permissions::from_mode(mode);
        attempt("chmod", &self.path, || self.file.set_permissions(mode))?;
        attempt("fsync", &self.path, || self.file.sync_all())?;
        durable::rename(&self.path, &self.place)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_file_is_in_its_place_only_when_it_is_whole() {
        let folder = Folder::new();
        let place = folder.path().join("firmware");
        let mut part = Part::begin(&place).unwrap();
        part.add(b"wrong").unwrap();
        part.restart().unwrap();
        part.add(b"whole").unwrap();
        assert!(!place.exists());
        assert_eq!(part.length(), 5);
        part.keep(0o700).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"whole");
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(durable::list(folder.path()).unwrap(), ["firmware"]);
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let folder = Folder::new();
        let place = folder.path().join("f");
        fs::write(&place, "old").unwrap();
        let mut part = Part::begin(&place).unwrap();
        part.add(b"half").unwrap();
        drop(part);
        assert_eq!(durable::list(folder.path()).unwrap(), ["f"]);
        assert_eq!(fs::read(&place).unwrap(), b"old");
    }
}
