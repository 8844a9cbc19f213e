//! The guardian: the parent of the daemon. It starts the daemon again when it dies or falls silent,
//! hands signals down, feeds the board's watchdog, and remembers why it had to act.
//!
//! Never here: the daemon's work. No network, no spool, no thread, one loop around poll(2), so that
//! little can go wrong and few pages are its own. The daemon is the same program started once more,
//! with a pipe on which it has to be heard (`pulse.rs`); when the guardian dies the kernel tells the
//! daemon to leave.

pub mod feeder;
pub mod policy;
pub mod pulse;
pub mod record;
mod ward;

pub use pulse::Pulse;
pub use record::Record;

use crate::config::Guardian as Settings;
use crate::sys::process::{self, Identity};
use crate::sys::signals;
use crate::sys::ward as system;
use crate::sys::{FileError, clock, durable, host, lock, memory, random};
use feeder::Feeder;
use policy::{ABORT, Streak, Verdict};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};
use ward::Ward;

/// The exit code of a daemon that can't serve as the device is set up: no configuration that makes
/// sense, no registration. `EX_CONFIG` of sysexits.h.
pub const SETUP: u8 = 78;

/// A daemon that was told to leave and hasn't after so long is killed. What it waits for is children
/// that take their time to stop (14 s at most), another process's record in the audit log (1 s), and the disk: it may be
/// in the middle of a write, and has a few small ones to make. Slow flash takes seconds for one at times. All inits kill the
/// guardian itself after 25 s; a test holds all of them against each other.
const LEAVE: Duration = Duration::from_secs(22);

/// The daemon of a guardian that was killed gets so long to leave.
const ORPHAN: Duration = Duration::from_secs(10);

/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// A guardian that comes to itself so much later than planned was stopped, and the daemon may have
/// been stopped with it.
const LATE: Duration = Duration::from_secs(2);

/// Between two looks whether a daemon has said its first word, where a watchdog is to be started then.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// A board whose daemon wasn't heard for so many deadlines can't be helped by restarts; the watchdog
/// gets its chance.
const GIVE_UP: u32 = 10;

/// Held while there is a guardian; holds which process its daemon is.
const LOCK: &str = "run/guardian";

/// Why there can be no guardian.
#[derive(Debug)]
pub enum GuardianError {
    /// The state folder has an agent.
    Taken(PathBuf),
    /// The state folder.
    File(FileError),
    /// The system's own means: signals.
    System(io::Error),
}

impl fmt::Display for GuardianError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GuardianError::Taken(state) => {
                write!(f, "another agent is running with the state in {}", state.display())
            }
            GuardianError::File(cause) => write!(f, "{cause}"),
            GuardianError::System(cause) => {
                write!(f, "the system refuses what the guardian needs: {cause}")
            }
        }
    }
}

impl std::error::Error for GuardianError {}

impl From<FileError> for GuardianError {
    fn from(cause: FileError) -> GuardianError {
        GuardianError::File(cause)
    }
}

/// Whether a state folder has a guardian.
pub fn is_on(state: &Path) -> bool {
    lock::is_held(&state.join(LOCK))
}

struct Guardian {
    state: PathBuf,
    settings: Settings,
    signals: File,
    lock: File,
    record: Record,
    streak: Streak,
    /// Starts of the daemon so far.
    starts: u32,
    ward: Option<Ward>,
    /// When the next daemon is started.
    start_at: Instant,
    /// The last one couldn't serve as the device is set up.
    is_setup: bool,
    /// When a daemon was heard last that had lived for a while.
    heard: Instant,
    /// Somebody has told it to end.
    leaving: bool,
    /// It ends with this exit code.
    code: Option<u8>,
    feeder: Feeder,
}

/// Guards a daemon until SIGTERM or SIGINT. Gives back the exit code that the last daemon left.
///
/// # Errors
/// See [`GuardianError`]; no daemon was started.
pub fn run(state: &Path, settings: Settings) -> Result<u8, GuardianError> {
    let caught = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];
    let signals = signals::catch(&caught).map_err(GuardianError::System)?;
    durable::make_folder(&state.join("run"))?;
    let taken = || GuardianError::Taken(state.to_owned());
    let lock = lock::acquire(&state.join(LOCK))?.ok_or_else(taken)?;
    let now = Instant::now();
    let mut guardian = Guardian {
        state: state.to_owned(),
        feeder: Feeder::new(settings.watchdog.as_deref(), settings.watchdog_timeout),
        settings,
        signals,
        lock,
        record: Record::look(state),
        streak: Streak::default(),
        starts: 0,
        ward: None,
        start_at: now,
        is_setup: false,
        heard: now,
        leaving: false,
        code: None,
    };
    guardian.take_over()?;
    Ok(guardian.guard())
}

