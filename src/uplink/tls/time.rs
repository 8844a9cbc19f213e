//! The time by which certificates are judged (docs/SECURITY.md, "Time").
//!
//! Where nobody has set the system's clock and a certificate seems to be of another time, its server is
//! asked for the time over a connection on which nothing else is said. That connection is judged in all
//! other respects, at the first time since [`lower`] at which the whole chain was valid; and what the
//! server says counts only if the chain is valid then, too. The request itself comes after that, over a
//! connection that is judged at the time so found.

use super::super::clock::{Anchor, earliest, is_doubtful};
use crate::sys::clock::system;
use crate::sys::{clock::is_set, durable};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stint_wire::time::Utc;

/// The file in the state folder with the last time that was certain.
const FILE: &str = "time";

/// It is written when it would move by this much, milliseconds: once a day spares the flash.
const WRITE_EVERY: u64 = 24 * 3600 * 1000;

/// What is written is this much earlier, milliseconds: servers differ, and none of them should
/// find itself before a time that another one has said.
const MARGIN: u64 = 10 * 60 * 1000;

struct Known {
    /// Said by a server, since this process runs.
    anchor: Option<Anchor>,
    /// The last time that was certain, also before the last boot.
    last: Utc,
    file: Option<PathBuf>,
    /// A server with a good certificate has been asked already.
    asked: bool,
}

static KNOWN: Mutex<Known> =
    Mutex::new(Known { anchor: None, last: Utc(0), file: None, asked: false });

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes up what the agents of this state folder knew. The daemon alone writes there (`keeps`) what it
/// learns.
pub fn remember(state: &Path, keeps: bool) {
    let file = state.join(FILE);
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut known = known();
    known.last = known.last.max(Utc::parse_iso(text.trim()).unwrap_or(Utc(0)));
    known.file = keeps.then_some(file);
}

/// The time by which certificates are judged.
pub fn now() -> Utc {
    known().now()
}

/// The earliest time that it may be, if the system's clock is wrong.
pub fn lower() -> Utc {
    let known = known();
    known.anchor.and_then(|anchor| anchor.now()).unwrap_or(known.last).max(earliest())
}

/// Whether it makes sense to ask a server for the time.
pub fn may_be_asked() -> bool {
    is_doubtful()
}

/// A server has said the time, by a certificate that was valid then.
pub fn adopt(time: Utc) {
    log::warn!(
        "nobody has set this device's clock, which says {}; the server says {}",
        system().iso(),
        time.iso()
    );
    let mut known = known();
    known.anchor = Some(Anchor::new(time));
    known.keep(time);
}

/// A server with a valid certificate has taken a request and dated its answer so. True if it should be
/// asked for the time, though its certificate was good: this device's clock is off, and the next
/// certificate may be newer.
pub fn heard(date: Utc) -> bool {
    let mut known = known();
    let now = known.now();
    if now.0.abs_diff(date.0) > MARGIN {
        return is_doubtful() && !std::mem::replace(&mut known.asked, true);
    }
    // If one of the two clocks goes wrong, the other holds it.
    let time = now.min(date);
    if time.0 > known.last.0.saturating_add(WRITE_EVERY + MARGIN) {
        known.keep(time);
    }
    false
}

impl Known {
    fn now(&self) -> Utc {
        let anchored = self.anchor.and_then(|anchor| anchor.now());
        anchored.unwrap_or_else(|| {
            // Whoever sets the clock may know better than what was heard here.
            system().max(earliest()).max(if is_set() { Utc(0) } else { self.last })
        })
    }

    fn keep(&mut self, time: Utc) {
        self.last = self.last.max(Utc(time.0.saturating_sub(MARGIN)));
        let Some(file) = &self.file else { return };
        if let Err(error) = durable::write(file, self.last.iso().as_bytes()) {
            log::warn!("the time can't be kept for the next boot: {error}");
        }
    }
}
