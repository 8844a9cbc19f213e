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
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
use stint_wire::audit::{self, Event, MAX_LINE};

/// Where a process that has opened the log writes to.
static LOG: OnceLock<Log> = OnceLock::new();

/// Records of this process since the last one that could be written, which not even the lock file tells of.
static LOST: AtomicU32 = AtomicU32::new(0);

/// How long another process is waited for, which holds the lock for one record.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// The same in all.
#[cfg(test)]
pub const PATIENCE: Duration = PAUSE.saturating_mul(TRIES);

/// The digest of the configuration that the last daemon ran with.
const CONFIG: &str = "config";

/// How many restarts the guardian had noted when the last daemon started.
#[cfg(feature = "guardian")]
const RESTARTS: &str = "restarts";

/// The update of which was told last, and how far it had come.
#[cfg(feature = "update")]
const UPDATE: &str = "update";

/// In the lock file: how many records couldn't be written, in so many digits. It is written over in its
/// place, for which a full disk has room.
const DIGITS: usize = 8;

struct Log {
    folder: PathBuf,
    /// `log` is turned over at this size, bytes.
    max: u64,
    /// This process has seen to it that the name of a log is on disk: one that wrote the first record of a log
    /// may have died in between.
    is_named: AtomicBool,
}

/// Where the log of a state folder is.
pub fn folder(state: &Path) -> PathBuf {
    state.join("audit")
}

/// From now on this process's records go to the log of `state`, which may take `max` bytes of disk.
pub fn open(state: &Path, max: u64) {
    let is_named = AtomicBool::new(false);
    let _ = LOG.set(Log { folder: folder(state), max: max / 2, is_named });
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
        Err((error, is_noted)) => {
            match is_noted {
                true => LOST.fetch_sub(lost, Ordering::Relaxed),
                false => LOST.fetch_add(1, Ordering::Relaxed),
            };
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
    let name = path.map_or_else(|| "none".into(), |path| path.to_string_lossy());
    log.once(CONFIG, &digest, &|| {
        record("config.changed", "unknown", &[("file", &name), ("sha256", &digest)]);
    });
}

/// Records that the guardian has had to start the agent again, if it has since the last call: how often in
/// all, and why the last time.
#[cfg(feature = "guardian")]
pub fn restarts(count: u64, reason: &str) {
    let Some(log) = LOG.get().filter(|_| count > 0) else { return };
    let count = count.to_string();
    log.once(RESTARTS, &count, &|| {
        record("agent.restarted", "guardian", &[("reason", reason), ("count", &count)]);
    });
}

/// Records how far an update has come, if it has come further since the last call, which may have been
/// another process's: begun, kept or taken back. `who` has it so.
#[cfg(feature = "update")]
pub fn updates(known: &crate::update::State, who: &str) {
    let Some(log) = LOG.get() else { return };
    let (event, order, version, from, why) = match (&known.trial, &known.last) {
        (Some(trial), _) => ("update.begun", &trial.order, &trial.slot.version, &trial.from, ""),
        (None, Some(last)) => {
            let event = match () {
                () if last.failure.is_empty() => "update.kept",
                () if last.version.is_empty() => "update.lost",
                () => "update.taken-back",
            };
            (event, &last.order, &last.version, &last.from, &*last.failure)
        }
        (None, None) => return,
    };
    log.once(UPDATE, &format!("{event} {order} {version}"), &|| {
        let what = [("version", &**version), ("from", from), ("order", order), ("why", why)];
        record(event, who, what.get(..if why.is_empty() { 3 } else { 4 }).unwrap_or(&what));
    });
}

impl Log {
    /// Does `tell` unless `mark` is what was told last under that name.
    fn once(&self, name: &str, mark: &str, tell: &dyn Fn()) {
        let file = self.folder.join(name);
        if fs::read_to_string(&file).is_ok_and(|before| before == mark) {
            return;
        }
        tell();
        // After a power cut in between it is told twice.
        if let Err(error) = durable::write(&file, mark.as_bytes()) {
            log::warn!("{error}");
        }
    }

    /// Adds a record, which also tells of those that couldn't be added before, by whatever process. Of
    /// one that can't, says whether the next process will know.
    fn add(&self, event: &Event<'_>) -> Result<(), (FileError, bool)> {
        let held = durable::make_folder(&self.folder).and_then(|()| hold(&self.folder));
        let held = held.map_err(|error| (error, false))?;
        let missing = missing(&held);
        let lost = event.lost.saturating_add(missing.unwrap_or_default());
        let added = self.append(&Event { lost, ..*event });
        if let Err(error) = added {
            return Err((error, note_missing(&held, lost.saturating_add(1))));
        }
        if missing != Some(0) {
            note_missing(&held, 0);
        }
        Ok(())
    }

    fn append(&self, event: &Event<'_>) -> Result<(), FileError> {
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
        if tail.length > 0 && self.is_named.load(Ordering::Relaxed) {
            return durable::append_to_known(&log, line.as_bytes());
        }
        durable::append_durably(&log, line.as_bytes())?;
        self.is_named.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Keeps other processes from the log in `folder`.
fn hold(folder: &Path) -> Result<fs::File, FileError> {
    let path = folder.join("lock");
    for _ in 0..TRIES {
        if let Some(held) = lock::acquire(&path)? {
            return Ok(held);
        }
        thread::sleep(PAUSE);
    }
    Err(FileError::new("lock", &path)(std::io::ErrorKind::WouldBlock.into()))
}

/// How many records couldn't be written, as far as the lock file tells.
fn missing(held: &fs::File) -> Option<u32> {
    let mut digits = [0; DIGITS];
    held.read_exact_at(&mut digits, 0).ok()?;
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// Writes it there. False if there is no room even for that.
fn note_missing(held: &fs::File, count: u32) -> bool {
    held.write_all_at(format!("{:0DIGITS$}", count.min(99_999_999)).as_bytes(), 0).is_ok()
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
        Log { folder: folder.path().to_owned(), max, is_named: AtomicBool::new(false) }
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
    fn what_one_process_could_not_write_the_next_one_tells() {
        let folder = Folder::new();
        let log = log(&folder, 100_000);
        add(&log, "a");
        // Nobody can write to a folder.
        let path = folder.path().join("log");
        let away = folder.path().join("away");
        fs::rename(&path, &away).unwrap();
        fs::create_dir(&path).unwrap();
        let event = Event { time: clock::system(), event: "x", who: "test", what: &[], lost: 0 };
        for _ in 0..2 {
            assert!(log.add(&event).unwrap_err().1);
        }
        // One that had one of its own in mind besides.
        assert!(log.add(&Event { lost: 1, ..event }).unwrap_err().1);
        fs::remove_dir(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        add(&log, "b");
        add(&log, "c");
        let lost: Vec<u64> =
            verify(folder.path()).unwrap().records.iter().map(|it| it.lost).collect();
        assert_eq!(lost, [0, 4, 0]);
    }

    #[test]
    fn a_log_is_read_while_it_is_turned_over() {
        let folder = Folder::new();
        let writer = log(&folder, 2000);
        let done = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    add(&writer, "x");
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let seen = verify(folder.path()).unwrap();
                assert!(seen.faults.is_empty());
                // More would be missing if a file went between the two reads.
                assert_eq!(
                    seen.records.len() as u64,
                    (seen.last + 1).saturating_sub(seen.first.max(1))
                );
                // The lock isn't fair.
                thread::sleep(PAUSE);
            }
        });
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
