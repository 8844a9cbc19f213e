//! What a metered link may carry in a day, and what waits when that runs short (decision 0040).
//!
//! `traffic` in the state folder holds the day's count. A process takes a piece of the budget from it
//! before it uses it, durably, and gives back at its end what is left: so several processes count
//! together, a kill or a power cut costs at most a piece and never brings bytes back, and the flash
//! is written once a piece and not once a request.
//!
//! Never here: breaking off what is under way, but for downloads. Commands and their reports always pass.

mod ledger;

use super::source::Source;
use crate::remote::RemoteError;
use crate::sys::{FileError, durable, host, lock};
use ledger::{Ledger, Now};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};
use stint_wire::json::ObjectWriter;

const FILE: &str = "traffic";
const LOCK: &str = "run/traffic";

/// A packet carries about so many bytes of ours, and so many of headers besides: IP, TCP and the
/// link's own; its acknowledgement is in that.
const PACKET: u64 = 1400;
const HEADERS: u64 = 80;

/// What a connection costs besides what is said on it, bytes.
const CONNECTION: u64 = 300;

/// The first piece that a process takes is this part of the budget; each next one is twice the one
/// before, up to [`MOST`].
const FIRST: u64 = 256;
const MOST: u64 = 32;

/// No piece is smaller, bytes: a TLS handshake fits.
const SMALLEST: u64 = 4096;

/// Another process holds the lock for one write of a small file.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// A file that can't be written is tried again so much later.
const AGAIN: Duration = Duration::from_secs(60);

/// How tight it is. What is held back at one step is at those after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is enough, or no budget.
    Free,
    /// Half is used: what nobody waits for is held back.
    Saving,
    /// Three quarters are used: bulk is, too.
    Tight,
    /// Nine tenths are used: signs of life come seldom.
    Spent,
}

/// The parts of the budget at which each begins, percent, its word, and what it holds back.
const STEPS: [(Pressure, u64, &str, &[&str]); 3] = [
    (Pressure::Saving, 50, "saving", &["audit", "inventory", "update"]),
    (Pressure::Tight, 75, "tight", &["uploads", "downloads"]),
    (Pressure::Spent, 90, "spent", &["progress", "health", "poll"]),
];

impl Pressure {
    fn of(used: u64, limit: u64) -> Pressure {
        let percent = used.saturating_mul(100).checked_div(limit).unwrap_or_default();
        let step = STEPS.iter().rev().find(|(_, from, ..)| percent >= *from);
        step.map_or(Pressure::Free, |(step, ..)| *step)
    }

    /// In one word.
    pub fn word(self) -> &'static str {
        STEPS.iter().find(|(step, ..)| *step == self).map_or("free", |(_, _, word, _)| word)
    }

    /// What is held back.
    pub fn held_back(self) -> Vec<&'static str> {
        let steps = STEPS.iter().filter(|(step, ..)| *step <= self);
        steps.flat_map(|(.., held)| held.iter().copied()).collect()
    }
}

/// What one process knows of the count.
struct Meter {
    file: PathBuf,
    lock: PathBuf,
    boot: String,
    /// This process is the daemon, which alone says how much may pass in a day, and whether that is counted.
    keeps: bool,
    /// The file has been there.
    noted: bool,
    /// As it was last read or written.
    ledger: Ledger,
    /// Bytes of the ledger's day that are set aside and haven't passed yet.
    piece: u64,
    /// How large the last piece was.
    last: u64,
    /// Bytes that have passed and aren't in the file.
    debt: u64,
    /// The file couldn't be written; it isn't tried before.
    again: Option<Instant>,
    /// What was logged last.
    said: Pressure,
}

static METER: Mutex<Option<Meter>> = Mutex::new(None);

/// What [`pressure`] has answered last.
static LAST: Mutex<Pressure> = Mutex::new(Pressure::Free);

fn meter() -> MutexGuard<'static, Option<Meter>> {
    METER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on this process counts for `state`, of whose links `limit` bytes may be used in a day; 0: as
/// many as it likes. Any process but the daemon (`keeps`) goes by the limit that the daemon has noted, and by its own
/// only where none is noted yet.
pub fn begin(state: &Path, limit: u64, keeps: bool) {
    let mut meter = meter();
    // One that counts already has set bytes aside.
    if keeps || meter.as_ref().is_none_or(|meter| meter.file != state.join(FILE)) {
        *meter = Meter::begin(state, limit, keeps);
    }
}

