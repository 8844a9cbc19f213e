//! Fetches a new version into the slot that isn't in use, and puts it on trial.

use super::state::{Last, Slot, State, Trial};
use super::trial::can_count;
use super::{UpdateError, boot, file_name, folder, program, trust};
use crate::agent::status;
use crate::board::VERSION;
use crate::config::{Config, Endpoints};
use crate::identity;
use crate::identity::RegistrationError;
#[cfg(feature = "bootagent")]
use crate::identity::bootagent::BootIdentity;
use crate::patience::{Patience, Stop};
use crate::remote::Place;
use crate::sys::command::{Command, Stdio};
use crate::sys::process::{self, Group};
use crate::sys::{FileError, durable, faults, host, lock, part};
#[cfg(feature = "ssm")]
use crate::uplink::ssm::instance::Instance;
use crate::uplink::{self, release::Releases};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use stint_wire::bootagent::sign;
use stint_wire::manifest::{FILE, Manifest, Release, SIGNATURE_SUFFIX, Status, Version};

/// Held by the process that changes a slot.
const LOCK: &str = "lock";

/// A larger program isn't ours, bytes: debug builds have 40 MB.
const MAX_PROGRAM: u64 = 128 * 1024 * 1024;

/// What the file system needs besides the program, bytes: its own tables, and the state's files.
const SLACK: u64 = 64 * 1024;

/// The new program has to say its version in this time.
const FOR_VERSION: Duration = Duration::from_secs(20);

/// Between two looks at what becomes of something.
const LOOK: Duration = Duration::from_millis(200);

/// Between two calls for a daemon that hasn't started a trial.
const POKE: Duration = Duration::from_secs(15);

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// This version; else the highest that is active.
    pub version: Option<&'a str>,
    /// Also one below that which runs.
    pub allow_downgrade: bool,
    /// Only if the one that runs is deprecated.
    pub automatic: bool,
}

/// A device's updates.
pub struct Updates<'a> {
    config: &'a Config,
    state: &'a Path,
    /// Where the manifest may be.
    urls: Vec<String>,
    releases: Releases,
}

/// A manifest that can be trusted.
pub struct Found {
    manifest: Manifest,
    /// Where it was.
    url: String,
    /// The version that runs.
    pub running: String,
    /// What the manifest says of that; `None` if nothing.
    pub status: Option<Status>,
}

/// What is to be done.
pub enum Choice {
    /// Nothing: this version is the right one.
    UpToDate(String),
    /// The version that would be right was tried and had to be taken back.
    Bad(String),
    /// This one is to be installed.
    Install(Release),
}

