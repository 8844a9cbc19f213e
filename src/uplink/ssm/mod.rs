//! AWS Systems Manager: the `ssm` and `ec2messages` services, as amazon-ssm-agent uses them
//! (`docs/PROTOCOL.md`).

#[cfg(feature = "audit")]
mod audit;
mod call;
mod channel;
mod control;
mod credentials;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod instance;
mod messages;
pub mod register;
mod reidentify;
mod replies;
mod rotation;
#[cfg(feature = "documents")]
mod store;
#[cfg(feature = "session")]
mod transcript;

use super::clock::Clock;
use super::endpoint::{self, Service, UrlRefused};
use super::http::Http;
use super::tls::CaError;
use super::ways::Ways;
use super::{Delivery, Uplink, UplinkError, reply};
use crate::config::{Config, Endpoints};
use crate::identity::Registration;
use crate::identity::hardware::Hardware;
use crate::spool::Report;
use crate::sys::{host, random};
pub use call::verdict;
use control::Control;
use credentials::Keeper;
use instance::Instance;
use replies::{Part, Told};
use rotation::Rotation;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stint_wire::ssm::{Inventory, NodeReport, Reidentify};
use stint_wire::{ec2messages, ids};
#[cfg(feature = "documents")]
pub use store::trouble;

/// The time limit of every call but the long poll.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The slowest line that is borne with, bytes a second; the hub reckons with the same.
const SLOW_LINE: u64 = 2_000;

/// How much longer something so long may take.
fn way(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64 / SLOW_LINE)
}

/// Servers hold a poll for up to 20 s; an answer that takes longer comes over a dead link.
const POLL_TIMEOUT: Duration = Duration::from_secs(25);

/// The operation that tells how far a job has come.
const SEND_REPLY: &str = "SendReply";

/// The only agent name that AWS takes.
const NAME_FOR_AWS: &str = "amazon-ssm-agent";

/// The uplink to Systems Manager of one registered node.
pub struct Ssm {
    /// Who this node is. Replaced as a whole when it changes its key.
    node: Mutex<Arc<Registration>>,
    /// Where the registration is kept.
    state: PathBuf,
    region: String,
    ca_file: Option<PathBuf>,
    /// Who gives the credentials, if this is an instance and not a registered device.
    instance: Option<Instance>,
    rotation: Rotation,
    /// The mark of this run; none for AWS, which doesn't know what to do with it.
    run: Option<String>,
    /// What a hub has told this node to become.
    order: Mutex<Option<Reidentify>>,
    http: Http,
    clock: Clock,
    keeper: Keeper,
    ssm: String,
    ec2messages: String,
    ssmmessages: String,
    /// The servers of the services that have none of their own.
    ways: Mutex<Ways>,
    agent_name: &'static str,
    control: Control,
    told: Told,
}

/// Why the uplink can't be set up.
#[derive(Debug)]
pub enum SetupError {
    /// The certificate authorities.
    Ca(CaError),
    /// The server's URL.
    Url(UrlRefused),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Ca(cause) => write!(f, "{cause}"),
            SetupError::Url(cause) => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for SetupError {}

impl Ssm {
    /// Sets the uplink up of the registration that was read in the folder `state`; nothing is sent
    /// yet.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(
        config: &Config,
        state: &Path,
        registration: Registration,
    ) -> Result<Ssm, SetupError> {
        let ca_file = config.ca_file.as_deref().or(registration.ca_file.as_deref());
        let registered = registration.endpoint.as_deref();
        let resolve = |service| {
            endpoint::resolve(service, &registration.region, config, registered)
                .map_err(SetupError::Url)
        };
        let (ssm, ec2messages) = (resolve(Service::Ssm)?, resolve(Service::Ec2Messages)?);
        let ssmmessages = resolve(Service::SsmMessages)?;
        let is_aws = endpoint::is_at_aws(&ssm);
        let Endpoints { all, more, .. } = &config.endpoints;
        let first = all.as_ref().unwrap_or(&ssm).trim_end_matches('/');
        let mut servers = vec![first.to_owned()];
        for url in more {
            servers.push(endpoint::allowed(url.clone(), config).map_err(SetupError::Url)?);
        }
        let mut reached: Vec<&str> = servers.iter().map(String::as_str).collect();
        reached.extend([ssm.as_str(), ec2messages.as_str(), ssmmessages.as_str()]);
        Ok(Ssm {
            http: Http::new(ca_file, &reached).map_err(SetupError::Ca)?,
            agent_name: if is_aws { NAME_FOR_AWS } else { "stint" },
            clock: Clock::default(),
            keeper: Keeper::default(),
            run: if is_aws { None } else { random::uuid().ok() },
            order: Mutex::default(),
            instance: None,
            rotation: Rotation::new(config.identity.key_max_age_days),
            region: registration.region.clone(),
            ca_file: registration.ca_file.clone(),
            node: Mutex::new(Arc::new(registration)),
            state: state.to_owned(),
            ways: Mutex::new(Ways::new(servers)),
            ssm,
            ec2messages,
            ssmmessages,
            control: Control::new(config.control_channel),
            told: Told::default(),
        })
    }

