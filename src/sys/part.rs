//! A large file in the making: written beside its place, and there only when it is whole.
//!
//! Who writes it holds a lock on it, so that two jobs never write, move or remove each other's.

use super::faults::{attempt, write_all};
use super::{FileError, durable, lock};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Names of such files end so. One that a crash has left is replaced by the next try.
const SUFFIX: &str = ".stint-part";

/// One read, bytes.
const CHUNK: usize = 16 * 1024;

/// Others may take a leftover away or put one there while we look; so often in a row they don't.
const TRIES: usize = 16;

/// A file that isn't whole yet. Dropped before [`Part::keep`], it is removed, unless it was made
/// by [`Part::resume`].
pub struct Part {
    file: File,
    path: PathBuf,
    place: PathBuf,
    length: u64,
    kept: bool,
    lasting: bool,
}

impl Part {
    /// Begins a file that will be at `place`; the folder must be there.
    ///
    /// # Errors
    /// It can't be made, or another job is making one for the same place.
    pub fn begin(place: &Path) -> Result<Part, FileError> {
        let path = beside(place);
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            // A new file, so that a link which somebody has put there is not followed.
            options.write(true).create_new(true).mode(0o600);
            let file = match attempt("create", &path, || options.open(&path)) {
                Ok(file) => file,
                Err(error) if error.cause.kind() == io::ErrorKind::AlreadyExists => {
                    clear(&path, place)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !lock::take(&file).map_err(FileError::new("lock", &path))? {
                return Err(busy(place));
            }
            // Before it was locked, another may have taken it for a leftover.
            if is_at(&file, &path) {
                return Ok(Part {
                    file,
                    path,
                    place: place.to_owned(),
                    length: 0,
                    kept: false,
                    lasting: false,
                });
            }
        }
        Err(busy(place))
    }

    /// Goes on with the file that an earlier process has left for `place`, or begins one. It stays
    /// when it is dropped. For folders in which nobody else puts anything.
    ///
    /// # Errors
    /// See [`Part::begin`].
    pub fn resume(place: &Path) -> Result<Part, FileError> {
        let path = beside(place);
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            let mut part = Part::begin(place)?;
            part.lasting = true;
            return Ok(part);
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let file = attempt("open", &path, || options.open(&path))?;
        if !lock::take(&file).map_err(FileError::new("lock", &path))? {
            return Err(busy(place));
        }
        let length = file.metadata().map_err(FileError::new("look at", &path))?.len();
        let place = place.to_owned();
        Ok(Part { file, path, place, length, kept: false, lasting: true })
    }

    /// Shows what there is so far, from the beginning, piece by piece.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&mut self, show: &mut dyn FnMut(&[u8])) -> Result<(), FileError> {
        let failed = |cause| FileError::new("read", &self.path)(cause);
        self.file.rewind().map_err(failed)?;
        let mut chunk = [0; CHUNK];
        loop {
            match self.file.read(&mut chunk).map_err(failed)? {
                0 => return Ok(()),
                count => show(chunk.get(..count).unwrap_or_default()),
            }
        }
    }

    /// Removes it, also if it would stay.
    pub fn remove(mut self) {
        self.lasting = false;
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
        if !is_at(&self.file, &self.path) {
            let cause = io::Error::other("somebody has removed or replaced it meanwhile");
            return Err(FileError::new("rename", &self.path)(cause));
        }
        durable::rename(&self.path, &self.place)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept && !self.lasting && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the file is while it is in the making.
pub fn beside(place: &Path) -> PathBuf {
    let mut name = OsString::from(place.as_os_str());
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// Removes what a crash has left at `path`, if nobody writes it.
fn clear(path: &Path, place: &Path) -> Result<(), FileError> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let leftover = match fs::symlink_metadata(path) {
        // Nothing of ours, and opening it may block or lead elsewhere.
        Ok(found) if !found.is_file() => None,
        Ok(_) => {
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
            match options.open(path) {
                Ok(file) => Some(file),
                Err(error) if gone(&error) => return Ok(()),
                Err(error) => return Err(FileError::new("open", path)(error)),
            }
        }
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(FileError::new("look at", path)(error)),
    };
    if let Some(file) = &leftover {
        if !lock::take(file).map_err(FileError::new("lock", path))? {
            return Err(busy(place));
        }
        // Its writer may have moved it into its place, and this is the next one's.
        if !is_at(file, path) {
            return Ok(());
        }
    }
    match fs::remove_file(path) {
        Err(error) if !gone(&error) => Err(FileError::new("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Whether the open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

fn busy(place: &Path) -> FileError {
    let cause = io::Error::other("another job is downloading to this place");
    FileError::new("download to", place)(cause)
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

    #[test]
    fn two_never_make_the_same_file_at_once() {
        let folder = Folder::new();
        let place = folder.path().join("f");
        let mut first = Part::begin(&place).unwrap();
        first.add(b"first").unwrap();
        let refused = Part::begin(&place).err().unwrap().to_string();
        assert!(refused.contains("another job is downloading to this place"), "{refused}");
        first.add(b" whole").unwrap();
        first.keep(0o700).unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"first whole");
        drop(Part::begin(&place).unwrap());
        assert_eq!(durable::list(folder.path()).unwrap(), ["f"]);
    }

    #[test]
    fn what_a_crash_has_left_is_replaced_and_a_link_is_not_followed() {
        let folder = Folder::new();
        let (place, part) = (folder.path().join("f"), folder.path().join("f.stint-part"));
        let other = folder.path().join("other");
        fs::write(&other, "other's").unwrap();
        fs::write(&part, "left, and longer than the new one").unwrap();
        for _ in 0..2 {
            let mut new = Part::begin(&place).unwrap();
            new.add(b"new").unwrap();
            new.keep(0o700).unwrap();
            assert_eq!(fs::read(&place).unwrap(), b"new");
            std::os::unix::fs::symlink(&other, &part).unwrap();
        }
        assert_eq!(fs::read(&other).unwrap(), b"other's");
    }

    #[test]
    fn only_the_file_that_was_written_is_moved_or_removed() {
        let folder = Folder::new();
        let (place, path) = (folder.path().join("f"), folder.path().join("f.stint-part"));
        let mut part = Part::begin(&place).unwrap();
        part.add(b"ours").unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        let error = part.keep(0o700).unwrap_err().to_string();
        assert!(error.contains("replaced"), "{error}");
        assert!(!place.exists());
        assert_eq!(fs::read(&path).unwrap(), b"another's");
    }
}