impl<'a> Updates<'a> {
    /// Those that the configuration names, or that this node's server has. From here on this process goes by
    /// the configuration's proxy, the agent's time and the day's budget.
    ///
    /// # Errors
    /// Nobody says where they are, that is a place where this device doesn't go, or the proxy makes no sense.
    pub fn new(config: &'a Config, state: &'a Path) -> Result<Updates<'a>, UpdateError> {
        let registration = identity::registration(state).ok();
        let endpoint = registration.as_ref().and_then(|it| it.endpoint.as_deref());
        let urls = manifests(config, endpoint);
        if urls.is_empty() {
            return Err(UpdateError::NoSource);
        }
        uplink::prepare(config, state, false).map_err(UpdateError::Setup)?;
        let registered = || registration.as_ref()?.ca_file.clone();
        let releases = Releases::new(config, config.ca_file.clone().or_else(registered));
        Ok(Updates { config, state, urls, releases })
    }

    /// Fetches the manifest and checks that it is one to go by.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub fn look(&self, patience: &Patience) -> Result<Found, UpdateError> {
        let mut known = State::read(self.state)?;
        let (url, text) = self.releases.text(&self.urls, patience)?;
        // Both are one server's: another may have another.
        let signatures = [format!("{url}{SIGNATURE_SUFFIX}")];
        let (_, signed) = self.releases.text(&signatures, patience)?;
        let check =
            |known: &State| trust::check(&self.config.update, known, text.as_bytes(), &signed, url);
        check(&known)?;
        let file = file_name();
        let manifest = Manifest::parse(&text, &file).map_err(UpdateError::Manifest)?;
        if manifest.serial < known.serial {
            return Err(UpdateError::Stale(manifest.serial, known.serial));
        }
        if known.take_in(&manifest) {
            // No key speaks for a manifest that revokes it.
            check(&known)?;
            // Also if nothing is installed: a manifest of before this one is refused from now on.
            if let Err(error) = self.keep(&manifest) {
                log::warn!("updates: {error}");
            }
        }
        if manifest.releases.is_empty() {
            return Err(UpdateError::NoFile(file));
        }
        let running = boot::version(&known, self.state);
        let version = Version::parse(&running);
        let status = version.and_then(|version| manifest.status_of(version));
        Ok(Found { manifest, url: url.to_owned(), running, status })
    }

    /// Writes down what a manifest says for the time to come. While a version is on trial the daemon writes the file.
    fn keep(&self, manifest: &Manifest) -> Result<(), UpdateError> {
        let base = folder(self.state);
        durable::make_folder(&base)?;
        let _held = lock::acquire(&base.join(LOCK))?.ok_or(UpdateError::Busy)?;
        let mut state = State::read(self.state)?;
        let revoked = state.revoked.len();
        if state.trial.is_none() && state.take_in(manifest) {
            state.save(self.state)?;
            for key in state.revoked.iter().skip(revoked) {
                log::warn!("the release key {} is revoked", sign::key_text(key));
            }
        }
        Ok(())
    }

    /// Decides what is to be done.
    ///
    /// # Errors
    /// The version that is wanted can't be had, or isn't good.
    pub fn choose(&self, found: &Found, wish: Wish<'_>) -> Result<Choice, UpdateError> {
        choose(&State::read(self.state)?, found, wish)
    }

    /// Fetches a version and puts it on trial at the next start of the daemon. `order` is for
    /// [`outcome`].
    ///
    /// # Errors
    /// See [`UpdateError`]. What runs hasn't been touched.
    pub fn stage(
        &self,
        found: &Found,
        release: &Release,
        order: &str,
        patience: &Patience,
    ) -> Result<(), UpdateError> {
        let base = folder(self.state);
        durable::make_folder(&base)?;
        let _held = lock::acquire(&base.join(LOCK))?.ok_or(UpdateError::Busy)?;
        let mut state = State::read(self.state)?;
        if let Some(trial) = state.trial {
            return Err(UpdateError::OnTrial(trial.slot.version));
        }
        // The one in use stays, be it one that was kept or the factory's.
        let name = match &state.committed {
            Some(kept) if kept.slot == "a" => "b",
            _ => "a",
        };
        let path = program(self.state, name);
        let size = release.size.unwrap_or_default();
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
        let free = host::free_bytes(&base.join(LOCK)).unwrap_or(u64::MAX);
        // What an interrupted download has left is gone on with, or gives way.
        let free = free.saturating_add(bytes(&part::beside(&path)));
        let needed = size + SLACK;
        let most = free.saturating_add(bytes(&path));
        if needed > most {
            return Err(UpdateError::NoRoom(needed, most));
        }
        if state.previous.as_ref().is_some_and(|previous| previous.slot == name) {
            state.previous = None;
            state.save(self.state)?;
        }
        if needed > free {
            durable::remove(&path)?;
        }
        durable::make_folder(path.parent().unwrap_or(&base))?;
        let limit = release.size.unwrap_or(MAX_PROGRAM).min(MAX_PROGRAM);
        let place = Place {
            path: &path,
            sha256: Some(&release.sha256),
            limit,
            resume: Some(&release.sha256),
        };
        let url = found.manifest.uri(&found.url, &release.name, &file_name());
        self.releases.file(&url, &place, patience)?;
        faults::point("update fetched");
        let size = fs::metadata(&path).map_err(FileError::new("look at", &path))?.len();
        if let Err(why) = says(&path, &release.name) {
            durable::remove(&path)?;
            return Err(UpdateError::WontRun(release.name.clone(), why));
        }
        state.take_in(&found.manifest);
        state.trial = Some(Trial {
            slot: Slot {
                slot: name.to_owned(),
                version: release.name.clone(),
                sha256: release.sha256.clone(),
                size,
                factory: boot::factory_version(self.state),
            },
            tries: 0,
            minutes: self.config.update.deadline,
            from: found.running.clone(),
            order: order.to_owned(),
            alone: is_alone(self.config, self.state),
        });
        state.save(self.state)?;
        Ok(())
    }
}

