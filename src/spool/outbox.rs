//! What the server has yet to be told: one file per job, holding its latest report.
//!
//! A later report on the same job replaces an earlier one, because it says all that the earlier
//! one said. So the outbox is bounded by the number of jobs.

use super::content::{self, Content};
use super::file_name;
use super::job::Report;
use crate::sys::reserve::Reserve;
use crate::sys::{FileError, durable};
use miniserde::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The outbox of one state folder.
#[derive(Clone, Debug)]
pub struct Outbox(PathBuf, Reserve);

impl Outbox {
    /// The outbox below a state folder, which is made and cleared of half-written files.
    ///
    /// # Errors
    /// The folder can't be made or read.
    pub fn open(state: &Path) -> Result<Outbox, FileError> {
        let outbox = Outbox::at(state);
        durable::make_folder(&outbox.0)?;
        durable::sweep(&outbox.0)?;
        Ok(outbox)
    }

    fn at(state: &Path) -> Outbox {
        Outbox(state.join("outbox"), Reserve::of(&state.join("spool")))
    }

    /// Counts the reports of a state folder without touching it.
    pub fn count(state: &Path) -> usize {
        durable::list(&Outbox::at(state).0).map_or(0, |names| names.len())
    }

    /// Puts a report in; when this returns it survives a power cut.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn put(&self, report: &Report) -> Result<(), FileError> {
        let text = json::to_string(report);
        self.1.spend(|| durable::write(&self.path(&report.job), text.as_bytes()))
    }

    /// All reports that wait, and the files that should be reports.
    ///
    /// # Errors
    /// The folder or a file can't be read now.
    pub fn reports(&self) -> Result<(Vec<Report>, Vec<PathBuf>), FileError> {
        let (mut reports, mut damaged) = (Vec::new(), Vec::new());
        for file in durable::list(&self.0)? {
            let path = self.0.join(file);
            match content::read(&path)? {
                Content::Is(report) => reports.push(report),
                Content::Damaged => damaged.push(path),
                Content::Missing => {}
            }
        }
        Ok((reports, damaged))
    }

    /// Takes a report out that the server has, unless a later one has replaced it meanwhile.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn remove(&self, told: &Report) -> Result<(), FileError> {
        let path = self.path(&told.job);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let unchanged = json::from_str::<Report>(&text).is_ok_and(|report| report == *told);
        if unchanged { durable::remove(&path) } else { Ok(()) }
    }

    /// Takes out whatever waits about a job: the server knows all of it by now.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn forget(&self, job: &str) -> Result<(), FileError> {
        durable::remove(&self.path(job))
    }

    fn path(&self, job: &str) -> PathBuf {
        self.0.join(format!("{}.json", file_name(job)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Outcome;
    use crate::testing::Folder;
    use stint_wire::reply::Status;

    #[test]
    fn a_report_stays_until_it_is_told_and_a_later_one_is_not_taken_for_it() {
        let folder = Folder::new();
        let outbox = Outbox::open(folder.path()).unwrap();
        let early = Report { job: "a".into(), receipt: "r".into(), outcome: Outcome::begun() };
        let late =
            Report { outcome: Outcome::ended(Status::Success, String::new()), ..early.clone() };
        outbox.put(&early).unwrap();
        outbox.put(&late).unwrap();
        outbox.remove(&early).unwrap();
        assert_eq!(
            Outbox::open(folder.path()).unwrap().reports().unwrap(),
            (vec![late.clone()], vec![])
        );
        outbox.remove(&late).unwrap();
        assert_eq!(Outbox::count(folder.path()), 0);
    }
}
