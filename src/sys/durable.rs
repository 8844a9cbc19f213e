//! Files that survive a power cut: durable or not at all.
//!
//! Every state file of the agent goes through [`write`]: temporary file, write, fsync, rename,
//! fsync of the folder. After a power cut there is the old content or the new one.

use super::faults::{attempt, write_all};
use super::{FileError, check};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// State files are for the agent's user alone.
const FILE_MODE: u32 = 0o600;

/// So are the folders they are in.
const FOLDER_MODE: u32 = 0o700;

/// No file with a secret is larger, bytes.
const LARGEST_SECRET: u64 = 64 * 1024;

/// Names of temporary files end so; what a crash left of them is removed by [`sweep`].
const TEMPORARY: &str = ".tmp";

/// Replaces the content of `path`.
///
/// # Errors
/// The step that failed. The old content is still there, and no temporary file is left unless
/// the process died.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_name(path);
    let written = write_temporary(&temporary, content).and_then(|()| rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_temporary(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(FILE_MODE);
    let mut file = attempt("create", path, || options.open(path))?;
    write_all(&mut file, path, content)?;
    attempt("fsync", path, || file.sync_all())
}

/// Adds to the end of a file, which is made if need be. Survives the death of every process, but
/// no power cut.
///
/// # Errors
/// The step that failed. A part of `content` may have been written.
pub fn append(path: &Path, content: &[u8]) -> Result<(), FileError> {
    add(path, content).map(drop)
}

/// Like [`append`], and waits until it is on disk with all that was added before.
///
/// # Errors
/// The step that failed. A part of `content` may have been written.
pub fn append_durably(path: &Path, content: &[u8]) -> Result<(), FileError> {
    append_to_known(path, content)?;
    sync_parent(path)
}

/// Like [`append_durably`], for a file whose name is on disk already. To write its folder costs as much as the
/// content does.
///
/// # Errors
/// The step that failed. A part of `content` may have been written.
pub fn append_to_known(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let file = add(path, content)?;
    attempt("fsync", path, || file.sync_all())
}

fn add(path: &Path, content: &[u8]) -> Result<File, FileError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(FILE_MODE);
    let mut file = attempt("open", path, || options.open(path))?;
    write_all(&mut file, path, content)?;
    Ok(file)
}

/// Moves a file or a folder within one file system; done when it is on disk.
///
/// # Errors
/// The step that failed.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    attempt("rename", from, || fs::rename(from, to))?;
    sync_parent(to)?;
    if from.parent() == to.parent() { Ok(()) } else { sync_parent(from) }
}

/// Moves a file into another folder; done when its new place is on disk. After a power cut it
/// may also be in the old one: the caller knows which place counts.
///
/// # Errors
/// The step that failed.
pub fn move_into(from: &Path, to: &Path) -> Result<(), FileError> {
    attempt("rename", from, || fs::rename(from, to))?;
    sync_parent(to)
}

/// Removes a file; one that isn't there is fine.
///
/// # Errors
/// The step that failed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match attempt("remove", path, || fs::remove_file(path)) {
        Ok(()) => sync_parent(path),
        Err(error) if error.cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Overwrites a file with blanks and removes it; one that isn't there is fine. On flash without
/// wear levelling that is all one can do to a secret.
///
/// # Errors
/// The step that failed; what can't be overwritten is removed all the same.
pub fn wipe(path: &Path) -> Result<(), FileError> {
    if let Ok(found) = fs::metadata(path) {
        let blank = |mut file: File| {
            file.write_all(&vec![b' '; found.len().min(LARGEST_SECRET) as usize])?;
            file.sync_all()
        };
        let _ = OpenOptions::new().write(true).open(path).and_then(blank);
    }
    remove(path)
}

/// Makes a folder and its parents, if need be; done when it is on disk.
///
/// # Errors
/// The step that failed.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE);
    attempt("make", path, || builder.create(path))?;
    sync_parent(path)
}

/// Waits until everything on the file system of `path` is on disk. For a folder of many files
/// that others have written; on Linux before 5.8 it may not hear of errors.
///
/// # Errors
/// What syncfs(2) says.
pub fn sync_all(path: &Path) -> Result<(), FileError> {
    let folder = File::open(path).map_err(FileError::new("open", path))?;
    // SAFETY: takes an integer only, which is an open descriptor.
    let sync = || check(unsafe { libc::syncfs(folder.as_raw_fd()) });
    attempt("syncfs", path, sync).map(drop)
}

/// Removes what a crash left half written in a folder. Nothing refers to it.
///
/// # Errors
/// The folder can't be read.
pub fn sweep(folder: &Path) -> Result<(), FileError> {
    for name in list(folder)? {
        if name.ends_with(TEMPORARY) {
            let _ = fs::remove_file(folder.join(name));
        }
    }
    Ok(())
}

/// The names in a folder, sorted. Names that are no UTF-8 are none of ours and are left out.
///
/// # Errors
/// The folder can't be read.
pub fn list(folder: &Path) -> Result<Vec<String>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::new("read", folder))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}

fn sync_parent(path: &Path) -> Result<(), FileError> {
    // A bare name's parent is the empty path, which stands for the current folder.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let folder = File::open(parent).map_err(FileError::new("open", parent))?;
    attempt("fsync", parent, || folder.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_is_private() {
        let folder = Folder::new();
        let path = folder.path().join("state.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(list(folder.path()).unwrap(), ["state.json"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_rubbish() {
        let folder = Folder::new();
        let path = folder.path().join("in-the-way");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x").unwrap_err();
        assert_eq!(error.action, "rename");
        assert_eq!(list(folder.path()).unwrap(), ["in-the-way"]);
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept() {
        let folder = Folder::new();
        fs::write(folder.path().join("a.json.tmp"), b"half").unwrap();
        fs::write(folder.path().join("a.json"), b"whole").unwrap();
        sweep(folder.path()).unwrap();
        assert_eq!(list(folder.path()).unwrap(), ["a.json"]);
    }

    #[test]
    fn a_wiped_file_is_overwritten_first_and_one_that_is_not_there_is_fine() {
        let folder = Folder::new();
        let (path, other) = (folder.path().join("secret"), folder.path().join("link"));
        fs::write(&path, b"key").unwrap();
        fs::hard_link(&path, &other).unwrap();
        wipe(&path).unwrap();
        wipe(&path).unwrap();
        assert_eq!(list(folder.path()).unwrap(), ["link"]);
        assert_eq!(fs::read(&other).unwrap(), b"   ");
    }

    #[test]
    fn lines_are_added_at_the_end() {
        let folder = Folder::new();
        let path = folder.path().join("journal");
        append(&path, b"a\n").unwrap();
        append_durably(&path, b"b\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\n");
    }
}