/// Where the manifest may be: where the configuration says, else with the servers of this device, which was registered with
/// that `endpoint`, as they are asked for everything.
fn manifests(config: &Config, endpoint: Option<&str>) -> Vec<String> {
    if let Some(url) = &config.update.source {
        return vec![url.clone()];
    }
    let Endpoints { all, more, ssm, .. } = &config.endpoints;
    let mut servers: Vec<&str> = match ssm {
        Some(own) => vec![own],
        None => all.iter().chain(more).map(String::as_str).collect(),
    };
    if servers.is_empty() {
        servers.extend(endpoint);
    }
    #[cfg(feature = "bootagent")]
    if servers.is_empty() {
        servers.extend(config.bootagent.servers.iter().map(String::as_str));
    }
    let beside = |url: &&str| format!("{}/updates/{FILE}", url.trim_end_matches('/'));
    servers.iter().map(beside).collect()
}

/// Whether this device has no server that could hear a new version: nothing names one, and the daemon
/// that runs has no link.
fn is_alone(config: &Config, state: &Path) -> bool {
    #[cfg(feature = "bootagent")]
    if crate::uplink::bootagent::is_wanted(config, BootIdentity::look(state).as_ref()) {
        return false;
    }
    #[cfg(feature = "ssm")]
    if Instance::wanted(&config.identity, false).is_some() {
        return false;
    }
    matches!(identity::registration(state), Err(RegistrationError::Missing(_)))
        && status::look(state, &config.status_dir(state)).is_none_or(|now| now.links.is_empty())
}

fn choose(state: &State, found: &Found, wish: Wish<'_>) -> Result<Choice, UpdateError> {
    let Found { manifest, running, status, .. } = found;
    let current = Version::parse(running).unwrap_or_default();
    if wish.automatic && *status != Some(Status::Deprecated) {
        return Ok(Choice::UpToDate(running.clone()));
    }
    let Some(name) = wish.version else {
        let newer = |release: &Release| release.version > current;
        let is_bad = |release: &Release| state.bad.contains(&release.name);
        let good = manifest.newest(|release| newer(release) && !is_bad(release));
        return Ok(match (good, manifest.newest(newer)) {
            (Some(release), _) => Choice::Install(release.clone()),
            (None, Some(bad)) => Choice::Bad(bad.name.clone()),
            (None, None) => Choice::UpToDate(running.clone()),
        });
    };
    let version = Version::parse(name).ok_or_else(|| UpdateError::NoVersion(name.to_owned()))?;
    if version == current {
        return Ok(Choice::UpToDate(running.clone()));
    }
    let release = manifest.releases.iter().find(|release| release.version == version);
    let release = release.ok_or_else(|| UpdateError::Unknown(name.to_owned()))?;
    if release.status != Status::Active {
        return Err(UpdateError::NotActive(name.to_owned(), release.status.as_str()));
    }
    let highest = Version::parse(&state.highest).unwrap_or_default();
    if version < current.max(highest) && !wish.allow_downgrade {
        let than = if highest > current { &state.highest } else { running };
        return Err(UpdateError::Older(name.to_owned(), than.clone()));
    }
    Ok(Choice::Install(release.clone()))
}

/// Has the program say its version: one for another processor, or whose file system forbids
/// programs, is found out before anything depends on it.
fn says(path: &Path, version: &str) -> Result<(), String> {
    let mut command = Command::new(path);
    command.arg("version").current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    command.stdout(Stdio::piped());
    let child = process::isolate(&mut command, Group::Own).spawn();
    let mut child = child.map_err(|cause| cause.to_string())?;
    let patience = Patience::of_time(FOR_VERSION);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if patience.over().is_some() => {
                let _ = process::kill_group(child.id());
                let _ = child.wait();
                return Err("it doesn't say its version in 20 s".to_owned());
            }
            Ok(None) => thread::sleep(LOOK),
            Err(cause) => return Err(cause.to_string()),
        }
    };
    let mut said = String::new();
    let out = child.stdout.take().map(|out| out.take(1024).read_to_string(&mut said));
    if !status.success() || !matches!(out, Some(Ok(_))) {
        return Err(format!("asked for its version, it ended with {status}"));
    }
    match said.split_whitespace().nth(1) {
        Some(own) if own == version => Ok(()),
        own => Err(format!("it says that it is version {}", own.unwrap_or("nothing"))),
    }
}