    /// The uplink of this instance.
    ///
    /// # Errors
    /// The metadata service doesn't answer, or see [`SetupError`].
    pub fn of_instance(
        config: &Config,
        state: &Path,
        instance: Instance,
    ) -> Result<Ssm, UplinkError> {
        let identity = instance.identify()?;
        let uplink = Ssm::new(config, state, identity);
        let uplink = uplink.map_err(|error| UplinkError::Local(error.to_string()))?;
        Ok(Ssm { instance: Some(instance), ..uplink })
    }

    /// The id of this node.
    pub fn node_id(&self) -> String {
        self.node().instance_id.clone()
    }

    /// By which service commands come at this moment.
    fn channel(&self) -> &'static str {
        if self.control.is_up() { stint_wire::mgs::SERVICE } else { ec2messages::SERVICE }
    }

    fn endpoint(&self, service: Service) -> &str {
        match service {
            Service::Ssm => &self.ssm,
            Service::Ec2Messages => &self.ec2messages,
            Service::SsmMessages => &self.ssmmessages,
            #[cfg(any(feature = "audit", feature = "session"))]
            Service::Hub => &self.ssm,
        }
    }

    /// The server that a call goes to now.
    fn way(&self, service: Service) -> String {
        let own = self.endpoint(service);
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if ways.first() == own { ways.pick(Instant::now()) } else { own.to_owned() }
    }

    /// What came of a request to that server: its status, or 0 if it couldn't be reached.
    fn came(&self, server: &str, status: u16) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            0 => ways.failed(server, Instant::now()),
            _ => ways.answered(server, status, Instant::now()),
        }
    }

    /// A channel at that server has lived, or died young, or couldn't be opened.
    fn channel_was(&self, server: &str, lived: bool) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.channel(server, lived, Instant::now());
    }

    /// Parts this node from the server, where the server lets it.
    ///
    /// # Errors
    /// See [`UplinkError`].
    pub fn deregister(&self) -> Result<(), UplinkError> {
        let body = stint_wire::ssm::deregister(&self.node().instance_id);
        self.by_any(&mut || {
            self.call(Service::Ssm, "DeregisterManagedInstance", &body, CALL_TIMEOUT).map(drop)
        })
    }

    /// All that it goes to, each once.
    pub fn urls(&self) -> Vec<String> {
        let mut urls = vec![self.ssm.clone()];
        let others = [&self.ec2messages, &self.ssmmessages].into_iter().cloned();
        for url in self.servers().into_iter().chain(others) {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    /// Whether that is the place of channels and of nothing else.
    pub fn is_for_channels(&self, url: &str) -> bool {
        url == self.ssmmessages && url != self.ssm && url != self.ec2messages
    }

    /// The servers that give credentials. One of them is enough.
    pub fn servers(&self) -> Vec<String> {
        let ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if ways.first() == self.ssm { ways.all().to_vec() } else { vec![self.ssm.clone()] }
    }

    /// By what it goes there.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Whether a server gives this node credentials.
    ///
    /// # Errors
    /// See [`UplinkError`].
    pub fn try_credentials(&self) -> Result<(), UplinkError> {
        self.by_any(&mut || self.credentials().map(drop))
    }

    /// Calls until a server is reached, each once. It is for what nobody repeats a little later.
    fn by_any(&self, call: &mut dyn FnMut() -> Result<(), UplinkError>) -> Result<(), UplinkError> {
        for _ in 1..self.servers().len() {
            match call() {
                Err(UplinkError::Unreachable { .. }) => {}
                other => return other,
            }
        }
        call()
    }

    /// Who this node is at this moment.
    fn node(&self) -> Arc<Registration> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it is this.
    fn become_node(&self, registration: Registration) {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        let is_another = node.instance_id != registration.instance_id;
        *node = Arc::new(registration);
        drop(node);
        if is_another {
            self.control.quit();
        }
    }

    fn report_of_this_node(&self) -> NodeReport {
        let platform = host::Platform::read();
        let address = self.http.own_address();
        NodeReport {
            instance_id: self.node().instance_id.clone(),
            agent_name: self.agent_name.to_owned(),
            agent_version: env!("STINT_VERSION").to_owned(),
            computer_name: host::name(),
            ip_address: address.map(|address| address.to_string()),
            platform_name: platform.name,
            platform_version: platform.version,
            connection_channel: Some(self.channel().to_owned()),
            hardware: self.run.as_ref().map(|_| Hardware::read().digest()),
            run: self.run.clone(),
        }
    }

    /// Refuses what was meant for the node that this device has been. A server would take it for
    /// an attempt to act as another, and everything else would wait behind it.
    fn own(&self, operation: &'static str, receipt: &str) -> Result<(), UplinkError> {
        let named = receipt.rsplit('.').next().unwrap_or_default();
        if !ids::is_managed_node_id(named) || named == self.node().instance_id {
            return Ok(());
        }
        let code = "InvalidReceipt".to_owned();
        let message = format!("it is for {named}, which this device is no more");
        Err(UplinkError::Refused { operation, code, message })
    }

    /// Asks the message delivery service, which waits for up to 20 s.
    fn poll_messages(&self) -> Result<Vec<Delivery>, UplinkError> {
        let operation = "GetMessages";
        let polled = self.node();
        let node = &polled.instance_id;
        let body = ec2messages::get_messages(node, &self.request_id()?);
        let answer = self.call(Service::Ec2Messages, operation, &body, POLL_TIMEOUT)?;
        let arrived = messages::list(&answer)
            .ok_or(UplinkError::BadAnswer { operation, what: "it is no list of messages" })?;
        if self.node().instance_id != *node {
            // It has become another while it waited. The server offers them again, to whoever is
            // that node now.
            return Ok(Vec::new());
        }
        let mut deliveries = Vec::new();
        for message in arrived {
            let delivery = messages::read(&message, node, &self.region);
            if let Delivery::Unknown { .. } = delivery {
                let body = ec2messages::fail_message(&message.message_id);
                self.call(Service::Ec2Messages, "FailMessage", &body, CALL_TIMEOUT)?;
            }
            deliveries.push(delivery);
        }
        Ok(deliveries)
    }

    fn send_reply(&self, receipt: &str, part: &Part<'_>) -> Result<(), UplinkError> {
        let Part { id, status, trace, steps, .. } = part;
        let payload = reply::text(status, trace, steps, self.agent_name, self.clock.now());
        if let Some(told) = self.reply_on_channel(receipt, *id, &payload) {
            return told;
        }
        let message = control::job_of(receipt);
        let body = ec2messages::send_reply(message, &payload, &ids::uuid(*id));
        match self.call(Service::Ec2Messages, SEND_REPLY, &body, CALL_TIMEOUT + way(body.len())) {
            // It came by the channel. That this way doesn't know it is no reason to give it up.
            Err(UplinkError::Refused { operation, code, .. }) if message != receipt => {
                Err(UplinkError::Trouble { operation, status: 400, code })
            }
            other => other.map(drop),
        }
    }

    fn request_id(&self) -> Result<String, UplinkError> {
        random::uuid().map_err(|error| UplinkError::Local(error.to_string()))
    }
}

impl Uplink for Ssm {
    fn name(&self) -> &'static str {
        ec2messages::SERVICE
    }

    fn node_id(&self) -> String {
        Ssm::node_id(self)
    }

    fn server(&self) -> String {
        let own = self.endpoint(Service::Ec2Messages);
        let ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if ways.first() == own { ways.current().to_owned() } else { own.to_owned() }
    }

    fn ping(&self) -> Result<(), UplinkError> {
        // They are needed anyway; and who has connected knows its address.
        self.credentials()?;
        let body = self.report_of_this_node().to_json();
        let answer = self.call(Service::Ssm, "UpdateInstanceInformation", &body, CALL_TIMEOUT)?;
        self.hear(answer);
        self.renew_key();
        Ok(())
    }

    fn at_rest(&self) -> Result<(), UplinkError> {
        self.reidentify()
    }

    fn poll(&self) -> Result<Vec<Delivery>, UplinkError> {
        self.listen().unwrap_or_else(|| self.poll_messages())
    }

    fn pushes(&self) -> bool {
        self.control.is_up()
    }

    fn acknowledge(&self, receipt: &str) -> Result<(), UplinkError> {
        let operation = "AcknowledgeMessage";
        self.own(operation, receipt)?;
        if self.acknowledge_on_channel(receipt).is_some() {
            return Ok(());
        }
        let body = ec2messages::acknowledge(receipt);
        self.call(Service::Ec2Messages, operation, &body, CALL_TIMEOUT).map(drop)
    }

    #[cfg(feature = "audit")]
    fn put_audit(&self, lines: &[String]) -> Result<(), UplinkError> {
        self.send_audit(lines)
    }

    fn receipt(&self, job: &str) -> String {
        ids::message_id(job, &self.node().instance_id)
    }

    fn put_inventory(&self, item: &Inventory) -> Result<(), UplinkError> {
        let body = item.to_json(&self.node().instance_id, self.clock.now());
        self.call(Service::Ssm, "PutInventory", &body, CALL_TIMEOUT).map(drop)
    }

    fn report(&self, report: &Report) -> Result<(), UplinkError> {
        self.own(SEND_REPLY, &report.receipt)?;
        for part in self.told.rest(report) {
            self.send_reply(&report.receipt, &part)?;
            self.told.add(report, &part);
        }
        Ok(())
    }

    #[cfg(feature = "session")]
    fn session_is_over(
        &self,
        session: &str,
        status: &str,
        output: &str,
    ) -> Result<(), UplinkError> {
        self.tell_end_of_session(session, status, output)
    }
}
