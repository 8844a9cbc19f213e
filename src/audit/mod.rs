//! The audit log: who wanted what of this device, one line per record, each holding the digest of
//! the one before (`stint_wire::audit`).
//!
//! `<state>/audit/log` takes the records; when it is full it becomes `log.1`, which replaces an
//! older one. The chain goes on over both. Several processes write: the daemon, and commands such
//! as `stint register`; `lock` is held while a record is added.
//!
//! Never here: the network. A record that can't be written doesn't keep what it tells from
//! happening; the next one says how many are missing.

mod read;

pub use read::{lines_after, verify};

use crate::sys::{FileError, clock, durable, lock};
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
use stint_wire::audit::{self, Event, MAX_LINE};

/// Where a process that has opened the log writes to.
static LOG: OnceLock<Log> = OnceLock::new();

/// Records since the last one that couldn't be written.
static LOST: AtomicU32 = AtomicU32::new(0);

/// How long another process is waited for, which holds the lock for one record.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// The digest of the configuration that the last daemon ran with.
const CONFIG: &str = "config";

struct Log {
    folder: PathBuf,
    /// `log` is turned over at this size, bytes.
    max: u64,
}

/// Where the log of a state folder is.
pub fn folder(state: &Path) -> PathBuf {
    state.join("audit")
}

/// From now on this process's records go to the log of `state`, which may take `max` bytes of disk.
pub fn open(state: &Path, max: u64) {
    let _ = LOG.set(Log { folder: folder(state), max: max / 2 });
}

/// Writes a record: what happened, on whose wish, and what it was about, by name. Does nothing in
/// a process that has opened no log.
pub fn record(event: &str, who: &str, what: &[(&str, &str)]) {
    let Some(log) = LOG.get() else { return };
    let lost = LOST.load(Ordering::Relaxed);
    let event = Event { time: clock::system(), event, who, what, lost };
    match log.add(&event) {
        Ok(()) => {
            LOST.fetch_sub(lost, Ordering::Relaxed);
        }
        Err(error) => {
            LOST.fetch_add(1, Ordering::Relaxed);
            log::error!("the audit log misses {}: {error}", event.event);
        }
    }
}

/// The person at the command line, as far as the system knows.
pub fn person() -> String {
    let uid = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    match std::env::var("SUDO_USER") {
        Ok(name) => format!("user {uid} ({name})"),
        Err(_) => format!("user {uid}"),
    }
}

/// Records the configuration that the daemon runs with, if it isn't the one before's.
pub fn configuration(path: Option<&Path>) {
    let Some(log) = LOG.get() else { return };
    let text = path.and_then(|path| fs::read(path).ok()).unwrap_or_default();
    let digest = stint_wire::text::sha256_hex(&text);
    let file = log.folder.join(CONFIG);
    if fs::read_to_string(&file).is_ok_and(|before| before == digest) {
        return;
    }
    let name = path.map_or_else(|| "none".into(), |path| path.to_string_lossy());
    record("config.changed", "unknown", &[("file", &name), ("sha256", &digest)]);
    if let Err(error) = durable::write(&file, digest.as_bytes()) {
        log::warn!("{error}");
    }
}

impl Log {
    fn add(&self, event: &Event<'_>) -> Result<(), FileError> {
        durable::make_folder(&self.folder)?;
        let _held = self.hold()?;
        let (log, old) = (self.folder.join("log"), self.folder.join("log.1"));
        let mut tail = Tail::of(&log)?;
        if tail.length > self.max {
            durable::rename(&log, &old)?;
            tail.length = 0;
            tail.torn = false;
        } else if tail.length == 0 {
            tail = Tail { length: 0, torn: false, ..Tail::of(&old)? };
        } else if tail.number == 0 {
            // Nothing in it can be read. Numbers that begin anew would be taken for ones that the
            // hub has.
            tail.number = Tail::of(&old)?.number;
        }
        let line = audit::line(tail.number + 1, tail.last.as_deref(), event);
        // What a power cut left of a line is a line of its own.
        let line = format!("{}{line}\n", if tail.torn { "\n" } else { "" });
        durable::append_durably(&log, line.as_bytes())
    }

    fn hold(&self) -> Result<fs::File, FileError> {
        let path = self.folder.join("lock");
        for _ in 0..TRIES {
            if let Some(held) = lock::acquire(&path)? {
                return Ok(held);
            }
            thread::sleep(PAUSE);
        }
        Err(FileError::new("lock", &path)(std::io::ErrorKind::WouldBlock.into()))
    }
}

