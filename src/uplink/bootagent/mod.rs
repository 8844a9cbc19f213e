//! BootAgent servers: the founding REST protocol, and its signed form (`docs/PROTOCOL.md`,
//! "BootAgent").
//!
//! It is no [`super::Uplink`]: here one report carries everything up and brings the jobs down, and
//! there is nothing to acknowledge (decision 0023). Plain blocking code all the same; the loop
//! calls it through a lane.

mod exchange;
mod round;
mod trust;

use super::clock::Clock;
use super::{UplinkError, endpoint};
use crate::config::Config;
use crate::identity::bootagent::{Activation, BootIdentity};
use crate::sys::{FileError, clock, host};
use round::Round;
use std::path::{Path, PathBuf};
use std::time::Instant;
use stint_wire::bootagent::{
    Job, JobResult, REGISTER, RESULT, STATUS, STEPS, is_agentsn, register, servers, status,
};
use stint_wire::text::head;
use trust::Worth;

/// The link's name in `stint status`.
pub const NAME: &str = "bootagent";

/// Tags beyond this are cut, bytes.
const MAX_TAGS: usize = 1024;

/// The link of one node to its servers.
pub struct BootAgent {
    config: Config,
    state: PathBuf,
    identity: BootIdentity,
    round: Round,
    clock: Clock,
    started: Instant,
    /// A server has taken this node in, and has not said otherwise since.
    taken_in: bool,
}

impl BootAgent {
    /// Sets the link up; nothing is sent yet.
    ///
    /// # Errors
    /// There is no server to talk to; the text says where to name one.
    pub fn new(config: &Config, state: &Path, identity: BootIdentity) -> Result<BootAgent, String> {
        let own = own_servers(config, &identity);
        if own.is_empty() {
            return Err("no server is named; name it in the configuration, \"bootagent\": \
                        {\"servers\": \"https://…\"}, or with `stint register --server`"
                .to_owned());
        }
        Ok(BootAgent {
            round: Round::new(pushed_servers(config, &identity), &own),
            // Until a report has been accepted, the server may still want another id.
            taken_in: identity.registered && identity.settled,
            config: config.clone(),
            state: state.to_owned(),
            identity,
            clock: Clock::default(),
            started: Instant::now(),
        })
    }

    /// Whether a server has taken this node in, so that it needn't be registered.
    pub fn is_taken_in(&self) -> bool {
        self.taken_in
    }

    /// The time between two reports, seconds.
    pub fn step(&self) -> u64 {
        self.identity.step.unwrap_or(self.config.bootagent.step)
    }

    /// What this node is to its servers.
    pub fn identity(&self) -> &BootIdentity {
        &self.identity
    }

    /// Has a server take this node in, which must see an activation if it is a hub that doesn't
    /// know the node's key.
    ///
    /// # Errors
    /// [`UplinkError::Refused`] if the server doesn't want it.
    pub fn register(&mut self, activation: Option<&Activation>) -> Result<(), UplinkError> {
        let operation = "registration";
        let request = register::Request {
            hostname: hostname(),
            agentsn: self.identity.agentsn.clone(),
            ipaddr: self.address(),
            version: Some(version()),
            feature: None,
            key: self.identity.public_key(),
            activation: activation.map(|a| (a.id.clone(), a.code.clone())),
        };
        let heard = self.exchange(operation, REGISTER, &request.write())?;
        let bad = |what| UplinkError::BadAnswer { operation, what };
        let answer =
            register::Answer::read(&heard.body).map_err(|_| bad("it is no JSON object"))?;
        if answer.status != 0 {
            return Err(refused(operation, answer.status, answer.message));
        }
        let configured = self.config.bootagent.server_key;
        let identity = &mut self.identity;
        if let Some(agentsn) = answer.agentsn {
            if !is_agentsn(&agentsn) {
                return Err(bad("the agent's id has an unknown form"));
            }
            if agentsn != identity.agentsn {
                log::warn!("the server calls this agent {agentsn}; it was {}", identity.agentsn);
                identity.agentsn = agentsn;
            }
        }
        if heard.worth == Worth::Signed && !answer.serverkeys.is_empty() {
            identity.pins = answer.serverkeys;
        } else if heard.worth == Worth::Signed && identity.pins.is_empty() {
            // It has just shown that it has the key that was named.
            identity.pins.extend(configured);
        }
        identity.tags = head(&answer.tags.unwrap_or_default(), MAX_TAGS).to_owned();
        identity.node_id = answer.nodeid.filter(|id| is_agentsn(id)).unwrap_or_default();
        identity.registered = true;
        self.save()?;
        self.taken_in = true;
        let (agentsn, server) = (&self.identity.agentsn, self.round.first());
        log::info!("registered as agent {agentsn} with {server}");
        Ok(())
    }

    /// Tells a server how the node is, and hears what is to be done.
    ///
    /// # Errors
    /// No server has taken the report.
    pub fn report(
        &mut self,
        report: status::Report,
    ) -> Result<Vec<Result<Job, JobResult>>, UplinkError> {
        let operation = "report";
        let report = status::Report {
            hostname: hostname(),
            version: version(),
            uptime: self.started.elapsed().as_secs(),
            timestamp: self.clock.now().secs(),
            unsynced: !clock::is_set(),
            step: self.step(),
            agentsn: self.identity.agentsn.clone(),
            ..report
        };
        let heard = self.exchange(operation, STATUS, &report.write())?;
        let answer = status::Answer::read(&heard.body)
            .map_err(|_| UplinkError::BadAnswer { operation, what: "it is no JSON object" })?;
        if answer.errcode != 0 {
            // The founding page has it ignored.
            let said = answer.message.unwrap_or_default();
            log::info!("the server answers the report with errcode {} {said}", answer.errcode);
        }
        if let Some(keys) = answer.serverkeys.filter(|_| heard.worth == Worth::Signed) {
            self.pin(keys);
        }
        if !self.identity.settled {
            self.identity.settled = true;
            self.keep();
        }
        Ok(answer.jobs)
    }

