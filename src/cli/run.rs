//! `stint run`.

mod console;
#[cfg(uplink)]
mod links;

use super::logger;
use crate::agent::{End, status};
use crate::config::{self, Config, Loaded};
#[cfg(feature = "guardian")]
use crate::guardian::{self, Pulse};
use crate::identity::{self, Registration, RegistrationError};
use console::Observer;
#[cfg(feature = "ssm")]
pub use links::instance;
use std::path::{Path, PathBuf};

/// Set by service managers that start the agent again when it ends.
#[cfg(feature = "guardian")]
const RESPAWNED: &str = "STINT_RESPAWNED";

/// What was typed.
#[derive(Default)]
pub struct Wish {
    /// The configuration.
    pub config: Option<PathBuf>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
}

/// Why the daemon didn't run, or didn't end well.
pub struct Failure {
    /// In words.
    pub text: String,
    /// Nothing but a change of configuration or registration helps.
    #[cfg(feature = "guardian")]
    pub is_setup: bool,
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure {
            text,
            #[cfg(feature = "guardian")]
            is_setup: false,
        }
    }
}

impl Failure {
    /// One that starting again doesn't mend.
    fn of_setup(text: String) -> Failure {
        #[cfg_attr(not(feature = "guardian"), allow(unused_mut))]
        let mut failure = Failure::from(text);
        #[cfg(feature = "guardian")]
        {
            failure.is_setup = true;
        }
        failure
    }
}

/// Runs the daemon until it is told to stop, below a guardian where there is to be one.
pub fn run(wish: &Wish, usual: &[&str]) -> Result<(), Failure> {
    crate::sys::memory::share_one_heap();
    let loaded = config::load(wish.config.as_deref(), usual);
    #[cfg(any(feature = "guardian", feature = "update"))]
    if loaded.is_err() {
        // It may be good for the version that this one becomes.
        begin(wish, &config::essentials(wish.config.as_deref(), usual), false)?;
    }
    let Loaded { config, not_honoured, path } =
        loaded.map_err(|error| Failure::of_setup(error.to_string()))?;
    let begun = begin(wish, &config, true)?;
    let state = begun.state.clone();
    if !not_honoured.is_empty() {
        log::warn!(
            "settings of amazon-ssm-agent that stint has no use for: {}",
            not_honoured.join(", ")
        );
    }
    let Some(_claim) = status::claim(&state).map_err(in_words)? else {
        return Err(format!("another agent is running with the state in {}", state.display()))?;
    };
    begin_audit(&config, &state, path.as_deref());
    let observer = Observer::new(&config);
    let found = identity::registration(&state);
    observer.started(&config, &state, found.as_ref().ok());
    #[cfg(feature = "guardian")]
    if begun.pulse.as_ref().is_some_and(|pulse| pulse.before > 0) {
        observer.restarted(&guardian::Record::look(&state));
    }
    match serve(config, path, begun, found, observer)? {
        End::Stopped => {
            #[cfg(feature = "serial")]
            crate::serial::ended(&state);
            Ok(())
        }
        #[cfg(feature = "update")]
        End::Again => {
            #[cfg(feature = "ssm")]
            crate::uplink::budget::settle();
            crate::update::boot::enter(&state, true);
            Err("no program can be started in the place of this one".to_owned())?
        }
        #[cfg(not(feature = "update"))]
        End::Again => Ok(()),
    }
}

/// Records that the agent starts, and whether its configuration isn't the one before's.
#[cfg(feature = "audit")]
fn begin_audit(config: &Config, state: &Path, path: Option<&Path>) {
    use crate::audit;
    super::open_audit(config, state);
    if config.audit.enabled {
        let (pid, boot) = (std::process::id().to_string(), crate::sys::host::boot_id());
        let version = env!("STINT_VERSION");
        let what = [("version", version), ("pid", pid.as_str()), ("boot", boot.as_str())];
        audit::record("agent.started", "system", &what);
        #[cfg(feature = "guardian")]
        {
            let record = guardian::Record::look(state);
            let reason = record.last.last().map(|restart| restart.reason.as_str());
            audit::restarts(record.count, reason.unwrap_or_default());
        }
        #[cfg(feature = "update")]
        if let Ok(known) = crate::update::State::read(state) {
            audit::updates(&known, "agent");
        }
        audit::configuration(path);
    }
}

#[cfg(not(feature = "audit"))]
fn begin_audit(_config: &Config, _state: &Path, _path: Option<&Path>) {}

/// What is known before the configuration is judged.
struct Begun {
    /// The state folder.
    state: PathBuf,
    /// What the guardian hears, if it has started this process.
    #[cfg(feature = "guardian")]
    pulse: Option<Pulse>,
    /// This version has yet to show that it is good.
    #[cfg(feature = "update")]
    trial: Option<crate::update::state::Trial>,
}

