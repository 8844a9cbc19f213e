//! Which program runs: decided at every start, before anything else.
//!
//! A version on trial is counted on disk before it is started. So whatever happens to it, a crash,
//! a power cut, a kernel that panics, simply leads to the next start, and after [`MAX_TRIES`] of
//! them to the version before. Without a guardian the program replaces itself by exec(2), which
//! keeps its process id, its arguments and its place below init.

use super::state::{Slot, State, Trial};
use super::{folder, program};
use crate::agent::status;
use crate::board::VERSION;
use crate::sys::command::Command;
use crate::sys::{process, start};
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::manifest::Version;
use stint_wire::text::Sha256Sum;

/// A version that was started so often and never heard by the server isn't started again.
pub const MAX_TRIES: u64 = 3;

/// Says to the program that is started that it has been chosen, and for which process: `b:123`.
const CHOSEN: &str = "STINT_CHOSEN";

/// Tells a program in a slot which the factory's one is: its version and its path, `0.1.0:/…`.
const FACTORY: &str = "STINT_FACTORY";

/// What a program from the factory is called among the slots.
const NO_SLOT: &str = "factory";

/// A version on trial that hangs before it can look at the clock is ended by the kernel so much
/// after its time, seconds.
const GRACE: u64 = 10;

/// The program of this process, whatever is at its path by now.
const OWN: &str = "/proc/self/exe";

/// So often the state of updates is looked at before a program starts without it.
const READS: u32 = 5;

/// Between two looks at it.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The daemon: it may be one on trial.
    Daemon,
    /// Somebody who only wants to know: what has shown that it is good.
    Lasting,
}

/// What is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The slot; `None`: the factory's program.
    pub slot: Option<Slot>,
    /// It is on trial.
    pub trial: bool,
    /// The state has to be this one, on disk, before it is started.
    pub change: Option<State>,
}

/// Decides. Pure, but for `is_whole`, which says whether a slot holds what was put there.
pub fn decide(
    state: &State,
    factory: &str,
    role: Role,
    is_whole: &dyn Fn(&Slot) -> bool,
) -> Chosen {
    let mut change = None;
    if let (Some(trial), Role::Daemon) = (&state.trial, role) {
        let mut next = state.clone();
        if is_outdated(&trial.slot, factory) {
            next.trial = None;
        } else if trial.tries >= MAX_TRIES {
            next.give_up("it was started 3 times and the server didn't hear it");
        } else if !is_whole(&trial.slot) {
            next.give_up("its file was damaged on the disk");
        } else {
            next.trial = Some(Trial { tries: trial.tries + 1, ..trial.clone() });
            return Chosen { slot: Some(trial.slot.clone()), trial: true, change: Some(next) };
        }
        change = Some(next);
    }
    let kept = [&state.committed, &state.previous].into_iter().flatten();
    let slot = kept.filter(|slot| !is_outdated(slot, factory)).find(|slot| is_whole(slot));
    Chosen { slot: slot.cloned(), trial: false, change }
}

/// Whether the device has been flashed with something newer since.
fn is_outdated(slot: &Slot, factory: &str) -> bool {
    slot.factory != factory && Version::parse(&slot.version) <= Version::parse(factory)
}

/// The version that runs, or would after the next start, as far as it has shown that it is good.
pub fn version(state: &State, folder: &Path) -> String {
    let factory = Factory::find(folder);
    let chosen = decide(state, &factory.version, Role::Lasting, &|slot| is_whole(folder, slot));
    chosen.slot.map_or(factory.version, |slot| slot.version)
}

/// The version that the device was flashed with.
pub fn factory_version(state: &Path) -> String {
    Factory::find(state).version
}

/// What a daemon is that has been started.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// It is the version on trial.
    pub trial: Option<Trial>,
}