/// Gives back what was set aside. A process calls it before it ends.
pub fn settle() {
    if let Some(meter) = meter().as_mut().filter(|meter| meter.piece + meter.debt > 0) {
        meter.again = None;
        meter.book(0);
    }
}

/// So many bytes have passed.
pub fn count(bytes: usize) {
    let bytes = bytes as u64;
    pass(bytes + HEADERS * bytes.div_ceil(PACKET));
}

/// A connection has been made.
pub fn connected() {
    pass(CONNECTION);
}

fn pass(bytes: u64) {
    if let Some(meter) = meter().as_mut() {
        meter.pass(bytes);
    }
}

/// How tight it is now; as it was when asked last, while another thread is writing that down: the agent's loop
/// must not wait for a slow disk.
pub fn pressure() -> Pressure {
    pressure_of(&METER, &LAST)
}

fn pressure_of(meter: &Mutex<Option<Meter>>, last: &Mutex<Pressure>) -> Pressure {
    let now = match meter.try_lock() {
        Ok(mut meter) => meter.as_mut().map(Meter::pressure),
        Err(TryLockError::Poisoned(meter)) => meter.into_inner().as_mut().map(Meter::pressure),
        Err(TryLockError::WouldBlock) => {
            return *last.lock().unwrap_or_else(PoisonError::into_inner);
        }
    };
    let now = now.unwrap_or(Pressure::Free);
    *last.lock().unwrap_or_else(PoisonError::into_inner) = now;
    now
}

/// Refuses a download, or an upload, for which there is nothing left. `bytes` is how large it is, as far
/// as that is known.
///
/// # Errors
/// [`RemoteError::Budget`].
pub fn admit(bytes: Option<u64>) -> Result<(), RemoteError> {
    let mut meter = meter();
    let Some(meter) = meter.as_mut() else { return Ok(()) };
    let tight = meter.pressure() >= Pressure::Tight;
    let left = meter.ledger.limit.saturating_sub(meter.used());
    if tight || bytes.is_some_and(|bytes| bytes > left) {
        return Err(RemoteError::Budget { limit: meter.ledger.limit, left });
    }
    Ok(())
}

/// A download that ends when the budget does.
pub struct Bounded<'a> {
    /// Where it comes from.
    pub source: Box<dyn Source + 'a>,
    /// Nobody else counts its bytes.
    pub counts: bool,
}

impl Source for Bounded<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if pressure() >= Pressure::Tight {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let amount = self.source.read(to)?;
        if self.counts {
            count(amount);
        }
        Ok(amount)
    }
}

impl Meter {
    /// `None` if there is no budget.
    fn begin(state: &Path, limit: u64, keeps: bool) -> Option<Meter> {
        let file = state.join(FILE);
        let known = Ledger::load(&file);
        if limit == 0 && (keeps || known.is_none()) {
            if known.is_some()
                && let Err(error) = durable::remove(&file)
            {
                log::warn!("{error}");
            }
            return None;
        }
        let noted = known.is_some();
        let mut ledger = known.unwrap_or_default();
        if keeps || !noted {
            ledger.limit = limit;
        }
        Some(Meter {
            keeps,
            noted,
            file,
            lock: state.join(LOCK),
            boot: host::boot_id(),
            ledger,
            piece: 0,
            last: 0,
            debt: 0,
            again: None,
            said: Pressure::Free,
        })
    }

    /// What has passed here, and what others have set aside.
    fn used(&self) -> u64 {
        self.ledger.used.saturating_add(self.debt).saturating_sub(self.piece)
    }

    /// Takes in what other processes have counted.
    fn look(&mut self) {
        let known = Ledger::load(&self.file).filter(|known| known.day >= self.ledger.day);
        if let Some(mut known) = known {
            if self.keeps {
                known.limit = self.ledger.limit;
            }
            if known.day > self.ledger.day {
                self.forget();
            }
            self.ledger = known;
        }
        self.turn();
    }

    /// What was set aside yesterday is void.
    fn forget(&mut self) {
        (self.piece, self.last, self.debt) = (0, 0, 0);
    }

    /// Sees to a day that is over.
    fn turn(&mut self) {
        let day = self.ledger.day;
        self.ledger.turn(&Now::read(&self.boot));
        if self.ledger.day > day {
            self.forget();
        }
    }

