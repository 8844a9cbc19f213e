//! Reading the log: to show it, to check it, and to send what is new.

use crate::sys::FileError;
use std::fs;
use std::io;
use std::path::Path;
use stint_wire::audit::{Chain, Fault, Record, read};

/// What there is, and whether it holds together.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Records that can be read.
    pub records: Vec<Record>,
    /// The number of the first; 0 if there is none.
    pub first: u64,
    /// The number of the last; 0 if there is none.
    pub last: u64,
    /// What is wrong, each with its line, counted from 1 over both files.
    pub faults: Vec<(usize, Fault)>,
}

/// The lines of both files, oldest first. The log isn't turned over between the two, unless this user may not
/// keep it from that.
fn lines(folder: &Path) -> Result<Vec<String>, FileError> {
    let _held = super::hold(folder);
    let mut all = Vec::new();
    for name in ["log.1", "log"] {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                all.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(FileError::new("read", &path)(cause)),
        }
    }
    Ok(all)
}

/// Reads all of the log and follows its chain.
///
/// # Errors
/// A file can't be read.
pub fn verify(folder: &Path) -> Result<Verdict, FileError> {
    let mut verdict = Verdict::default();
    let mut chain = Chain::default();
    for (at, line) in lines(folder)?.iter().enumerate() {
        if let Err(fault) = chain.follow(line) {
            verdict.faults.push((at + 1, fault));
        }
        verdict.records.extend(read(line));
    }
    verdict.first = verdict.records.first().map_or(0, |record| record.number);
    verdict.last = verdict.records.last().map_or(0, |record| record.number);
    Ok(verdict)
}

/// The lines after the record of that number, at most so many. All of them count as new if the log
/// was begun anew since, which shows by its numbers.
///
/// # Errors
/// A file can't be read.
pub fn lines_after(folder: &Path, number: u64, most: usize) -> Result<Vec<String>, FileError> {
    let mut lines = lines(folder)?;
    let last = lines.iter().rev().find_map(|line| read(line)).map_or(0, |record| record.number);
    if last >= number {
        let sent = lines.iter().rposition(|line| read(line).is_some_and(|it| it.number <= number));
        lines.drain(..sent.map_or(0, |at| at + 1));
    }
    lines.truncate(most);
    Ok(lines)
}
