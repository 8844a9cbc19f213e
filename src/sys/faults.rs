//! Faults on purpose, for `tests/test_faults.py`: the process dies at a chosen operation, or the
//! operation fails.
//!
//! Only debug builds can do it. In a release build [`attempt`] and [`write_all`] are the bare
//! call, [`point`] is nothing, and no byte of this file is left.
//!
//! `STINT_FAULTS` names a folder. Each operation of each process is noted there in `points`, one
//! line `role place`; the role is the program's first argument (`run`, `worker`), the place an
//! operation and the end of its path, with whatever looks like an id as `*`. A file `plan` holds
//! one line `role kind occurrence place`, and the first process that gets there suffers it. The
//! file `struck` says that it has happened, so that it doesn't happen again; but with `every` as
//! the occurrence it happens as long as the plan is there.

use super::FileError;
use std::fs::File;
use std::io;
use std::path::Path;

#[cfg(debug_assertions)]
pub use armed::point;
#[cfg(debug_assertions)]
use armed::{Fault, arrive};

/// Does one operation on a file: the smallest thing that can fail by itself.
///
/// # Errors
/// What `call` says, with `action` and `path`; or the planned fault.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn attempt<T>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> io::Result<T>,
) -> Result<T, FileError> {
    call().map_err(FileError::new(action, path))
}

/// Does one operation on a file: the smallest thing that can fail by itself.
///
/// # Errors
/// What `call` says, with `action` and `path`; or the planned fault.
#[cfg(debug_assertions)]
pub fn attempt<T>(
    action: &'static str,
    path: &Path,
    call: impl FnOnce() -> io::Result<T>,
) -> Result<T, FileError> {
    let fault = arrive(action, path);
    let result = match fault {
        Some(Fault::Error(code)) => Err(io::Error::from_raw_os_error(code)),
        _ => call(),
    };
    if let Some(Fault::KillAfter) = fault {
        armed::die();
    }
    result.map_err(FileError::new(action, path))
}

/// Writes all of `content` to the file at `path`.
///
/// # Errors
/// What the system says, or the planned fault. A disk that is full takes the first half, as real
/// ones take what fits.
pub fn write_all(file: &mut File, path: &Path, content: &[u8]) -> Result<(), FileError> {
    use io::Write;
    #[cfg(debug_assertions)]
    let content = if armed::is_full_at("write", path) {
        let (half, _) = content.split_at(content.len() / 2);
        file.write_all(half).map_err(FileError::new("write", path))?;
        half
    } else {
        content
    };
    attempt("write", path, || file.write_all(content))
}