/// What became of an order: `None` if it is nobody's, or not over.
pub fn outcome(state: &Path, order: &str) -> Option<Last> {
    State::load(state).last.filter(|last| last.order == order)
}

/// Whether an order's version is on trial.
pub fn is_on_trial(state: &Path, order: &str) -> bool {
    State::load(state).trial.is_some_and(|trial| trial.order == order)
}

/// Whether it is on trial and hasn't been started.
pub fn is_untried(state: &Path, order: &str) -> bool {
    State::load(state).trial.is_some_and(|trial| trial.order == order && trial.tries == 0)
}

/// Waits until an order that is on trial is over. While it hasn't been started, `poke` is called now
/// and then: a daemon whose disk was full for a moment couldn't count the try, and made none.
///
/// # Errors
/// The wait is over sooner.
pub fn wait(state: &Path, order: &str, patience: &Patience, poke: &dyn Fn()) -> Result<Last, Stop> {
    let mut poked = Instant::now();
    loop {
        let Ok(State { trial, last, .. }) = State::read(state) else {
            // It says nothing now.
            if let Some(stop) = patience.over() {
                return Err(stop);
            }
            thread::sleep(LOOK);
            continue;
        };
        let is_mine = trial.as_ref().is_some_and(|trial| trial.order == order);
        if poked.elapsed() >= POKE && trial.is_some_and(|trial| trial.tries == 0) {
            if can_count(state) {
                poke();
            }
            poked = Instant::now();
        }
        if let Some(last) = last.filter(|last| last.order == order) {
            return Ok(last);
        }
        if !is_mine {
            // The device has been flashed anew meanwhile, or its state is gone.
            let (order, version) = (order.to_owned(), VERSION.to_owned());
            let failure = "nothing is known of it any more".to_owned();
            return Ok(Last { order, version, from: String::new(), failure });
        }
        if let Some(stop) = patience.over() {
            return Err(stop);
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, status: Status) -> Release {
        let version = Version::parse(name).unwrap();
        Release { version, name: name.into(), sha256: String::new(), size: None, status }
    }

    fn found(running: &str) -> Found {
        let releases = vec![
            release("1.0", Status::Deprecated),
            release("1.1", Status::Active),
            release("1.2", Status::Active),
            release("1.3", Status::Inactive),
        ];
        let manifest = Manifest { releases, ..Manifest::default() };
        let status = manifest.status_of(Version::parse(running).unwrap());
        Found { manifest, url: String::new(), running: running.to_owned(), status }
    }

    fn chosen(state: &State, running: &str, wish: Wish<'_>) -> String {
        match choose(state, &found(running), wish) {
            Ok(Choice::UpToDate(name)) => format!("={name}"),
            Ok(Choice::Bad(name)) => format!("!{name}"),
            Ok(Choice::Install(release)) => release.name,
            Err(error) => error.to_string(),
        }
    }

    const NEWEST: Wish<'_> = Wish { version: None, allow_downgrade: false, automatic: false };

    #[test]
    fn the_highest_active_version_is_chosen_unless_it_had_to_be_taken_back() {
        let mut state = State::default();
        assert_eq!(chosen(&state, "1.0", NEWEST), "1.2");
        assert_eq!(chosen(&state, "1.2.0.0", NEWEST), "=1.2.0.0");
        assert_eq!(chosen(&state, "2.0", NEWEST), "=2.0");
        state.bad = vec!["1.2".into()];
        assert_eq!(chosen(&state, "1.0", NEWEST), "1.1");
        assert_eq!(chosen(&state, "1.1", NEWEST), "!1.2");
        let wish = Wish { version: Some("1.2"), ..NEWEST };
        assert_eq!(chosen(&state, "1.0", wish), "1.2");
    }

    #[test]
    fn a_device_is_alone_only_if_nothing_names_a_server() {
        let folder = crate::testing::Folder::new();
        let config = Config::default();
        assert!(is_alone(&config, folder.path()));
        // A registration that can't be read names one, too.
        let path = identity::Registration::path(folder.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(!is_alone(&config, folder.path()));
        fs::remove_file(&path).unwrap();
        #[cfg(feature = "bootagent")]
        {
            let mut config = config;
            config.bootagent.servers = vec!["https://hub:1".to_owned()];
            assert!(!is_alone(&config, folder.path()));
        }
    }

    #[test]
    fn only_a_trial_that_has_not_been_started_is_untried() {
        let folder = crate::testing::Folder::new();
        for (tries, wanted) in [(0, true), (1, false)] {
            let slot = Slot { slot: "a".to_owned(), ..Slot::default() };
            let trial = Trial { slot, order: "o".to_owned(), tries, ..Trial::default() };
            State { trial: Some(trial), ..State::default() }.save(folder.path()).unwrap();
            assert_eq!(is_untried(folder.path(), "o"), wanted);
            assert!(!is_untried(folder.path(), "other"));
        }
    }

    #[test]
    fn by_itself_only_a_deprecated_version_replaces_itself() {
        let wish = Wish { automatic: true, ..NEWEST };
        let state = State::default();
        assert_eq!(chosen(&state, "1.0", wish), "1.2");
        for running in ["1.1", "1.3", "0.9"] {
            assert_eq!(chosen(&state, running, wish), format!("={running}"));
        }
    }

    #[test]
    fn a_version_that_is_named_must_be_there_active_and_not_older() {
        let state = State { highest: "1.2".into(), ..State::default() };
        for (version, wanted) in [
            ("1.2.0", "1.2"),
            ("9.9", "the manifest has no version 9.9"),
            ("1.3", "version 1.3 is Inactive and isn't installed"),
            ("x", "x is no version"),
            ("1.1", "older than 1.2"),
        ] {
            let wish = Wish { version: Some(version), ..NEWEST };
            let chosen = chosen(&state, "1.0", wish);
            assert!(chosen.contains(wanted), "{chosen}");
        }
        let wish = Wish { version: Some("1.1"), allow_downgrade: true, ..NEWEST };
        assert_eq!(chosen(&state, "1.2", wish), "1.1");
    }

    #[test]
    fn a_program_that_does_not_say_its_version_is_no_new_version() {
        use std::os::unix::fs::PermissionsExt;
        let folder = crate::testing::Folder::new();
        let path = folder.path().join("stint");
        let write = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        };
        for (script, wanted) in [
            ("#!/bin/sh\necho stint 1.2 for x\n", None),
            ("#!/bin/sh\necho stint 1.3 for x\n", Some("it is version 1.3")),
            ("#!/bin/sh\nexit 3\n", Some("ended with exit status: 3")),
            // The C library has a shell read what the kernel doesn't know, or passes the error on.
            ("\x7fELF\n", Some("e")),
        ] {
            write(script);
            // Processes that other tests fork meanwhile may have the file open for a moment.
            let result = (0..50)
                .map(|_| {
                    thread::sleep(Duration::from_millis(20));
                    says(&path, "1.2")
                })
                .find(|result| !matches!(result, Err(why) if why.contains("busy")))
                .unwrap();
            match wanted {
                None => result.unwrap(),
                Some(wanted) => assert!(result.unwrap_err().contains(wanted), "{script}"),
            }
        }
    }

    #[test]
    fn every_server_of_this_device_may_have_the_manifest() {
        let mut config = Config::default();
        let ask = |config: &Config| manifests(config, Some("https://hub/")).join(" ");
        assert_eq!(ask(&config), "https://hub/updates/manifest.json");
        let url = |host: &str| format!("https://{host}");
        (config.endpoints.all, config.endpoints.more) = (Some(url("one")), vec![url("two")]);
        let both = "https://one/updates/manifest.json https://two/updates/manifest.json";
        assert_eq!(ask(&config), both);
        config.endpoints.ssm = Some(url("own"));
        assert_eq!(ask(&config), "https://own/updates/manifest.json");
        config.update.source = Some("https://releases/m.json".to_owned());
        assert_eq!(ask(&config), "https://releases/m.json");
        assert!(manifests(&Config::default(), None).is_empty());
    }
}