    fn pass(&mut self, bytes: u64) {
        self.turn();
        let from_piece = bytes.min(self.piece);
        self.piece -= from_piece;
        self.debt = self.debt.saturating_add(bytes - from_piece);
        if self.debt > 0 {
            let next = self.next();
            self.book(next);
        }
    }

    /// How large the next piece is. Where the budget is overdrawn already it matters little, and the
    /// flash does.
    fn next(&self) -> u64 {
        let limit = self.ledger.limit;
        let first = (limit / FIRST).max(SMALLEST);
        let most = (limit / MOST).max(first);
        let most = if self.used() > limit { most.max(self.used() / 8) } else { most };
        self.last.saturating_mul(2).clamp(first, most)
    }

    /// Notes what has passed, and sets `piece` bytes aside instead of what is left of the last one.
    fn book(&mut self, piece: u64) {
        if self.again.is_some_and(|again| Instant::now() < again) {
            return;
        }
        match self.try_to_book(piece) {
            Ok(true) => self.again = None,
            // It stays in mind, and is tried with the next bytes.
            Ok(false) => {}
            Err(error) => {
                log::warn!("the day's traffic can't be noted: {error}");
                self.again = Some(Instant::now() + AGAIN);
            }
        }
    }

    fn try_to_book(&mut self, piece: u64) -> Result<bool, FileError> {
        let Some(_held) = self.hold()? else { return Ok(false) };
        if !self.keeps && self.noted && !self.file.exists() {
            // The daemon has ended the budget. What passes here is as much as set aside.
            (self.piece, self.debt) = (u64::MAX, 0);
            return Ok(true);
        }
        self.look();
        let mut ledger = self.ledger.clone();
        ledger.used = self.used().saturating_add(piece);
        durable::write(&self.file, ledger.write().as_bytes())?;
        (self.ledger, self.noted) = (ledger, true);
        (self.piece, self.last, self.debt) = (piece, piece, 0);
        Ok(true)
    }

    fn hold(&self) -> Result<Option<File>, FileError> {
        for _ in 0..TRIES {
            if let Some(held) = lock::acquire(&self.lock)? {
                return Ok(Some(held));
            }
            thread::sleep(PAUSE);
        }
        Ok(None)
    }

    fn pressure(&mut self) -> Pressure {
        self.look();
        let limit = self.ledger.limit;
        let pressure = Pressure::of(self.used(), limit);
        if pressure != self.said {
            self.said = pressure;
            say(pressure, self.used(), limit);
        }
        pressure
    }
}

fn say(pressure: Pressure, used: u64, limit: u64) {
    let held = pressure.held_back().join(", ");
    match pressure {
        Pressure::Free => log::info!("the day's {limit} bytes are enough again; nothing waits"),
        _ => log::warn!("{used} of the day's {limit} bytes are used; until tomorrow wait: {held}"),
    }
}

/// What `stint status` says of the budget.
pub struct Shown {
    limit: u64,
    used: u64,
}

impl Shown {
    /// Reads it; `None` if there is none.
    pub fn look(state: &Path) -> Option<Shown> {
        super::clock::remember(state, false);
        let mut ledger = Ledger::load(&state.join(FILE))?;
        ledger.turn(&Now::read(&host::boot_id()));
        Some(Shown { limit: ledger.limit, used: ledger.used })
    }

    fn pressure(&self) -> Pressure {
        Pressure::of(self.used, self.limit)
    }

    /// As JSON.
    pub fn json(&self) -> String {
        let held: Vec<String> =
            self.pressure().held_back().iter().map(|held| format!("\"{held}\"")).collect();
        ObjectWriter::new()
            .raw("bytesPerDay", &self.limit.to_string())
            .raw("usedBytes", &self.used.to_string())
            .string("level", self.pressure().word())
            .raw("heldBack", &format!("[{}]", held.join(",")))
            .finish()
    }

    /// As a line for people.
    pub fn text(&self) -> String {
        let (used, limit) = (self.used.div_ceil(1000), self.limit / 1000);
        let held = self.pressure().held_back().join(", ");
        let held = if held.is_empty() { held } else { format!("; until tomorrow wait: {held}") };
        format!("budget       {used} of {limit} kB used today{held}")
    }
}

#[cfg(test)]
mod tests;