/// Starts the log, and becomes the guardian or the program that is to run, if this isn't it. Of a file
/// that this version can't read as a `whole` there may still be enough to find the one that can.
fn begin(
    wish: &Wish,
    config: &Config,
    #[cfg_attr(not(feature = "supervise"), allow(unused_variables))] whole: bool,
) -> Result<Begun, Failure> {
    logger::start_as(config);
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    // Workers run in another folder and are told where their jobs are.
    let state = std::path::absolute(state).map_err(in_words)?;
    #[cfg(feature = "supervise")]
    if whole {
        crate::supervise::leave_child(&state, &config.supervise.cgroup);
    }
    #[cfg(feature = "guardian")]
    let pulse = Pulse::inherited();
    #[cfg(feature = "guardian")]
    if pulse.is_none() && is_guarded(config.guardian.enabled) && !is_on_trial(&state) {
        let code = guardian::run(&state, config.guardian.clone()).map_err(in_words)?;
        std::process::exit(code.into());
    }
    Ok(Begun {
        #[cfg(feature = "guardian")]
        pulse,
        #[cfg(feature = "update")]
        trial: crate::update::boot::enter(&state, false).trial,
        state,
    })
}

/// Whether the daemon gets a guardian: if nothing is said, where nobody else starts it again.
#[cfg(feature = "guardian")]
fn is_guarded(enabled: Option<bool>) -> bool {
    let is_respawned = || crate::board::BOARD.respawns || std::env::var_os(RESPAWNED).is_some();
    enabled.unwrap_or_else(|| !is_respawned())
}

/// Whether this process has become the version on trial. It has to go through that itself: the kernel counts its
/// time, and would end a guardian in the daemon's place. There can be one from the next start on.
#[cfg(feature = "guardian")]
fn is_on_trial(state: &Path) -> bool {
    #[cfg(feature = "update")]
    return crate::update::boot::is_trial(state);
    #[cfg(not(feature = "update"))]
    {
        let _ = state;
        false
    }
}

fn in_words(error: impl ToString) -> String {
    error.to_string()
}

#[cfg(uplink)]
fn serve(
    config: Config,
    config_path: Option<PathBuf>,
    begun: Begun,
    found: Result<Registration, RegistrationError>,
    observer: Observer,
) -> Result<End, Failure> {
    let state = begun.state.as_path();
    // Workers run in another folder.
    let config_path = config_path.map(std::path::absolute).transpose().map_err(in_words)?;
    #[cfg(feature = "supervise")]
    let supervise = {
        let mut supervise = config.supervise.clone();
        // Packages are mostly where the server is, so whom it was trusted by is good for them, too.
        let sources = &mut supervise.sources;
        let registered = || found.as_ref().ok()?.ca_file.clone();
        sources.ca_file = sources.ca_file.take().or_else(registered);
        #[cfg(feature = "ssm")]
        sources.config.clone_from(&config_path);
        supervise
    };
    crate::uplink::prepare(&config, state, true)?;
    let links = links::links(&config, state, found)?;
    let settings = crate::agent::Settings {
        #[cfg(feature = "update")]
        trial: begun.trial,
        #[cfg(all(fetching, feature = "update"))]
        schedule: crate::update::schedule::Schedule::new(&config.update, &config_path, state),
        health_interval: config.health_interval,
        workers: config.command_workers,
        retention: config.retention,
        #[cfg(feature = "session")]
        session: config.session.clone(),
        status_dir: config.status_dir(state),
        scripts: config.scripts_dir,
        reboot_command: config.reboot_command,
        #[cfg(feature = "supervise")]
        supervise,
        config: config_path,
        state: state.to_owned(),
        #[cfg(feature = "events")]
        events: config.events.clone(),
        #[cfg(feature = "audit")]
        send_audit: config.audit.enabled && config.audit.send,
        #[cfg(feature = "offline")]
        offline: Some(config.offline.keep).filter(|_| config.offline.enabled),
        observer: observer.into_observer(),
        #[cfg(feature = "guardian")]
        pulse: begun.pulse,
        #[cfg(feature = "guardian")]
        guardian: config.guardian,
    };
    crate::agent::run(links, settings).map_err(|error| in_words(error).into())
}

#[cfg(not(uplink))]
fn serve(
    _config: Config,
    _config_path: Option<PathBuf>,
    _begun: Begun,
    found: Result<Registration, RegistrationError>,
    _observer: Observer,
) -> Result<End, Failure> {
    found.map_err(in_words)?;
    let text = "this stint was built without an uplink, so there is nothing to run";
    Err(Failure::of_setup(text.to_owned()))
}