    /// Trusts these keys from now on. Only what is on disk is told to the server as trusted: it may
    /// throw the old keys away then.
    fn pin(&mut self, keys: Vec<[u8; 32]>) {
        if keys.is_empty() || keys == self.identity.pins {
            return;
        }
        let old = std::mem::replace(&mut self.identity.pins, keys);
        match self.identity.save(&self.state) {
            Ok(()) => log::info!("the server has changed its keys"),
            Err(error) => {
                log::error!("the server's new keys can't be kept, so the old ones stay: {error}");
                self.identity.pins = old;
            }
        }
    }

    /// The servers have lost this node: it has to be taken in again, also by the next agent.
    fn forget_registration(&mut self) {
        self.taken_in = false;
        self.identity.registered = false;
        self.keep();
    }

    /// Writes down what is only convenient to know after a restart.
    fn keep(&self) {
        if let Err(error) = self.identity.save(&self.state) {
            log::error!("{error}");
        }
    }

    /// Delivers results of jobs.
    ///
    /// # Errors
    /// No server has taken them; the same are to be delivered again.
    pub fn deliver(&mut self, results: &[JobResult]) -> Result<(), UplinkError> {
        let operation = "result";
        let heard = self.exchange(operation, RESULT, &status::write_results(results))?;
        let answer = status::Answer::read(&heard.body)
            .map_err(|_| UplinkError::BadAnswer { operation, what: "it is no JSON object" })?;
        match answer.errcode {
            0 => Ok(()),
            code => Err(refused(operation, code, answer.message)),
        }
    }

    /// Does a job that is about the agent's own settings; durable when it returns.
    ///
    /// # Errors
    /// In words: a list that makes no sense, or a disk that doesn't take it. Nothing is changed.
    pub fn configure(&mut self, job: &Job) -> Result<String, String> {
        let mut message = "success".to_owned();
        let (old_list, old_step) = (self.identity.pushed.clone(), self.identity.step);
        let before = self.round.first().to_owned();
        if let Some(list) = &job.server_list {
            self.identity.pushed = self.checked(list)?;
        }
        if let Some(step) = job.step {
            let held = step.clamp(*STEPS.start(), *STEPS.end());
            if held != step {
                message = format!("success; the step is {held} s, not {step}");
            }
            self.identity.step = Some(held);
        }
        if (&old_list, old_step) == (&self.identity.pushed, self.identity.step) {
            return Ok(message);
        }
        if let Err(error) = self.identity.save(&self.state) {
            (self.identity.pushed, self.identity.step) = (old_list, old_step);
            return Err(error.to_string());
        }
        if self.identity.pushed != old_list {
            let own = own_servers(&self.config, &self.identity);
            self.round = Round::new(pushed_servers(&self.config, &self.identity), &own);
            log::info!("the server names servers: {}", self.identity.pushed);
        } else {
            self.round.answered(&before);
        }
        Ok(message)
    }

    /// A pushed list of servers in full spelling, if all of them may be talked to.
    fn checked(&self, list: &str) -> Result<String, String> {
        let urls = servers::parse(list, self.config.bootagent.tls)
            .map_err(|entry| format!("\"svrlist\": {entry} is no server, or one too many"))?;
        for url in &urls {
            endpoint::allowed(url.clone(), &self.config)
                .map_err(|error| format!("\"svrlist\": {error}"))?;
        }
        Ok(urls.join(","))
    }

    fn save(&self) -> Result<(), UplinkError> {
        let local = |error: FileError| UplinkError::Local(error.to_string());
        self.identity.save(&self.state).map_err(local)
    }

    /// The address from which this node talks to its server.
    fn address(&self) -> Option<String> {
        let peer = endpoint::peer(self.round.first())?;
        host::address_towards(peer).ok().map(|address| address.to_string())
    }
}

fn own_servers(config: &Config, identity: &BootIdentity) -> Vec<String> {
    match config.bootagent.servers.is_empty() {
        true => servers::parse(&identity.servers, false).unwrap_or_default(),
        false => config.bootagent.servers.clone(),
    }
}

fn pushed_servers(config: &Config, identity: &BootIdentity) -> Vec<String> {
    servers::parse(&identity.pushed, config.bootagent.tls).unwrap_or_default()
}

/// All servers that this device knows, those that a server has named first.
#[cfg(feature = "ssm")]
pub fn servers_of(config: &Config, identity: Option<&BootIdentity>) -> Vec<String> {
    let Some(identity) = identity else { return config.bootagent.servers.clone() };
    let mut servers = pushed_servers(config, identity);
    servers.extend(own_servers(config, identity));
    servers
}

/// Whether the configuration or the registration names a server, so that there is a link to run.
pub fn is_wanted(config: &Config, identity: Option<&BootIdentity>) -> bool {
    !config.bootagent.servers.is_empty()
        || identity.is_some_and(|identity| !identity.servers.is_empty())
}

fn refused(operation: &'static str, code: i64, message: Option<String>) -> UplinkError {
    let message = message.unwrap_or_else(|| "the server doesn't say why".to_owned());
    UplinkError::Refused { operation, code: code.to_string(), message }
}

fn hostname() -> String {
    host::name().unwrap_or_default()
}

fn version() -> String {
    format!("stint-{}-{}", env!("STINT_VERSION"), std::env::consts::ARCH)
}
