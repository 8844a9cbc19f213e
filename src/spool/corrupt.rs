//! What could not be read: kept for somebody to look at, and bounded.
//!
//! A file from `pending/` keeps its name, a job's folder too; copies of a job's single files are
//! named `<job>.<file>`. Where the name is taken, `.1`, `.2` and so on follow it.

use super::folder::JobFolder;
use super::job::Outcome;
use super::store::pending_name;
use crate::sys::{FileError, clock, durable};
use std::fs;
use std::path::{Path, PathBuf};

/// Damaged files and folders of jobs that are kept, for somebody to look at. Each is at most the
/// size of a job and its outcome.
const MAX_CORRUPT: usize = 8;

/// The folder `corrupt/`.
#[derive(Clone, Debug)]
pub struct Corrupt(PathBuf);

impl Corrupt {
    /// The folder at that path; it is not looked into.
    pub fn at(path: &Path) -> Corrupt {
        Corrupt(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Moves what can't be read out of the way.
    pub fn set_aside(&self, path: &Path) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let to = self.place_for(&name.unwrap_or_default());
        log::error!("{} can't be read; it is kept in {}", path.display(), to.display());
        if let Err(error) = durable::rename(path, &to) {
            log::error!("{error}");
        }
        // Output and downloads tell nothing of the damage. They take flash and may hold secrets.
        for name in durable::list(&to).unwrap_or_default() {
            let _ = fs::remove_dir_all(to.join(name));
        }
    }

    /// Keeps a copy, under that name, of what is damaged and still has to stay where it is.
    pub fn keep_copy(&self, path: &Path, name: &str) {
        let to = self.place_for(name);
        log::error!("{} is damaged; it is kept in {}", path.display(), to.display());
        if let Err(cause) = fs::copy(path, &to) {
            log::error!("{}", FileError::new("copy", path)(cause));
        }
    }

    /// The names of the jobs that were set aside, with what is known to be over. One may be here
    /// more than once.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn jobs(&self) -> Result<Vec<(String, Outcome)>, FileError> {
        let mut jobs = Vec::new();
        for file in durable::list(&self.0)? {
            let (stem, rest) = file.split_once('.').unwrap_or((&file, ""));
            let rest =
                rest.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
            match rest {
                "" => jobs.push((stem.to_owned(), JobFolder::at(&self.0.join(&file)).outcome())),
                "json" => jobs.extend(
                    pending_name(&format!("{stem}.json"))
                        .filter(|name| !name.is_empty())
                        .map(|name| (name.to_owned(), Outcome::begun())),
                ),
                // A copy of a file; its job goes on.
                _ => {}
            }
        }
        Ok(jobs)
    }

    /// Forgets the oldest.
    pub fn prune(&self) {
        for path in oldest(&self.0, MAX_CORRUPT) {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
    }

    /// A name that nothing has.
    fn place_for(&self, name: &str) -> PathBuf {
        let plain = self.0.join(name);
        let numbered = (1u32..).map(|number| self.0.join(format!("{name}.{number}")));
        std::iter::once(plain.clone()).chain(numbered).find(|path| !path.exists()).unwrap_or(plain)
    }
}

/// What is in a folder but for the `most` youngest.
fn oldest(folder: &Path, most: usize) -> Vec<PathBuf> {
    let names = durable::list(folder).unwrap_or_default();
    let mut aged: Vec<_> = names
        .into_iter()
        .filter_map(|name| {
            let path = folder.join(name);
            Some((clock::of_file(&fs::metadata(&path).ok()?), path))
        })
        .collect();
    aged.sort_unstable();
    let surplus = aged.len().saturating_sub(most);
    aged.into_iter().take(surplus).map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn corrupt(folder: &Folder) -> Corrupt {
        let corrupt = Corrupt::at(&folder.path().join("corrupt"));
        durable::make_folder(corrupt.path()).unwrap();
        corrupt
    }

    #[test]
    fn what_is_set_aside_twice_is_kept_twice_and_not_for_ever() {
        let folder = Folder::new();
        let corrupt = corrupt(&folder);
        let file = folder.path().join("0000000000000001-job.json");
        for turn in 1..MAX_CORRUPT + 4 {
            fs::write(&file, "{").unwrap();
            corrupt.set_aside(&file);
            assert!(!file.exists());
            assert_eq!(durable::list(corrupt.path()).unwrap().len(), turn);
        }
        let jobs = corrupt.jobs().unwrap();
        assert!(jobs.len() > MAX_CORRUPT && jobs.iter().all(|(name, _)| name == "job"));
        corrupt.prune();
        assert_eq!(durable::list(corrupt.path()).unwrap().len(), MAX_CORRUPT);
    }

    #[test]
    fn of_a_damaged_job_no_output_and_no_download_is_kept() {
        let folder = Folder::new();
        let corrupt = corrupt(&folder);
        let bad = folder.path().join("bad");
        fs::create_dir_all(bad.join("downloads")).unwrap();
        fs::write(bad.join("job.json"), "{").unwrap();
        fs::write(bad.join("downloads/large"), "secret").unwrap();
        corrupt.set_aside(&bad);
        assert_eq!(durable::list(&corrupt.path().join("bad")).unwrap(), ["job.json"]);
    }

    #[test]
    fn a_copy_is_no_lost_job() {
        let folder = Folder::new();
        let corrupt = corrupt(&folder);
        fs::write(folder.path().join("journal"), "?").unwrap();
        for _ in 0..2 {
            corrupt.keep_copy(&folder.path().join("journal"), "job.journal");
        }
        assert_eq!(durable::list(corrupt.path()).unwrap(), ["job.journal", "job.journal.1"]);
        assert_eq!(corrupt.jobs().unwrap(), []);
    }
}
