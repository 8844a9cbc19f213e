//! Hears of what is put into a folder (inotify(7)).

use super::check;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A file is made there, is whole, or comes from elsewhere; or the folder itself goes.
const EVENTS: u32 = libc::IN_CREATE
    | libc::IN_CLOSE_WRITE
    | libc::IN_MOVED_TO
    | libc::IN_DELETE_SELF
    | libc::IN_MOVE_SELF
    | libc::IN_ONLYDIR;

/// A descriptor that becomes readable when one of [`EVENTS`] happens to a folder from now on. What it says is of no
/// interest: who waits for it looks into the folder, and waits for another one.
///
/// # Errors
/// No such folder; a kernel without inotify; too many of them (`fs.inotify.max_user_instances`).
pub fn watch(folder: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: takes integers only; the descriptor is new and nobody else's.
    let watch = unsafe { OwnedFd::from_raw_fd(check(libc::inotify_init1(libc::IN_CLOEXEC))?) };
    // SAFETY: the name is a C string that lives through the call.
    check(unsafe { libc::inotify_add_watch(watch.as_raw_fd(), name.as_ptr(), EVENTS) })?;
    Ok(watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptors;
    use crate::testing::Folder;
    use std::fs;
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn heard(watch: &OwnedFd) -> bool {
        let ready = descriptors::wait([Some(watch.as_fd())], Some(Duration::ZERO));
        ready.unwrap().iter().any(|it| it.readable)
    }

    #[test]
    fn a_new_file_is_heard_of_and_one_that_is_read_is_not() {
        let folder = Folder::new();
        let path = folder.path().join("a");
        let first = watch(folder.path()).unwrap();
        assert!(!heard(&first));
        fs::write(&path, "x").unwrap();
        assert!(heard(&first));
        let second = watch(folder.path()).unwrap();
        fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!heard(&second));
        assert!(watch(&path).is_err());
    }
}
