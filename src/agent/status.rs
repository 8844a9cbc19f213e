//! What `stint status` shows: a small file that the daemon keeps up to date, and a lock that
//! tells whether there is a daemon.
//!
//! The lock is in `run/` below the state folder. The file is on the board's tmpfs where it has one,
//! to spare the flash, else beside the lock; it is written without waiting for the disk, because
//! after a power cut nobody wants to know it.

use super::Observer;
use crate::sys::{FileError, clock, durable, lock};
use crate::uplink::UplinkError;
use miniserde::{Deserialize, Serialize, json};
use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::time::Utc;

const LOCK: &str = "run/lock";
const FILE: &str = "status.json";

/// What the daemon knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its process id.
    pub pid: u32,
    /// The last exchange with the server went well.
    pub online: bool,
    /// When the last health report was accepted, ISO 8601.
    #[serde(rename = "lastPing")]
    pub last_ping: Option<String>,
    /// By which way it is connected.
    pub link: String,
    /// How long it waits before it tries again, seconds.
    #[serde(rename = "backoffSeconds")]
    pub backoff_seconds: Option<u64>,
    /// What went wrong last, in words.
    #[serde(rename = "lastError")]
    pub last_error: Option<String>,
}

/// The daemon's side.
pub struct Board {
    path: PathBuf,
    snapshot: RefCell<Snapshot>,
    observer: Option<Box<dyn Observer>>,
}

/// Makes this process the daemon of a state folder. `None` if there is one already.
///
/// # Errors
/// The folder or the lock can't be made.
pub fn claim(state: &Path) -> Result<Option<File>, FileError> {
    durable::make_folder(&state.join("run"))?;
    lock::acquire(&state.join(LOCK))
}

/// What the daemon of a state folder says of itself in `status`; `None` if there is no daemon.
pub fn look(state: &Path, status: &Path) -> Option<Snapshot> {
    if !lock::is_held(&state.join(LOCK)) {
        return None;
    }
    let text = fs::read_to_string(status.join(FILE)).unwrap_or_default();
    Some(json::from_str(&text).unwrap_or_default())
}

impl Board {
    /// A board in the folder `status` that shows a daemon which hasn't reached its server yet.
    pub fn new(status: &Path, link: &'static str, observer: Option<Box<dyn Observer>>) -> Board {
        let snapshot =
            Snapshot { pid: std::process::id(), link: link.to_owned(), ..Default::default() };
        if let Err(error) = durable::make_folder(status) {
            log::warn!("stint status will know little: {error}");
        }
        let path = status.join(FILE);
        let board = Board { path, snapshot: RefCell::new(snapshot), observer };
        board.write();
        board
    }

    /// Whether the last exchange with the server went well.
    pub fn is_online(&self) -> bool {
        self.snapshot.borrow().online
    }

    /// A health report was accepted.
    pub fn pinged(&self) {
        let now = clock::system();
        self.change(|snapshot| {
            snapshot.last_ping = Some(now.iso());
            online(snapshot);
        });
    }

    /// A poll was answered.
    pub fn polled(&self) {
        self.change(online);
    }

    /// An exchange with the server failed, and is tried again after `wait`.
    pub fn failed(&self, what: &str, error: &UplinkError, wait: Duration) {
        log::warn!("{what} failed, trying again in {} s: {error}", wait.as_secs());
        let first = self.snapshot.borrow().last_error.is_none();
        if let (true, Some(observer)) = (first, &self.observer) {
            observer.backing_off(wait, &error.to_string());
        }
        self.change(|snapshot| {
            snapshot.online = false;
            snapshot.backoff_seconds = Some(wait.as_secs());
            snapshot.last_error = Some(error.to_string());
        });
    }

    /// The daemon is about to end.
    pub fn stopped(&self) {
        self.change(|snapshot| snapshot.online = false);
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let before = self.snapshot.borrow().clone();
        change(&mut self.snapshot.borrow_mut());
        let after = self.snapshot.borrow();
        if before.online != after.online {
            let word = if after.online { "online" } else { "not online" };
            log::info!("this node is {word} by {}", after.link);
            if let (true, Some(observer)) = (after.online, &self.observer) {
                observer.online(&after.link);
            }
        }
        if before != *after {
            drop(after);
            self.write();
        }
    }

    fn write(&self) {
        let text = json::to_string(&*self.snapshot.borrow());
        let temporary = self.path.with_extension("new");
        let written =
            fs::write(&temporary, &text).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
            // On a full disk the file's own blocks are still there. A board that can't be written
            // at all is no reason to stop: the server knows better anyway.
            let _ = write_over(&self.path, &text);
        }
    }
}

fn write_over(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

fn online(snapshot: &mut Snapshot) {
    snapshot.online = true;
    snapshot.backoff_seconds = None;
    snapshot.last_error = None;
}

impl Snapshot {
    /// Whether the node is as it should be: connected, and heard by the server not long ago.
    pub fn is_healthy(&self, now: Utc, health_interval: Duration) -> bool {
        let heard = self.last_ping.as_deref().and_then(Utc::parse_iso);
        let patience = health_interval.as_millis() as u64 * 2;
        self.online && heard.is_some_and(|heard| now.0.saturating_sub(heard.0) <= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn status_tells_a_daemon_from_its_leftovers() {
        let folder = Folder::new();
        let status = folder.path().join("status");
        let look = |state| super::look(state, &status);
        assert_eq!(look(folder.path()), None);
        let claim = super::claim(folder.path()).unwrap().unwrap();
        let board = Board::new(&status, "ec2messages", None);
        assert!(!look(folder.path()).unwrap().online);
        board.pinged();
        let seen = look(folder.path()).unwrap();
        assert!(seen.online && seen.pid == std::process::id());
        assert!(super::claim(folder.path()).unwrap().is_none());
        drop(claim);
        assert_eq!(look(folder.path()), None);
    }

    #[test]
    fn a_node_is_healthy_while_the_server_hears_it() {
        let minute = Duration::from_secs(60);
        let mut snapshot = Snapshot { online: true, ..Default::default() };
        assert!(!snapshot.is_healthy(Utc(0), minute));
        snapshot.last_ping = Some(Utc::from_secs(1000).iso());
        assert!(snapshot.is_healthy(Utc::from_secs(1100), minute));
        assert!(!snapshot.is_healthy(Utc::from_secs(1200), minute));
        snapshot.online = false;
        assert!(!snapshot.is_healthy(Utc::from_secs(1000), minute));
    }
}