impl Guardian {
    /// Sees to what a guardian that was killed has left: its daemon was told to leave by the kernel.
    fn take_over(&mut self) -> Result<(), GuardianError> {
        let left = self.left();
        if let Some(daemon) = left {
            // The guardian that was killed has left it running.
            self.feeder.begin();
            let end = Instant::now() + ORPHAN;
            while daemon.is_alive() && Instant::now() < end {
                // The board's patience may be shorter than ours.
                self.feeder.turn(Instant::now(), true);
                thread::sleep(LOOK);
            }
            if daemon.is_alive() {
                // Stopped, or stuck: it hears nothing else.
                let _ = process::signal(daemon.pid, libc::SIGKILL);
                thread::sleep(LOOK);
            }
            self.note("the guardian was killed", Duration::ZERO);
        }
        if crate::agent::status::is_claimed(&self.state) {
            return Err(GuardianError::Taken(self.state.clone()));
        }
        if self.record.was_reset(&host::boot_id()) {
            self.note("the watchdog has reset the board", Duration::ZERO);
        }
        Ok(())
    }

    /// The daemon of an earlier guardian of this boot that didn't end in good order.
    fn left(&self) -> Option<Identity> {
        let mut text = String::new();
        (&self.lock).read_to_string(&mut text).ok()?;
        let mut words = text.split(' ');
        let (pid, started) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (words.next()? == host::boot_id()).then_some(Identity { pid, started })
    }

    /// Writes down which process the daemon is, or that there is none. For this boot alone, so
    /// nobody waits for the disk.
    fn note_ward(&self, daemon: Option<Identity>) {
        let text = daemon.map_or_else(String::new, |Identity { pid, started }| {
            format!("{pid} {started} {} ", host::boot_id())
        });
        // In place: on a full disk the file's own block is still there.
        let _ = self.lock.write_all_at(text.as_bytes(), 0);
        let _ = self.lock.set_len(text.len() as u64);
    }

    fn guard(&mut self) -> u8 {
        loop {
            // Before anything is done: the daemon of which this is the end is gone, and no other may be started.
            if let Some(code) = self.code {
                self.note_ward(None);
                // The watchdog is stopped in good order as well.
                if !self.record.unfed.is_empty() {
                    self.record.unfed.clear();
                    self.save();
                }
                return code;
            }
            let now = Instant::now();
            self.turn(now);
            let wait = self.wait(now);
            // What the daemon says meanwhile says itself when that was.
            system::wait(self.signals.as_fd(), wait);
            self.hear(now + wait);
        }
    }

    /// Takes in what has come meanwhile; it was `planned` to look again then at the latest.
    fn hear(&mut self, planned: Instant) {
        let now = Instant::now();
        for signal in signals::take(&self.signals) {
            match signal {
                libc::SIGTERM | libc::SIGINT => self.leave(signal, now),
                libc::SIGHUP => self.ward.iter().for_each(|ward| ward.hand_down(signal)),
                _ => {}
            }
        }
        let late = now.saturating_duration_since(planned) > LATE;
        if let Some(ward) = &mut self.ward {
            let said = ward.was_heard(now);
            if let Some(heard) = if late { Some(now) } else { said } {
                // It can serve. Before that nobody knows whether this device is set up, and many a watchdog
                // can't be stopped again.
                self.feeder.begin();
                ward.heard = ward.heard.max(heard);
                if policy::is_hope(heard - ward.since, self.settings.deadline) {
                    self.heard = self.heard.max(heard);
                }
            }
        }
        while let Some((pid, status)) = system::reap() {
            if self.ward.as_ref().is_some_and(|ward| ward.identity.pid == pid) {
                self.ended(status, now);
            }
        }
    }

