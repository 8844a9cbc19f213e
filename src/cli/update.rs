//! `stint update`.

use super::{Exit, Update, complain, print};
use crate::agent::status;
use crate::config::{self, Config, DEFAULT_PATH};
use crate::patience::Patience;
use crate::sys::{process, random};
use crate::update::State;
use crate::update::apply::{self, Choice, Updates, Wish};
use crate::update::state::{Last, Trial};
use std::path::Path;
use std::time::Duration;

/// A megabyte at 10 KB/s takes two minutes; a line that breaks again and again is given up.
const FOR_DOWNLOAD: Duration = Duration::from_secs(3600);

/// A new version is started this often before it is given up, and each time has its deadline;
/// nobody waits longer.
const FOR_TRIAL: Duration = Duration::from_secs(2 * 86_400);

/// Looks, and does what is wanted.
pub fn run(wish: &Update) -> Exit {
    let modes = [wish.check, wish.apply, wish.automatic];
    if modes.iter().filter(|mode| **mode).count() != 1 {
        return complain("stint: update needs --check or --apply", Exit::Usage);
    }
    let config = match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
        Ok(loaded) => loaded.config,
        Err(error) => return complain(&format!("stint: {error}"), Exit::Failure),
    };
    // The agent's own look is nobody's command.
    match wish.automatic {
        true => super::logger::start_as(&config),
        false => super::logger::start(config.log_level),
    }
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    match carry_out(wish, &config, &state) {
        Ok(exit) => exit,
        Err(error) => complain(&format!("stint: {error}"), Exit::Failure),
    }
}

fn carry_out(wish: &Update, config: &Config, state: &Path) -> Result<Exit, String> {
    if let Some(trial) = State::load(state).trial.filter(|_| !wish.check) {
        // Who has put it there may have died before it could say so to the daemon.
        if trial.tries == 0 && !poke(config, state) {
            print(&format!("version {} is tried when the agent starts", trial.slot.version));
            return Ok(Exit::Success);
        }
        return awaited(wish, config, state, &trial);
    }
    let patience = Patience::of_time(FOR_DOWNLOAD);
    let updates = Updates::new(config, state).map_err(in_words)?;
    let found = updates.look(&patience).map_err(in_words)?;
    let automatic = wish.automatic;
    let version = wish.version.as_deref();
    let choice = Wish { version, allow_downgrade: wish.allow_downgrade, automatic };
    let release = match updates.choose(&found, choice).map_err(in_words)? {
        Choice::UpToDate(version) => {
            let word = found.status.map_or("not in the manifest", |status| status.as_str());
            print(&format!("version {version} runs ({word}); there is nothing to install"));
            return Ok(Exit::Success);
        }
        Choice::Bad(version) => {
            print(&format!(
                "version {version} was tried and had to be taken back; to try it again, say \
                 --version {version}"
            ));
            return Ok(Exit::Success);
        }
        Choice::Install(release) => release,
    };
    let to = &release.name;
    if wish.check {
        print(&format!("version {} runs; version {to} can be installed", found.running));
        return Ok(Exit::Newer);
    }
    let order = random::uuid().map_err(in_words)?;
    updates.stage(&found, &release, &order, &patience).map_err(in_words)?;
    super::open_audit(config, state);
    if let Ok(known) = State::read(state) {
        let who = if automatic { "agent".to_owned() } else { crate::audit::person() };
        crate::audit::updates(&known, &who);
    }
    if !poke(config, state) {
        print(&format!("version {to} is there; it is tried when the agent starts"));
        return Ok(Exit::Success);
    }
    match State::load(state).trial {
        Some(trial) => awaited(wish, config, state, &trial),
        None => told(apply::outcome(state, &order)),
    }
}

/// Waits for the end of a trial.
fn awaited(wish: &Update, config: &Config, state: &Path, trial: &Trial) -> Result<Exit, String> {
    let version = &trial.slot.version;
    print(&format!("version {version} is on trial: it has to reach the server"));
    if wish.automatic {
        return Ok(Exit::Success);
    }
    let again = || {
        let _ = poke(config, state);
    };
    match apply::wait(state, &trial.order, &Patience::of_time(FOR_TRIAL), &again) {
        Ok(last) => told(Some(last)),
        Err(_) => Err(format!("version {version} is still on trial")),
    }
}

fn told(last: Option<Last>) -> Result<Exit, String> {
    match last {
        Some(Last { version, from, failure, .. }) if failure.is_empty() => {
            print(&format!("version {version} runs in the place of {from}"));
            Ok(Exit::Success)
        }
        Some(last) => Err(format!("version {} was taken back: {}", last.version, last.failure)),
        None => Err("nothing is known of the new version any more".to_owned()),
    }
}

/// Has the daemon look again which program is to run; false if there is none.
fn poke(config: &Config, state: &Path) -> bool {
    let daemon = status::look(state, &config.status_dir(state));
    let pid = daemon.map_or(0, |daemon| daemon.pid);
    pid != 0 && process::signal(pid, libc::SIGHUP).is_ok()
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}