/// The end of a file of the log.
#[derive(Default)]
struct Tail {
    length: u64,
    /// The last line has no end.
    torn: bool,
    last: Option<String>,
    /// The number of the last record that can be read.
    number: u64,
}

impl Tail {
    fn of(path: &Path) -> Result<Tail, FileError> {
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Tail::default());
            }
            Err(cause) => return Err(FileError::new("open", path)(cause)),
        };
        let length = file.metadata().map_err(FileError::new("look at", path))?.len();
        // The last line, and a whole one before it if that is torn.
        let from = length.saturating_sub(3 * MAX_LINE as u64);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from)).map_err(FileError::new("read", path))?;
        file.read_to_end(&mut bytes).map_err(FileError::new("read", path))?;
        let text = String::from_utf8_lossy(&bytes);
        let number = text.lines().rev().find_map(audit::read).map_or(0, |record| record.number);
        Ok(Tail {
            length,
            torn: !text.is_empty() && !text.ends_with('\n'),
            last: text.lines().next_back().map(str::to_owned),
            number,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn log(folder: &Folder, max: u64) -> Log {
        Log { folder: folder.path().to_owned(), max }
    }

    fn add(log: &Log, event: &str) {
        let event = Event { time: clock::system(), event, who: "test", what: &[], lost: 0 };
        log.add(&event).unwrap();
    }

    #[test]
    fn the_chain_goes_on_when_the_file_is_turned_over() {
        let folder = Folder::new();
        let log = log(&folder, 1000);
        for _ in 0..40 {
            add(&log, "x");
        }
        let seen = verify(folder.path()).unwrap();
        assert!(seen.faults.is_empty() && seen.last == 40 && seen.first > 1);
        assert_eq!(seen.last - seen.first + 1, seen.records.len() as u64);
        let size: u64 = ["log", "log.1"]
            .iter()
            .map(|name| fs::metadata(folder.path().join(name)).unwrap().len())
            .sum();
        assert!(size < 2 * 1000 + 2 * 400, "{size}");
        assert_eq!(durable::list(folder.path()).unwrap(), ["lock", "log", "log.1"]);
    }

    #[test]
    fn what_a_power_cut_left_of_a_line_is_told_and_the_chain_goes_on() {
        let folder = Folder::new();
        let log = log(&folder, 100_000);
        add(&log, "a");
        durable::append(&folder.path().join("log"), b"{\"n\":2,\"ti").unwrap();
        add(&log, "b");
        add(&log, "c");
        let seen = verify(folder.path()).unwrap();
        assert_eq!(seen.faults, [(2, audit::Fault::Unreadable)]);
        assert_eq!((seen.last, seen.records.len()), (3, 3));
    }

    #[test]
    fn a_log_that_cannot_be_read_goes_on_with_the_number_of_the_one_before() {
        let folder = Folder::new();
        let log = log(&folder, 100_000);
        for _ in 0..3 {
            add(&log, "a");
        }
        let path = folder.path().join("log");
        durable::rename(&path, &folder.path().join("log.1")).unwrap();
        fs::write(&path, [0xff; 100]).unwrap();
        add(&log, "b");
        let seen = verify(folder.path()).unwrap();
        assert_eq!((seen.last, seen.records.len()), (4, 4));
    }

    #[test]
    fn a_changed_record_shows() {
        let folder = Folder::new();
        let log = log(&folder, 100_000);
        for event in ["a", "b", "c"] {
            add(&log, event);
        }
        let path = folder.path().join("log");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"event\":\"b\"", "\"event\":\"z\"")).unwrap();
        assert_eq!(verify(folder.path()).unwrap().faults, [(3, audit::Fault::Broken)]);
    }

    #[test]
    fn what_is_to_be_sent_is_what_comes_after_a_number() {
        let folder = Folder::new();
        let log = log(&folder, 100_000);
        for event in ["a", "b", "c", "d"] {
            add(&log, event);
        }
        let after = |number| lines_after(folder.path(), number, 2).unwrap();
        assert_eq!(after(0).len(), 2);
        assert!(after(2)[0].contains("\"event\":\"c\""));
        assert_eq!(after(4), [""; 0]);
        // A log that was begun anew has lower numbers than what was sent of the old one.
        assert_eq!(after(9).len(), 2);
    }
}
