//! `stint run`.

use super::logger;
use crate::agent::{End, status};
use crate::config::{self, Config, Loaded};
#[cfg(feature = "guardian")]
use crate::guardian::{self, Pulse};
#[cfg(feature = "ssm")]
use crate::identity::hardware::Hardware;
use crate::identity::{self, Registration, RegistrationError};
#[cfg(feature = "ssm")]
use crate::uplink::ssm::instance::Instance;
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
    #[cfg(feature = "logs")]
    logger::start_to(config.log_level, &config.logs);
    #[cfg(not(feature = "logs"))]
    logger::start(config.log_level);
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
    let links = links(&config, state, found, &observer)?;
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

/// The ways to servers: those for which there is a registration, or a server to register with.
#[cfg(uplink)]
fn links(
    config: &Config,
    state: &Path,
    found: Result<Registration, RegistrationError>,
    #[cfg_attr(not(feature = "ssm"), allow(unused_variables))] observer: &Observer,
) -> Result<crate::agent::Links, Failure> {
    let mut links = crate::agent::Links::default();
    #[cfg(feature = "bootagent")]
    match super::enrol::link(config, state) {
        Ok(link) => links.bootagent = link,
        // The other link needn't suffer for it.
        Err(error) => {
            log::error!("there is no link to a BootAgent server: {error}");
            #[cfg(feature = "guardian")]
            {
                links.later = Some(bootagent_later(config.clone(), state.to_owned()));
            }
        }
    }
    #[cfg(feature = "bootagent")]
    if let Some(link) = &links.bootagent {
        let agentsn = &link.uplink.identity().agentsn;
        log::info!("stint {} runs as agent {agentsn}", env!("STINT_VERSION"));
    }
    #[cfg(feature = "ssm")]
    match found {
        _ if is_instance(config, found.is_ok()) => {
            let make = on_instance(config.clone(), state.to_owned(), found.is_ok());
            links.commands = Some(patiently(observer.clone(), make));
        }
        Ok(_) if !config.identity.wants_registration() => {
            let text = "\"identity.sources\" wants an EC2 instance, which this is not";
            return Err(Failure::of_setup(text.to_owned()));
        }
        Ok(registration) => links.commands = Some(commands(config, state, registration)?),
        Err(missing @ RegistrationError::Missing(_)) => {
            if super::provision::carries_commands() {
                let make = first_boot(config.clone(), state.to_owned());
                links.commands = Some(patiently(observer.clone(), make));
            } else if !has_link(&links) && !has_own_work(config, state) {
                return Err(Failure::of_setup(missing.to_string()));
            }
        }
        Err(error) if has_link(&links) || has_own_work(config, state) => {
            log::error!("there is no link for commands: {error}");
            let make = again(config.clone(), state.to_owned());
            links.commands = Some(patiently(observer.clone(), make));
        }
        Err(error) => return Err(error.to_string().into()),
    }
    #[cfg(not(feature = "ssm"))]
    if !has_link(&links) && !has_own_work(config, state) {
        drop(found);
        return Err(Failure::of_setup(
            "this device has no server: name it in the configuration, \"bootagent\": \
             {\"servers\": \"http://…\"}, or with `stint register --server`"
                .to_owned(),
        ));
    }
    Ok(links)
}

/// Whether this device has its identity from a metadata service. An activation on the image is as
/// good as a registration.
#[cfg(feature = "ssm")]
fn is_instance(config: &Config, registered: bool) -> bool {
    let registered = registered || super::provision::carries_commands();
    Instance::wanted(&config.identity, registered).is_some()
}

