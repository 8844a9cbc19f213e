//! The time by which certificates are judged (docs/SECURITY.md, "Time").
//!
//! Where nobody has set the system's clock and a certificate seems to be of another time, its server is
//! asked for the time over a connection on which nothing else is said. That connection is judged in all
//! other respects, at the first time since [`lower`] at which the whole chain was valid; and what the
//! server says counts only if the chain is valid then, too. The request itself comes after that, over a
//! connection that is judged at the time so found.
//!
//! What one server says so is good for the running clock alone, as that server's own clock may be wrong. The
//! file, below which no time is taken any more, gets what a second clock agrees with: the system's, or a server's
//! a day later.

use super::super::clock::{Anchor, earliest, is_doubtful};
use crate::sys::clock::{since_boot, system};
use crate::sys::{clock::is_set, durable};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stint_wire::time::Utc;

/// The file in the state folder with the last time that was certain.
const FILE: &str = "time";

/// It is written when it would move by this much, milliseconds: once a day spares the flash.
const WRITE_EVERY: u64 = 24 * 3600 * 1000;

/// What is written is this much earlier, milliseconds: servers differ, and none of them should
/// find itself before a time that another one has said.
const MARGIN: u64 = 10 * 60 * 1000;

/// What one server has said is kept when an answer so much later still agrees with it: by then the time that
/// has gone by here, which no server can change, is a good part of what is believed, and whoever runs a server
/// with a wrong clock has had a day to mend it.
const PROVEN: Duration = Duration::from_secs(24 * 3600);

/// A server with a good certificate and another time than this device's is asked for it so often at the most: two
/// servers that differ would have it asked with each request.
const ASK_EVERY: Duration = Duration::from_secs(600);

struct Known {
    /// Said by a server, since this process runs.
    anchor: Option<Anchor>,
    /// This device's own, with which a server has agreed since.
    #[cfg(any(feature = "ssm", feature = "events", feature = "update"))]
    agreed: Option<Anchor>,
    /// The last time that was certain, also before the last boot.
    last: Utc,
    file: Option<PathBuf>,
    /// When a server with a good certificate was asked last, since boot.
    asked: Option<Duration>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known::new(None, None));

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

/// The earliest time that it may be, if the system's clock is wrong. What one server has said since doesn't
/// move it, so that another one may say better.
pub fn lower() -> Utc {
    known().last.max(earliest())
}

/// The same, and whether a server has said it, or agreed with this device's own, since this process runs.
#[cfg(any(feature = "ssm", feature = "events", feature = "update"))]
pub fn told() -> (Utc, bool) {
    let said = known().told();
    said.map_or_else(|| (lower(), false), |said| (said, true))
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
    known().anchor = Some(Anchor::new(time));
}

/// A server with a valid certificate has taken a request and dated its answer so. True if it should be
/// asked for the time, though its certificate was good: this device's clock is off, and the next
/// certificate may be newer.
pub fn heard(date: Utc) -> bool {
    known().heard(date, since_boot())
}

impl Known {
    const fn new(anchor: Option<Anchor>, file: Option<PathBuf>) -> Known {
        Known {
            anchor,
            #[cfg(any(feature = "ssm", feature = "events", feature = "update"))]
            agreed: None,
            last: Utc(0),
            file,
            asked: None,
        }
    }

    #[cfg(any(feature = "ssm", feature = "events", feature = "update"))]
    fn told(&self) -> Option<Utc> {
        let now = |anchor: Option<Anchor>| anchor.and_then(|anchor| anchor.now());
        now(self.anchor).or_else(|| now(self.agreed))
    }

    fn now(&self) -> Utc {
        let anchored = self.anchor.and_then(|anchor| anchor.now());
        anchored.unwrap_or_else(|| {
            // Whoever sets the clock may know better than what was heard here.
            system().max(earliest()).max(if is_set() { Utc(0) } else { self.last })
        })
    }

    /// See [`heard`]; `boot` is the time since boot.
    fn heard(&mut self, date: Utc, boot: Duration) -> bool {
        let now = self.now();
        if now.0.abs_diff(date.0) > MARGIN {
            let again = self.asked.is_none_or(|asked| boot.saturating_sub(asked) >= ASK_EVERY);
            let asks = again && is_doubtful();
            if asks {
                self.asked = Some(boot);
            }
            return asks;
        }
        #[cfg(any(feature = "ssm", feature = "events", feature = "update"))]
        if self.told().is_none() {
            self.agreed = Some(Anchor::new(now));
        }
        let anchor = self.anchor.filter(|anchor| anchor.now().is_some());
        let is_proven = anchor.is_none_or(|anchor| anchor.age(boot) >= PROVEN);
        // If one of the two clocks goes wrong, the other holds it.
        let time = now.min(date);
        if is_proven && time.0 > self.last.0.saturating_add(WRITE_EVERY + MARGIN) {
            self.keep(time);
        }
        false
    }

    fn keep(&mut self, time: Utc) {
        self.last = self.last.max(Utc(time.0.saturating_sub(MARGIN)));
        let Some(file) = &self.file else { return };
        if let Err(error) = durable::write(file, self.last.iso().as_bytes()) {
            log::warn!("the time can't be kept for the next boot: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    const AHEAD: u64 = 20 * 365 * 24 * 3600 * 1000;

    fn known(folder: &Folder, anchor: Option<Utc>) -> Known {
        Known::new(anchor.map(Anchor::new), Some(folder.path().join(FILE)))
    }

    fn kept(folder: &Folder) -> Option<Utc> {
        Utc::parse_iso(&fs::read_to_string(folder.path().join(FILE)).ok()?)
    }

    #[test]
    fn what_one_server_says_is_kept_when_an_answer_a_day_later_agrees() {
        let folder = Folder::new();
        let ahead = Utc(system().0 + AHEAD);
        let mut known = known(&folder, Some(ahead));
        let boot = since_boot();
        for (later, keeps) in [(0, false), (23 * 3600, false), (24 * 3600 + 1, true)] {
            assert!(!known.heard(known.now(), boot + Duration::from_secs(later)));
            assert_eq!(kept(&folder).is_some(), keeps, "after {later} s");
        }
        assert!(kept(&folder).is_some_and(|kept| kept.0.abs_diff(ahead.0 - MARGIN) < 60_000));
    }

    #[test]
    fn an_answer_that_disagrees_a_day_later_proves_nothing() {
        let folder = Folder::new();
        let mut known = known(&folder, Some(Utc(system().0 + AHEAD)));
        let later = since_boot() + PROVEN * 2;
        known.heard(system(), later);
        known.heard(Utc(system().0 + AHEAD + 2 * MARGIN), later);
        assert_eq!(kept(&folder), None);
    }

    #[test]
    fn a_time_on_which_server_and_system_agree_is_kept_at_once() {
        let folder = Folder::new();
        let mut known = known(&folder, None);
        assert!(!known.heard(system(), since_boot()));
        assert!(kept(&folder).is_some_and(|kept| kept.0.abs_diff(system().0 - MARGIN) < 60_000));
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn a_clock_with_which_a_server_agrees_is_known_though_nobody_has_set_it() {
        let mut known = known(&Folder::new(), None);
        assert!(known.told().is_none());
        known.heard(Utc(system().0 + 2 * MARGIN), since_boot());
        assert!(known.told().is_none());
        known.heard(Utc(system().0 + MARGIN / 2), since_boot());
        assert!(known.told().is_some_and(|told| told.0.abs_diff(system().0) < 60_000));
    }
}