/// A place that isn't an operation on a file, where the process may be made to die.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};

    /// Anything this long of nothing but hexadecimal digits and hyphens is an id.
    const ID: usize = 16;

    /// Where this process has been so far.
    static PASSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// What is to happen.
    #[derive(Clone, Copy)]
    pub enum Fault {
        /// The process dies before the operation.
        KillBefore,
        /// The process dies after the operation.
        KillAfter,
        /// The operation fails with this errno.
        Error(i32),
    }

    /// A place that isn't an operation on a file, where the process may be made to die.
    pub fn point(name: &'static str) {
        arrive(name, Path::new(""));
    }

    /// Notes the place; dies here, or gives back what else is planned for it.
    pub fn arrive(action: &str, path: &Path) -> Option<Fault> {
        let folder = folder()?;
        let place = place(action, path);
        append(&folder.join("points"), &format!("{} {place}\n", role()));
        let fault =
            due(&folder, &place, &mut PASSED.lock().unwrap_or_else(PoisonError::into_inner));
        let (fault, is_each_time) = fault?;
        // Of several processes, one suffers it.
        let mark = || OpenOptions::new().write(true).create_new(true).open(folder.join("struck"));
        if mark().is_err() && !is_each_time {
            return None;
        }
        if let Fault::KillBefore = fault {
            die();
        }
        Some(fault)
    }

    /// Whether the disk is to be full at the operation that comes next.
    pub fn is_full_at(action: &str, path: &Path) -> bool {
        let Some(folder) = folder() else { return false };
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fault = due(&folder, &place(action, path), &mut passed);
        let is_new = !folder.join("struck").exists();
        matches!(fault, Some((Fault::Error(libc::ENOSPC), each_time)) if each_time || is_new)
    }

    /// What is planned for `place`, which has been reached once more, and whether it is each time.
    fn due(folder: &Path, place: &str, passed: &mut Vec<String>) -> Option<(Fault, bool)> {
        passed.push(place.to_owned());
        let occurrence = passed.iter().filter(|earlier| *earlier == place).count();
        let plan = fs::read_to_string(folder.join("plan")).ok()?;
        let mut words = plan.trim_end().splitn(4, ' ');
        let (whom, kind, number) = (words.next()?, words.next()?, words.next()?);
        let each_time = number == "every";
        let now = each_time || number == occurrence.to_string();
        if whom != role() || !now || words.next()? != place {
            return None;
        }
        let fault = match kind {
            "kill-before" => Fault::KillBefore,
            "kill-after" => Fault::KillAfter,
            "ENOSPC" => Fault::Error(libc::ENOSPC),
            "EIO" => Fault::Error(libc::EIO),
            "EMFILE" => Fault::Error(libc::EMFILE),
            "EPERM" => Fault::Error(libc::EPERM),
            _ => return None,
        };
        Some((fault, each_time))
    }

    /// As `kill -9` does it: nothing is cleaned up.
    pub fn die() {
        // SAFETY: takes integers only.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }

    fn folder() -> Option<PathBuf> {
        std::env::var_os("STINT_FAULTS").map(PathBuf::from)
    }

    fn role() -> String {
        std::env::args().nth(1).unwrap_or_default()
    }

    fn append(path: &Path, line: &str) {
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// The operation and the last two names of the path, the same in every run.
    fn place(action: &str, path: &Path) -> String {
        let names: Vec<_> = path.iter().map(|name| without_ids(&name.to_string_lossy())).collect();
        let last = names.len().saturating_sub(2);
        format!("{action} {}", names.get(last..).unwrap_or_default().join("/"))
            .trim_end()
            .to_owned()
    }

    fn without_ids(name: &str) -> String {
        let (mut out, mut run) = (String::new(), String::new());
        for letter in name.chars().map(Some).chain([None]) {
            match letter {
                Some(letter) if letter.is_ascii_hexdigit() || letter == '-' => run.push(letter),
                _ => {
                    out.push_str(if run.len() < ID { &run } else { "*" });
                    run.clear();
                    out.extend(letter);
                }
            }
        }
        out
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_place_has_the_same_name_in_every_run() {
            for (path, wanted) in [
                (
                    "/s/spool/pending/0000000000000001-4f7c1d0e-5b2a-4f7c.json.tmp",
                    "pending/*.json.tmp",
                ),
                ("/s/spool/current/4f7c1d0e-5b2a-4f7c-9d0e-5b2a4f7c1d0e/journal", "*/journal"),
                ("x/spool/current", "spool/current"),
            ] {
                assert_eq!(place("write", Path::new(path)), format!("write {wanted}"));
            }
            assert_eq!(place("acknowledge", Path::new("")), "acknowledge");
        }

        #[test]
        fn a_plan_strikes_at_its_occurrence_and_nowhere_else() {
            let folder = crate::testing::Folder::new();
            let role = role();
            fs::write(folder.path().join("plan"), format!("{role} EIO 2 write a/b\n")).unwrap();
            let mut passed = Vec::new();
            assert!(due(folder.path(), "write a/b", &mut passed).is_none());
            assert!(due(folder.path(), "write a/c", &mut passed).is_none());
            let second = due(folder.path(), "write a/b", &mut passed);
            assert!(matches!(second, Some((Fault::Error(libc::EIO), false))));
            assert!(due(folder.path(), "write a/b", &mut passed).is_none());
            fs::write(folder.path().join("plan"), format!("{role} EIO every write a/b\n")).unwrap();
            for _ in 0..3 {
                let again = due(folder.path(), "write a/b", &mut passed);
                assert!(matches!(again, Some((Fault::Error(libc::EIO), true))));
            }
        }
    }
}