/// Makes the link for commands, or says what failed and why. `None`: there is no such link after all.
#[cfg(feature = "ssm")]
type Make = Box<dyn Fn() -> Result<Made, (&'static str, String)> + Send>;

#[cfg(feature = "ssm")]
type Made = Option<std::sync::Arc<dyn crate::uplink::Uplink>>;

/// The link for commands, however often it has to be tried. The serial console is told of each new
/// reason why it can't be made: there may be nothing else that whoever stands before it gets to know.
#[cfg(feature = "ssm")]
fn patiently(observer: Observer, make: Make) -> crate::agent::Commands {
    Box::new(move || {
        let mut backoff = crate::agent::backoff::Backoff::default();
        let mut said = String::new();
        loop {
            let (what, error) = match make() {
                Ok(made) => return made,
                Err(failed) => failed,
            };
            let pause = backoff.failed(false);
            log::warn!("{what}, trying again in {} s: {error}", pause.as_secs());
            if error != said {
                observer.backing_off(pause, &error);
                said = error;
            }
            std::thread::sleep(pause);
        }
    })
}

/// What makes the link for commands of an EC2 instance, as soon as its metadata service answers.
#[cfg(feature = "ssm")]
fn on_instance(config: Config, state: PathBuf, registered: bool) -> Make {
    Box::new(move || {
        let Some(instance) = Instance::wanted(&config.identity, registered) else {
            return Ok(None);
        };
        match crate::uplink::ssm::Ssm::of_instance(&config, &state, instance) {
            Ok(uplink) => {
                log::info!("stint {} runs as {}", env!("STINT_VERSION"), uplink.node_id());
                Ok(Some(std::sync::Arc::new(uplink)))
            }
            Err(error) => Err(("this instance is not known yet", error.to_string())),
        }
    })
}

/// The link for commands of a device that is registered.
#[cfg(feature = "ssm")]
fn commands(
    config: &Config,
    state: &Path,
    registration: Registration,
) -> Result<crate::agent::Commands, String> {
    log::info!("stint {} runs as {}", env!("STINT_VERSION"), registration.instance_id);
    super::provision::wipe(state);
    if let Some(change) = Hardware::read().change_since(&registration.hardware) {
        log::warn!("{}", change.words());
    }
    let uplink = crate::uplink::ssm::Ssm::new(config, state, registration).map_err(in_words)?;
    Ok(Box::new(|| Some(std::sync::Arc::new(uplink))))
}

/// The same of one that has yet to be registered, with the activation that its image carries.
#[cfg(feature = "ssm")]
fn first_boot(config: Config, state: PathBuf) -> Make {
    Box::new(move || {
        // From the second time on it is there and only read.
        let registration = super::provision::register(&config, &state)
            .map_err(|error| ("registration failed", error))?;
        let commands = commands(&config, &state, registration)
            .map_err(|error| ("there is no link for commands", error))?;
        Ok(commands())
    })
}

/// The same of one whose registration can't be read at the moment.
#[cfg(feature = "ssm")]
fn again(config: Config, state: PathBuf) -> Make {
    Box::new(move || {
        let found = Registration::load(&state).map_err(in_words);
        let commands = found.and_then(|registration| commands(&config, &state, registration));
        Ok(commands.map_err(|error| ("there is no link for commands", error))?())
    })
}

/// Makes the link to a BootAgent server that couldn't be made at the start: the disk was full perhaps.
#[cfg(all(feature = "bootagent", feature = "guardian"))]
fn bootagent_later(config: Config, state: PathBuf) -> crate::agent::bootagent::Make {
    Box::new(move || {
        let link = super::enrol::link(&config, &state)?;
        link.ok_or_else(|| "nobody names a server any more".to_owned())
    })
}

/// Whether there is something to do without any server: child agents to look after, local documents.
#[cfg(all(uplink, feature = "supervise"))]
fn has_own_work(config: &Config, state: &Path) -> bool {
    let has = crate::supervise::status::has_children(state, &config.supervise.definitions);
    if has {
        log::warn!("stint runs without a server: it looks after the child agents and no more");
    }
    has || has_documents(config, state)
}

#[cfg(all(uplink, not(feature = "supervise")))]
fn has_own_work(config: &Config, state: &Path) -> bool {
    has_documents(config, state)
}

/// Whether somebody has made the folder for documents that come without a server.
#[cfg(all(uplink, feature = "offline"))]
fn has_documents(config: &Config, state: &Path) -> bool {
    let folder = crate::offline::Folder::of(state, config.offline.keep);
    let has = config.offline.enabled && folder.exists();
    if has {
        log::warn!(
            "stint runs without a server: it runs the documents in {}",
            folder.path().display()
        );
    }
    has
}

#[cfg(all(uplink, not(feature = "offline")))]
fn has_documents(_config: &Config, _state: &Path) -> bool {
    false
}

#[cfg(feature = "bootagent")]
fn has_link(links: &crate::agent::Links) -> bool {
    #[cfg(feature = "guardian")]
    if links.later.is_some() {
        return true;
    }
    links.bootagent.is_some()
}

#[cfg(all(uplink, not(feature = "bootagent")))]
fn has_link(_links: &crate::agent::Links) -> bool {
    false
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

/// The serial console, where there is one.
#[cfg(feature = "serial")]
#[derive(Clone)]
struct Observer(crate::serial::Console);

#[cfg(feature = "serial")]
impl Observer {
    fn new(config: &Config) -> Observer {
        let devices = config.serial_devices.clone();
        Observer(crate::serial::Console::new(devices, config.serial_baud))
    }

    #[cfg_attr(not(feature = "guardian"), allow(unused_variables))]
    fn started(&self, config: &Config, state: &Path, registration: Option<&Registration>) {
        let node = known_node(config, state, registration);
        // By the rule by which it signs and judges certificates.
        #[cfg(uplink)]
        let is_set = !crate::uplink::clock::is_doubtful();
        #[cfg(not(uplink))]
        let is_set = crate::sys::clock::is_set();
        let clock = (crate::sys::clock::system(), is_set);
        #[cfg(not(feature = "guardian"))]
        let (watchdog, was_reset) = (None::<PathBuf>, false);
        #[cfg(feature = "guardian")]
        let (watchdog, was_reset) = {
            let boot = guardian::Record::look(state).reset;
            (config.guardian.watchdog.clone(), boot == crate::sys::host::boot_id())
        };
        // Also one that another feeds tells what it did.
        let watchdog = watchdog.unwrap_or_else(|| crate::board::BOARD.watchdog.into());
        self.0.started(node.as_deref(), state, watchdog, was_reset, clock);
        #[cfg(feature = "ssm")]
        if let Some(instance) = Instance::wanted(&config.identity, false) {
            crate::serial::Console::greet(instance);
        }
    }

    #[cfg(feature = "guardian")]
    fn restarted(&self, record: &guardian::Record) {
        let reason = record.last.last().map(|restart| restart.reason.as_str());
        self.0.restarted(record.count, reason.unwrap_or_default());
    }

    #[cfg(feature = "ssm")]
    fn backing_off(&self, wait: std::time::Duration, why: &str) {
        self.0.backing_off(wait, why);
    }

    #[cfg(uplink)]
    fn into_observer(self) -> Option<Box<dyn crate::agent::Observer>> {
        Some(Box::new(self))
    }
}

/// Who this device is to its servers, if that is known without asking anybody.
#[cfg(feature = "serial")]
#[cfg_attr(not(all(feature = "ssm", feature = "bootagent")), allow(unused_variables))]
fn known_node(
    config: &Config,
    state: &Path,
    registration: Option<&Registration>,
) -> Option<String> {
    #[cfg(feature = "ssm")]
    if is_instance(config, registration.is_some()) {
        // Which one its metadata service alone knows, and the line `online` says it.
        return Some("EC2".to_owned());
    }
    let node = registration.map(|registration| registration.instance_id.clone());
    #[cfg(feature = "bootagent")]
    let node = node.or_else(|| {
        let identity = identity::bootagent::BootIdentity::look(state)?;
        let is_named = !identity.node_id.is_empty();
        let name = if is_named { identity.node_id } else { identity.agentsn };
        identity.registered.then_some(name)
    });
    node
}

#[cfg(all(feature = "serial", uplink))]
impl crate::agent::Observer for Observer {
    fn online(&self, link: &status::LinkState) {
        #[cfg(feature = "ssm")]
        let node = link.node.as_deref();
        #[cfg(not(feature = "ssm"))]
        let node = None;
        self.0.online(&link.link, node);
    }

    fn backing_off(&self, wait: std::time::Duration, why: &str) {
        self.0.backing_off(wait, why);
    }
}

#[cfg(not(feature = "serial"))]
#[derive(Clone)]
struct Observer;

#[cfg(not(feature = "serial"))]
impl Observer {
    fn new(_config: &Config) -> Observer {
        Observer
    }

    fn started(&self, _config: &Config, _state: &Path, _registration: Option<&Registration>) {}

    #[cfg(feature = "guardian")]
    fn restarted(&self, _record: &guardian::Record) {}

    #[cfg(feature = "ssm")]
    fn backing_off(&self, _wait: std::time::Duration, _why: &str) {}

    #[cfg(uplink)]
    fn into_observer(self) -> Option<Box<dyn crate::agent::Observer>> {
        None
    }
}

#[cfg(all(test, feature = "serial", feature = "bootagent"))]
mod tests {
    use super::*;
    use crate::identity::bootagent::BootIdentity;
    use crate::testing::Folder;

    #[test]
    fn a_device_that_only_a_bootagent_server_knows_is_registered_under_that_servers_name() {
        let (folder, config) = (Folder::new(), Config::default());
        let node = || known_node(&config, folder.path(), None);
        assert_eq!(node(), None);
        let mut identity = BootIdentity::load_or_make(folder.path()).unwrap();
        assert_eq!(node(), None);
        identity.registered = true;
        identity.save(folder.path()).unwrap();
        assert_eq!(node().as_ref(), Some(&identity.agentsn));
        identity.node_id = "mi-0123456789abcdef0".to_owned();
        identity.save(folder.path()).unwrap();
        assert_eq!(node().as_ref(), Some(&identity.node_id));
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn an_instance_needs_no_registration() {
        let mut config = Config::default();
        config.identity.metadata_endpoint = Some("http://127.0.0.1:9".to_owned());
        assert_eq!(known_node(&config, Path::new("/nowhere"), None).as_deref(), Some("EC2"));
    }
}