/// Becomes the program that is to run, unless this is it. `again`: also if it has been chosen for
/// this process before. Comes back if this process is to go on as it is.
///
/// For the daemon alone: a guardian that came here would use up a try, and one that was replaced
/// from afar could not bring the factory's program back. It starts what it is itself, and that
/// comes here.
pub fn enter(state: &Path, again: bool) -> Started {
    let factory = Factory::find(state);
    if !again && let Some(slot) = chosen_for_us() {
        // What can't be read may be a trial: then the kernel ends it in time, and it is tried again.
        let Some(known) = read(state) else { return Started::default() };
        let trial = known.trial.filter(|trial| trial.slot.slot == slot);
        if trial.is_none() {
            process::alarm(0);
        }
        return Started { trial };
    }
    if !again && status::is_claimed(state) {
        // It is about to find out that it isn't the daemon; that is no try.
        return Started::default();
    }
    // Each round gives up a version that can't be started, or ends.
    for _ in 0..=MAX_TRIES {
        // Better this one for now than another by mistake; the daemon looks again.
        let Some(known) = read(state) else {
            if again {
                // Whoever comes here has ended all that it did; only a new start goes on with it.
                let error = with_our_words(Path::new(OWN)).exec();
                log::error!("{OWN} can't be started: {error}");
            }
            return Started::default();
        };
        let mut chosen =
            decide(&known, &factory.version, Role::Daemon, &|slot| is_whole(state, slot));
        if let Some(change) = &chosen.change
            && let Err(error) = change.save(state)
            // What is there may not be there after a power cut, but then it is only tried once more.
            && !State::read(state).is_ok_and(|found| found == *change)
        {
            // What can't be counted isn't tried.
            log::error!("updates: {error}");
            chosen = decide(&known, &factory.version, Role::Lasting, &|s| is_whole(state, s));
        }
        let path = match &chosen.slot {
            Some(slot) => program(state, &slot.slot),
            None => factory.path.clone(),
        };
        if !again && is_this(&path) {
            return Started::default();
        }
        let error = become_program(&path, &chosen, &factory);
        log::error!("{} can't be started: {error}", path.display());
        process::alarm(0);
        if !chosen.trial {
            // Better this one than none.
            return Started::default();
        }
        let mut next = chosen.change.unwrap_or(known);
        next.give_up(&in_words(&error));
        if let Err(error) = next.save(state) {
            log::error!("updates: {error}");
        }
    }
    Started::default()
}

/// The state of updates, which may take a moment to be readable; `None`: it isn't.
fn read(state: &Path) -> Option<State> {
    for _ in 0..READS {
        match State::open(state) {
            Ok(known) => return Some(known),
            Err(error) => log::error!("updates: {error}"),
        }
        std::thread::sleep(READ_AGAIN);
    }
    None
}

fn in_words(error: &io::Error) -> String {
    format!("it can't be started: {error}")
}

/// Does exec(2). Comes back only if that fails.
fn become_program(path: &Path, chosen: &Chosen, factory: &Factory) -> io::Error {
    let slot = chosen.slot.as_ref().map_or(NO_SLOT, |slot| slot.slot.as_str());
    let mut command = with_our_words(path);
    command.env(CHOSEN, format!("{slot}:{}", std::process::id()));
    let mut told = OsString::from(format!("{}:", factory.version));
    told.push(&factory.path);
    command.env(FACTORY, told);
    let minutes = chosen.change.as_ref().and_then(|state| state.trial.as_ref());
    let minutes = minutes.filter(|_| chosen.trial).map(|trial| trial.minutes);
    // The time survives exec(2), and who hasn't asked for the signal is ended by it.
    process::alarm(minutes.map_or(0, |minutes| minutes.saturating_mul(60) + GRACE));
    command.exec()
}

/// The program at `path`, with the words that this one was given.
fn with_our_words(path: &Path) -> Command {
    let mut words = start::words().into_iter();
    let mut command = Command::new(path);
    // Under the original's name its flags are understood.
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    command.args(words);
    command
}

/// The slot that this process chose before it became this program.
fn chosen_for_us() -> Option<String> {
    let told = env::var(CHOSEN).ok()?;
    let (slot, by) = told.split_once(':')?;
    let by: u32 = by.parse().ok()?;
    (by == std::process::id()).then(|| slot.to_owned())
}