    fn leave(&mut self, signal: libc::c_int, now: Instant) {
        log::info!("stopping on signal {signal}");
        match &mut self.ward {
            // Told a second time it goes on leaving.
            Some(_) if self.leaving => {}
            Some(ward) => ward.tell(signal, now, LEAVE),
            None => self.code = Some(0),
        }
        self.leaving = true;
    }

    /// Does what is due.
    fn turn(&mut self, now: Instant) {
        let deadline = self.settings.deadline;
        match &mut self.ward {
            Some(ward) => match ward.judge(now, deadline) {
                Verdict::Leave(_) => {}
                Verdict::Abort => {
                    log::error!(
                        "the daemon wasn't heard for {} s; it is killed",
                        deadline.as_secs()
                    );
                    ward.silent = true;
                    ward.tell(libc::SIGABRT, now, ABORT);
                }
                Verdict::Kill => ward.tell(libc::SIGKILL, now, ABORT),
            },
            None if now >= self.start_at => self.start(now),
            None => {}
        }
        // A device whose set-up has to be mended isn't helped by a reset.
        let is_hopeful = self.is_setup || now - self.heard < deadline * GIVE_UP;
        if self.feeder.turn(now, is_hopeful) {
            // Many a driver can't tell later that it was the watchdog.
            self.record.unfed = if is_hopeful { String::new() } else { host::boot_id() };
            self.save();
        }
    }

    /// For how long there is nothing to do.
    fn wait(&self, now: Instant) -> Duration {
        let own = match &self.ward {
            Some(ward) => match ward.judge(now, self.settings.deadline) {
                Verdict::Leave(wait) => wait,
                _ => Duration::ZERO,
            },
            None => self.start_at.saturating_duration_since(now),
        };
        let wait = self.feeder.due(now).map_or(own, |due| due.min(own));
        // The first word of a daemon starts the watchdog, and no word wakes this process.
        if self.ward.is_some() && self.feeder.waits() { wait.min(FIRST_WORD) } else { wait }
    }

    fn start(&mut self, now: Instant) {
        let own = Path::new("/proc/self/exe");
        match Ward::start(own, self.settings.deadline, self.starts, now) {
            Ok(ward) => {
                self.note_ward(Some(ward.identity));
                self.ward = Some(ward);
                // From now on it waits.
                memory::let_go_of_program();
            }
            Err(error) => self.again(&format!("it can't be started: {error}"), Duration::ZERO, now),
        }
        self.starts = self.starts.saturating_add(1);
    }

    /// The daemon has ended.
    fn ended(&mut self, status: ExitStatus, now: Instant) {
        let Some(ward) = self.ward.take() else { return };
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        if self.is_setup {
            // Nobody expected to hear anything while a person was waited for.
            self.heard = self.heard.max(ward.since);
        }
        self.is_setup = code == Some(SETUP) && !self.is_trial();
        if self.leaving || (self.is_setup && self.starts == 1) {
            // Killed it left no exit code: it didn't end in good order.
            self.code = Some(code.unwrap_or(1));
            return;
        }
        let reason = match (ward.silent, status.signal(), status.code()) {
            (true, ..) => format!("it wasn't heard for {} s", self.settings.deadline.as_secs()),
            (_, Some(signal), _) => format!("it was killed by signal {signal}"),
            (_, _, code) => format!("it ended with exit code {}", code.unwrap_or_default()),
        };
        self.again(&reason, now - ward.since, now);
    }

    /// Whether a new version is being tried: for what it can't make sense of there is the old one.
    fn is_trial(&self) -> bool {
        #[cfg(feature = "update")]
        return crate::update::state::State::load(&self.state).trial.is_some();
        #[cfg(not(feature = "update"))]
        false
    }

    /// Sees to the next start.
    fn again(&mut self, reason: &str, lived: Duration, now: Instant) {
        let wait = self.streak.ended(lived, self.is_setup, random::fraction());
        if !self.is_setup {
            self.feeder.begin();
        }
        log::error!("the daemon is started again in {} s: {reason}", wait.as_secs_f32().ceil());
        self.start_at = now + wait;
        self.note(reason, lived);
    }

    fn note(&mut self, reason: &str, lived: Duration) {
        self.record.add(clock::system(), reason, lived);
        self.save();
    }

