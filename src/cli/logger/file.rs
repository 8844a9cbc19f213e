//! Lines in a file that is turned over when it is full. Guardian, daemon and sessions write to the same one.
//!
//! Nothing waits for the disk: after a power cut the last seconds may be missing, and what was torn is a
//! line of its own.

use super::one_line;
use crate::sys::{clock, lock};
use log::Record;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A line is no longer, bytes.
const MAX_LINE: usize = 4096;

/// A log file, with those before it as `.1`, `.2` and so on.
pub struct LogFile {
    path: PathBuf,
    /// The path leads through no symbolic link, which would be moved away in the file's place.
    real: bool,
    /// It is turned over before it gets larger, bytes.
    max: u64,
    /// How many files there are at most.
    files: u64,
    open: Option<File>,
    /// The last line in it may have no end.
    torn: bool,
    /// Lines that couldn't be written.
    lost: u32,
}

impl LogFile {
    /// At `path`; it is opened with the first line.
    pub fn new(path: &Path, max: u64, files: u64) -> LogFile {
        LogFile { path: path.to_owned(), real: false, max, files, open: None, torn: false, lost: 0 }
    }

    /// Adds a line. False if it can't be written, most often because the disk is full.
    pub fn write(&mut self, record: &Record<'_>) -> bool {
        let said = one_line(record);
        let said = said.get(..said.floor_char_boundary(MAX_LINE)).unwrap_or_default();
        let (time, pid) = (clock::system().iso(), std::process::id());
        let missing = match self.lost {
            0 => String::new(),
            lost => format!("{time} WARN  [{pid}] {lost} lines are missing here\n"),
        };
        let line = format!("{missing}{time} {:<5} [{pid}] {said}\n", record.level().as_str());
        let written = self.add(&line);
        if written.is_err() {
            // It may be another file by the next line.
            self.open = None;
        }
        self.lost = if written.is_ok() { 0 } else { self.lost.saturating_add(1) };
        written.is_ok()
    }

    fn add(&mut self, line: &str) -> io::Result<()> {
        // Once more at most: a file that has been turned over meanwhile is left alone.
        for _ in 0..2 {
            let file = match self.open.take() {
                Some(file) if self.is_still(&file) => file,
                _ => self.open()?,
            };
            let size = file.metadata()?.len();
            if size > 0 && size + line.len() as u64 > self.max && self.turn_over(&file)? {
                continue;
            }
            return self.append(file, line);
        }
        let file = self.open()?;
        self.append(file, line)
    }

    fn append(&mut self, mut file: File, line: &str) -> io::Result<()> {
        // One call, so that the lines of two processes don't mix.
        let line = if self.torn { format!("\n{line}") } else { line.to_owned() };
        let count = file.write(line.as_bytes())?;
        self.torn = count < line.len();
        self.open = Some(file);
        if self.torn { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn open(&mut self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        if !self.real {
            self.path = fs::canonicalize(&self.path)?;
            self.real = true;
        }
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        self.torn = last != [b'\n'];
        Ok(file)
    }

    /// Whether a file is still the one at the path.
    fn is_still(&self, file: &File) -> bool {
        let (Ok(own), Ok(there)) = (file.metadata(), fs::metadata(&self.path)) else {
            return false;
        };
        (own.dev(), own.ino()) == (there.dev(), there.ino())
    }

    /// Makes room; false if another process is at it.
    fn turn_over(&self, file: &File) -> io::Result<bool> {
        if !lock::take(file)? {
            return Ok(false);
        }
        if !self.is_still(file) {
            return Ok(true);
        }
        if self.files < 2 {
            file.set_len(0)?;
            return Ok(true);
        }
        for number in (1..self.files - 1).rev() {
            let _ = fs::rename(self.old(number), self.old(number + 1));
        }
        fs::rename(&self.path, self.old(1)).map(|()| true)
    }

    fn old(&self, number: u64) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use log::Level;

    fn write(file: &mut LogFile, line: &str) -> bool {
        file.write(&Record::builder().level(Level::Warn).args(format_args!("{line}")).build())
    }

    fn names(folder: &Folder) -> Vec<String> {
        crate::sys::durable::list(folder.path()).unwrap()
    }

    #[test]
    fn two_processes_turn_one_log_over_and_no_line_is_torn() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        // Each is as much apart as two processes are.
        let (mut one, mut other) = (LogFile::new(&path, 1000, 3), LogFile::new(&path, 1000, 3));
        for number in 0..200 {
            assert!(write(&mut one, &format!("one {number}")));
            assert!(write(&mut other, &format!("other {number}")));
        }
        assert_eq!(names(&folder), ["log", "log.1", "log.2"]);
        let texts = ["log.2", "log.1", "log"]
            .map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
        assert!(texts.iter().all(|text| text.len() <= 1000 && text.ends_with('\n')));
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        assert!(lines.len() > 30);
        for (at, line) in lines.iter().rev().enumerate() {
            let number = 199 - at / 2;
            let name = if at % 2 == 0 { "other" } else { "one" };
            assert!(
                line.ends_with(&format!("] {name} {number}")) && line.contains(" WARN  ["),
                "{line}"
            );
        }
    }

    #[test]
    fn a_log_of_one_file_begins_anew_when_it_is_full() {
        let folder = Folder::new();
        let mut file = LogFile::new(&folder.path().join("log"), 500, 1);
        for number in 0..100 {
            assert!(write(&mut file, &number.to_string()));
        }
        assert_eq!(names(&folder), ["log"]);
        let text = fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(text.len() <= 500 && text.ends_with("] 99\n"));
    }

    #[test]
    fn a_log_behind_a_symbolic_link_is_turned_over_where_it_is() {
        let folder = Folder::new();
        let (link, other) = (folder.path().join("log"), folder.path().join("other"));
        fs::create_dir(&other).unwrap();
        std::os::unix::fs::symlink(other.join("real"), &link).unwrap();
        let mut file = LogFile::new(&link, 500, 2);
        for number in 0..100 {
            assert!(write(&mut file, &number.to_string()));
        }
        assert_eq!(names(&folder), ["log", "other"]);
        assert_eq!(crate::sys::durable::list(&other).unwrap(), ["real", "real.1"]);
        assert!(fs::read_to_string(&link).unwrap().ends_with("] 99\n"));
    }

    #[test]
    fn what_a_power_cut_has_torn_is_a_line_of_its_own() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        fs::write(&path, "half a li").unwrap();
        assert!(write(&mut LogFile::new(&path, 1000, 2), "next"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("half a li\n2") && text.ends_with("] next\n"));
    }

    #[test]
    fn a_log_that_somebody_moves_away_is_begun_anew_and_a_gap_is_told() {
        let folder = Folder::new();
        let path = folder.path().join("sub").join("log");
        let mut file = LogFile::new(&path, 1000, 2);
        assert!(!write(&mut file, "lost") && !write(&mut file, "lost"));
        fs::create_dir(folder.path().join("sub")).unwrap();
        assert!(write(&mut file, "one"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("2 lines are missing here\n") && text.ends_with("] one\n"));
        fs::rename(&path, folder.path().join("away")).unwrap();
        assert!(write(&mut file, "two"));
        assert!(fs::read_to_string(&path).unwrap().ends_with("] two\n"));
    }
}