/// Whether this process has become the version on trial.
#[cfg(feature = "guardian")]
pub fn is_trial(state: &Path) -> bool {
    let slot = chosen_for_us();
    slot.is_some_and(|slot| State::load(state).trial.is_some_and(|trial| trial.slot.slot == slot))
}

/// The program that the device was flashed with.
struct Factory {
    version: String,
    path: PathBuf,
}

impl Factory {
    fn find(state: &Path) -> Factory {
        let own = own_path();
        let told = env::var_os(FACTORY).filter(|_| is_in_slots(&own, state));
        let told = told.and_then(|told| {
            let bytes = told.as_bytes();
            let at = bytes.iter().position(|byte| *byte == b':')?;
            let version = String::from_utf8(bytes.get(..at)?.to_vec()).ok()?;
            let path = PathBuf::from(OsString::from_vec(bytes.get(at + 1..)?.to_vec()));
            Some(Factory { version, path })
        });
        told.unwrap_or_else(|| Factory { version: VERSION.to_owned(), path: own })
    }
}

/// Whether a program is one of a state folder's slots. The kernel names it without symbolic links.
fn is_in_slots(own: &Path, state: &Path) -> bool {
    folder(state).canonicalize().is_ok_and(|folder| own.starts_with(folder))
}

/// Where this program's file is, or was before another took its place.
fn own_path() -> PathBuf {
    let path = env::current_exe().unwrap_or_default().into_os_string().into_vec();
    let path = path.strip_suffix(b" (deleted)").map(<[u8]>::to_vec).unwrap_or(path);
    PathBuf::from(OsString::from_vec(path))
}

fn is_this(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| path == own_path())
}