    fn save(&self) {
        // It stays in mind, and is written with the next one.
        if let Err(error) = self.record.save(&self.state) {
            log::warn!("the restart can't be noted: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    /// A guardian that has started no daemon, with a watchdog that isn't started either.
    fn guardian(folder: &Folder, begin: Instant) -> Guardian {
        let watchdog = folder.path().join("watchdog");
        std::fs::write(&watchdog, "").unwrap();
        Guardian {
            state: folder.path().to_owned(),
            feeder: Feeder::new(Some(&watchdog), Duration::from_secs(30)),
            settings: Settings { deadline: Duration::from_secs(60), ..Settings::default() },
            signals: File::open("/dev/null").unwrap(),
            lock: File::open("/dev/null").unwrap(),
            record: Record::default(),
            streak: Streak::default(),
            starts: 1,
            ward: None,
            start_at: begin,
            is_setup: false,
            heard: begin,
            leaving: false,
            code: None,
        }
    }

    #[test]
    fn a_watchdog_is_started_within_a_second_of_the_daemons_first_word() {
        let (folder, begin) = (Folder::new(), Instant::now());
        let mut guardian = guardian(&folder, begin);
        let deadline = guardian.settings.deadline;
        guardian.ward = Some(Ward::start(Path::new("true"), deadline, 0, begin).unwrap());
        assert_eq!(guardian.wait(begin), FIRST_WORD);
        guardian.feeder.begin();
        guardian.feeder.turn(begin + FIRST_WORD, true);
        assert_eq!(guardian.wait(begin + FIRST_WORD), Duration::from_secs(10));
        guardian.feeder = Feeder::new(None, deadline);
        assert_eq!(guardian.wait(begin), deadline, "without one there is nothing to look for");
    }

    #[test]
    fn the_time_in_which_a_person_was_waited_for_is_no_reason_for_a_reset() {
        let (folder, begin) = (Folder::new(), Instant::now());
        let mut guardian = guardian(&folder, begin);
        guardian.feeder.begin();
        // A daemon that lives for a second from then on, and how it ends.
        let mut dies = |second, status| {
            let since = begin + Duration::from_secs(second);
            let deadline = guardian.settings.deadline;
            let ward = Ward::start(Path::new("true"), deadline, guardian.starts, since).unwrap();
            guardian.starts += 1;
            let now = since + Duration::from_secs(1);
            guardian.ward = Some(ward);
            guardian.ended(ExitStatus::from_raw(status), now);
            guardian.turn(now);
            guardian.record.unfed.is_empty()
        };
        assert!(dies(0, i32::from(SETUP) << 8) && dies(3600, i32::from(SETUP) << 8));
        assert!(dies(7200, libc::SIGSEGV), "one that serves may die young once");
        assert!(dies(7798, libc::SIGSEGV) && !dies(7800, libc::SIGSEGV), "and not for ever");
    }

    #[test]
    fn a_guardian_that_is_to_end_starts_no_daemon_before_it_does() {
        let folder = Folder::new();
        let mut guardian = guardian(&folder, Instant::now());
        (guardian.leaving, guardian.code) = (true, Some(7));
        assert_eq!((guardian.guard(), guardian.starts), (7, 1));
    }

    /// What slow flash may take for the writes of a daemon that leaves.
    const FLASH: Duration = Duration::from_secs(6);

    /// What a guardian may take to see that its daemon was killed, and to leave.
    const SEEN: Duration = Duration::from_secs(2);

    #[test]
    fn every_init_waits_longer_than_the_guardian_and_that_longer_than_the_daemon() {
        let inits = [
            (include_str!("../../packaging/systemd/stint.service"), "TimeoutStopSec="),
            (include_str!("../../packaging/procd/stint.init"), "STOP_SECONDS="),
            (include_str!("../../packaging/init.d/stint"), "STOP_SECONDS="),
            (include_str!("../../packaging/openrc/stint"), "retry=\"TERM/"),
        ];
        for (script, word) in inits {
            let told = script.lines().find_map(|line| line.strip_prefix(word)).unwrap();
            let seconds =
                told.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
            assert!(LEAVE + SEEN < Duration::from_secs(seconds), "{word}{told}");
        }
        let daemon = FLASH;
        #[cfg(feature = "supervise")]
        let daemon = daemon + crate::supervise::LEAVE + crate::supervise::LAST;
        #[cfg(feature = "audit")]
        let daemon = daemon + crate::audit::PATIENCE;
        assert!(daemon < LEAVE);
    }
}