/// Whether the slot's file is the one that was put there. A megabyte is read in 20 ms.
fn is_whole(state: &Path, slot: &Slot) -> bool {
    let sum = || -> io::Result<String> {
        let mut file = File::open(program(state, &slot.slot))?;
        if file.metadata()?.len() != slot.size {
            return Ok(String::new());
        }
        let (mut sum, mut chunk) = (Sha256Sum::default(), [0; 16 * 1024]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(sum.finish()),
                count => sum.add(chunk.get(..count).unwrap_or_default()),
            }
        }
    };
    match sum() {
        Ok(sum) if sum == slot.sha256 => true,
        Ok(_) => {
            log::error!("version {} in slot {} is damaged", slot.version, slot.slot);
            false
        }
        Err(error) => {
            log::error!("version {} in slot {}: {error}", slot.version, slot.slot);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slot(name: &str, version: &str) -> Slot {
        let factory = "1.0".to_owned();
        let (slot, version) = (name.to_owned(), version.to_owned());
        Slot { slot, version, sha256: String::new(), size: 0, factory }
    }

    fn trial(name: &str, version: &str, tries: u64) -> Option<Trial> {
        let (from, order) = ("1.0".to_owned(), String::new());
        Some(Trial { slot: slot(name, version), tries, minutes: 10, from, order, alone: false })
    }

    fn run(chosen: &Chosen) -> &str {
        chosen.slot.as_ref().map_or(NO_SLOT, |slot| slot.slot.as_str())
    }

    #[test]
    fn what_has_been_kept_runs_and_without_it_the_factorys_program() {
        let whole = |_: &Slot| true;
        let mut state = State::default();
        assert_eq!(run(&decide(&state, "1.0", Role::Daemon, &whole)), "factory");
        state.committed = Some(slot("a", "1.1"));
        let chosen = decide(&state, "1.0", Role::Daemon, &whole);
        assert_eq!((run(&chosen), &chosen.change), ("a", &None));
        state.previous = Some(slot("b", "1.0.5"));
        let damaged = |slot: &Slot| slot.slot != "a";
        assert_eq!(run(&decide(&state, "1.0", Role::Daemon, &damaged)), "b");
        assert_eq!(run(&decide(&state, "1.0", Role::Daemon, &|_| false)), "factory");
    }

    #[test]
    fn a_slots_program_knows_that_it_is_one_also_below_a_symbolic_link() {
        let place = crate::testing::Folder::new();
        let (real, link) = (place.path().join("real"), place.path().join("link"));
        std::fs::create_dir_all(real.join("update/slots/a")).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let own = program(&real, "a");
        assert!(is_in_slots(&own, &real) && is_in_slots(&own, &link));
        assert!(!is_in_slots(&real.join("stint"), &link));
        assert!(!is_in_slots(&own, &place.path().join("none")));
    }

    #[test]
    fn a_device_that_is_flashed_anew_runs_what_it_was_flashed_with_unless_that_is_older() {
        let mut state = State { committed: Some(slot("a", "1.1")), ..State::default() };
        state.trial = trial("b", "1.2", 0);
        let run_with = |factory| {
            let chosen = decide(&state, factory, Role::Daemon, &|_| true);
            (run(&chosen).to_owned(), chosen.trial)
        };
        assert_eq!(run_with("1.2"), ("factory".to_owned(), false));
        assert_eq!(run_with("1.1.5"), ("b".to_owned(), true));
        // The operator has gone below the factory's version on purpose.
        state.committed = Some(slot("a", "0.9"));
        state.trial = None;
        let chosen = decide(&state, "1.0", Role::Daemon, &|_| true);
        assert_eq!(run(&chosen), "a");
    }

    #[test]
    fn a_version_on_trial_is_counted_before_it_is_started_and_given_up_after_three_times() {
        let mut state = State { committed: Some(slot("a", "1.1")), ..State::default() };
        state.trial = trial("b", "1.2", 0);
        for tries in 1..=MAX_TRIES {
            let chosen = decide(&state, "1.0", Role::Daemon, &|_| true);
            assert_eq!((run(&chosen), chosen.trial), ("b", true));
            state = chosen.change.unwrap();
            assert_eq!(state.trial.as_ref().unwrap().tries, tries);
            assert_eq!(run(&decide(&state, "1.0", Role::Lasting, &|_| true)), "a");
        }
        let chosen = decide(&state, "1.0", Role::Daemon, &|_| true);
        assert_eq!((run(&chosen), chosen.trial), ("a", false));
        let state = chosen.change.unwrap();
        assert_eq!((state.trial.is_none(), state.bad), (true, vec!["1.2".to_owned()]));
        assert!(state.last.unwrap().failure.contains("started 3 times"));
    }

    #[test]
    fn a_version_on_trial_whose_file_is_damaged_is_never_started() {
        let state = State { trial: trial("b", "1.2", 0), ..State::default() };
        let chosen = decide(&state, "1.0", Role::Daemon, &|_| false);
        assert_eq!(run(&chosen), "factory");
        assert!(chosen.change.unwrap().last.unwrap().failure.contains("damaged"));
    }

    proptest! {
        #[test]
        fn every_history_of_crashes_ends_with_a_version_that_is_good(
            tries in 0u64..5, kept: bool, before: bool, whole: [bool; 2], factory in 0u8..4,
        ) {
            let factory = format!("1.{factory}");
            let is_whole = |slot: &Slot| whole[usize::from(slot.slot == "b")];
            let mut state = State {
                committed: kept.then(|| slot("a", "1.1")),
                previous: before.then(|| slot("b", "1.0")),
                trial: trial("b", "1.2", tries),
                ..State::default()
            };
            let mut starts = 0;
            loop {
                let chosen = decide(&state, &factory, Role::Daemon, &is_whole);
                if let Some(slot) = &chosen.slot {
                    prop_assert!(is_whole(slot));
                }
                state = chosen.change.unwrap_or(state);
                if !chosen.trial {
                    break;
                }
                starts += 1;
                prop_assert!(starts <= MAX_TRIES);
            }
            prop_assert!(state.trial.is_none());
        }
    }
}
