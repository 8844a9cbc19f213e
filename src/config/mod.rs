//! The agent's configuration: one JSON file, checked whole before anything starts.
//!
//! Never here: the network, and state that the agent itself writes. Two spellings are read: the
//! agent's own ([`native`]), where every unknown key is an error with its line, and
//! amazon-ssm-agent's ([`original`]), which is as lenient as the original and says once what it
//! didn't honour.

mod error;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod native;
pub mod original;

use crate::board::BOARD;
use crate::remote::Sources;
use crate::spool::Retention;
pub use error::ConfigError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::json;

/// Where the file is when nobody says otherwise.
pub const DEFAULT_PATH: &str = BOARD.config;

/// Where the agent keeps its state when nobody says otherwise.
pub const DEFAULT_STATE: &str = BOARD.state;

/// Where definitions of child agents are when nobody says otherwise.
pub const DEFAULT_CHILDREN: &str = "/etc/stint/children.d";

/// A file larger than this is no configuration, bytes.
const MAX_FILE: u64 = 256 * 1024;

/// What the file says, with defaults for what it doesn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The region, where the registration doesn't name it.
    pub region: Option<String>,
    /// Servers by service.
    pub endpoints: Endpoints,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// A file with the access key for S3, where it isn't the node's own credentials.
    pub s3_credentials_file: Option<PathBuf>,
    /// Whether plain HTTP may leave the machine.
    pub allow_plain_http: bool,
    /// The time between two health reports.
    pub health_interval: Duration,
    /// How many documents run at the same time.
    pub command_workers: usize,
    /// What is logged.
    pub log_level: log::LevelFilter,
    /// Where the log goes.
    #[cfg(feature = "logs")]
    pub logs: Logs,
    /// The folder of registration, spool and outbox.
    pub state_dir: PathBuf,
    /// Where scripts are written before they run; beside their job if there is none.
    pub scripts_dir: Option<PathBuf>,
    /// What is kept of jobs that are over.
    pub retention: Retention,
    /// The command that reboots the device, word by word.
    pub reboot_command: Vec<String>,
    /// The serial consoles for the start-up report, tried in this order.
    pub serial_devices: Vec<PathBuf>,
    /// Their speed, baud; 0: as they are.
    pub serial_baud: u32,
    /// The way out, where the environment doesn't name it.
    #[cfg(feature = "ssm")]
    pub proxy: Option<Proxy>,
    /// What its links may carry.
    #[cfg(feature = "ssm")]
    pub network: Network,
    /// How child agents are looked after.
    pub supervise: Supervise,
    /// Servers of the BootAgent protocol.
    #[cfg(feature = "bootagent")]
    pub bootagent: BootAgent,
    /// Who this node is to Systems Manager.
    #[cfg(feature = "ssm")]
    pub identity: Identity,
    /// Whether commands may come over a websocket that is held open.
    #[cfg(feature = "ssm")]
    pub control_channel: bool,
    /// Documents from the local folder.
    #[cfg(feature = "offline")]
    pub offline: Offline,
    /// How the agent replaces itself.
    #[cfg(feature = "update")]
    pub update: Update,
    /// Shells, commands and ports for operators.
    #[cfg(feature = "session")]
    pub session: Session,
    /// The audit log.
    #[cfg(feature = "audit")]
    pub audit: Audit,
    /// Event scripts.
    #[cfg(feature = "events")]
    pub events: crate::events::Settings,
    /// The daemon's parent.
    #[cfg(feature = "guardian")]
    pub guardian: Guardian,
}

/// Where the log goes: the file's `logs`.
#[cfg(feature = "logs")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// What takes it.
    pub to: LogTo,
    /// The file, for [`LogTo::File`].
    pub file: PathBuf,
    /// It is turned over at this size, bytes.
    pub bytes: u64,
    /// So many of them are kept, with the one that is written to.
    pub files: u64,
    /// The socket of the system's log, for [`LogTo::Syslog`].
    pub socket: PathBuf,
}

/// What takes the log.
#[cfg(feature = "logs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// Standard error.
    Stderr,
    /// The system's log.
    Syslog,
    /// A file.
    File,
}

#[cfg(feature = "logs")]
impl LogTo {
    /// Reads the configuration's word.
    pub fn parse(word: &str) -> Option<LogTo> {
        match word {
            "stderr" => Some(LogTo::Stderr),
            "syslog" => Some(LogTo::Syslog),
            "file" => Some(LogTo::File),
            _ => None,
        }
    }
}

#[cfg(feature = "logs")]
impl Default for Logs {
    fn default() -> Logs {
        Logs {
            to: LogTo::parse(BOARD.log_to).unwrap_or(LogTo::Stderr),
            file: PathBuf::from(BOARD.log_file),
            bytes: 128 * 1024,
            files: 2,
            socket: PathBuf::from("/dev/log"),
        }
    }
}

/// Shells, commands and ports for operators: the file's `session`.
#[cfg(feature = "session")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whether there are any.
    pub enabled: bool,
    /// As whom they run if nobody says; otherwise as the agent itself.
    pub run_as: Option<String>,
    /// So many at a time.
    pub limit: usize,
    /// How large a transcript may become, bytes.
    pub transcript: u64,
}

#[cfg(feature = "session")]
impl Default for Session {
    fn default() -> Session {
        Session { enabled: true, run_as: None, limit: 4, transcript: 1024 * 1024 }
    }
}

/// The audit log: the file's `audit`.
#[cfg(feature = "audit")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Whether there is one.
    pub enabled: bool,
    /// What it may take of the disk, bytes.
    pub bytes: u64,
    /// Whether the hub gets it.
    pub send: bool,
}

#[cfg(feature = "audit")]
impl Default for Audit {
    fn default() -> Audit {
        // Some six hundred records.
        Audit { enabled: true, bytes: 256 * 1024, send: false }
    }
}

/// Documents from the local folder: the file's `offline`.
#[cfg(feature = "offline")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offline {
    /// Whether they are taken.
    pub enabled: bool,
    /// What is kept of them when they are over.
    pub keep: Retention,
}

#[cfg(feature = "offline")]
impl Default for Offline {
    fn default() -> Offline {
        Offline { enabled: true, keep: crate::offline::KEEP }
    }
}

/// How the agent replaces itself: the file's `update`.
#[cfg(feature = "update")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Release keys, besides those that were baked in.
    pub keys: Vec<[u8; 32]>,
    /// The manifest's URL; without one it is with this node's own server.
    pub source: Option<String>,
    /// Whether a version that has become deprecated replaces itself.
    pub automatic: bool,
    /// It looks for that once in so many days.
    pub every: u64,
    /// On these days of the week, from Sunday on.
    pub days: [bool; 7],
    /// From this minute of the day, UTC, to before that one; the second may be the smaller one.
    pub window: (u32, u32),
    /// Minutes from the start of a new version until the server must have heard it.
    pub deadline: u64,
}

#[cfg(feature = "update")]
impl Default for Update {
    fn default() -> Update {
        Update {
            keys: Vec::new(),
            source: Some(BOARD.update_source).filter(|url| !url.is_empty()).map(str::to_owned),
            automatic: false,
            every: 1,
            days: [true; 7],
            window: (0, 0),
            deadline: 10,
        }
    }
}

/// The daemon's parent, and the board's watchdog: the file's `guardian`.
#[cfg(feature = "guardian")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardian {
    /// Whether there is one; if nothing is said, where nobody else starts the agent again.
    pub enabled: Option<bool>,
    /// A daemon that isn't heard for so long is killed and started again.
    pub deadline: Duration,
    /// The board's watchdog, if it is the agent that feeds it.
    pub watchdog: Option<PathBuf>,
    /// After so long without food it resets the board.
    pub watchdog_timeout: Duration,
}

#[cfg(feature = "guardian")]
impl Default for Guardian {
    fn default() -> Guardian {
        Guardian {
            enabled: None,
            // Longer than a slow card takes to write a few blocks.
            deadline: Duration::from_secs(60),
            watchdog: Some(BOARD.watchdog).filter(|path| !path.is_empty()).map(PathBuf::from),
            watchdog_timeout: Duration::from_secs(60),
        }
    }
}

/// Servers of the BootAgent protocol: the file's `bootagent`.
#[cfg(feature = "bootagent")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootAgent {
    /// Their URLs, in the order in which they are tried; empty if there are none.
    pub servers: Vec<String>,
    /// Whether a server that is named without a scheme speaks https.
    pub tls: bool,
    /// The time between two reports until a server says otherwise, seconds.
    pub step: u64,
    /// The key by which the server must sign its answer to the registration.
    pub server_key: Option<[u8; 32]>,
    /// Whether to do what a server says that signs nothing.
    pub accept_unsigned: bool,
}

#[cfg(feature = "bootagent")]
impl Default for BootAgent {
    fn default() -> BootAgent {
        BootAgent {
            servers: Vec::new(),
            tls: false,
            step: stint_wire::bootagent::DEFAULT_STEP,
            server_key: None,
            accept_unsigned: false,
        }
    }
}

/// How child agents are looked after: the file's `supervise`, and its `childrenDir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervise {
    /// Restart soon and never give up, instead of the founding page's rule.
    pub fast: bool,
    /// A child that waits for its next start is looked at so often. The fast profile doesn't wait
    /// for the look.
    pub check: Duration,
    /// The pause between an abnormal end and the next start; the longest one of the fast profile.
    pub cooldown: Duration,
    /// A child that has run for so long is well again.
    pub window: Duration,
    /// After more abnormal ends than this in a row, each within the window, a child is given up.
    pub retries: u32,
    /// The name of the control group that holds the children's groups.
    pub cgroup: String,
    /// A child's log is turned over when it has become this large, bytes; one older is kept.
    pub log_bytes: u64,
    /// A package larger than this isn't fetched, bytes.
    pub max_package: u64,
    /// From where packages may come. By FTP nothing protects them but their checksum.
    pub sources: Sources,
    /// Where the operator and packages put definitions of children.
    pub definitions: PathBuf,
}

impl Default for Supervise {
    fn default() -> Supervise {
        Supervise {
            fast: false,
            // These four are the founding page's.
            check: Duration::from_secs(60),
            cooldown: Duration::from_secs(180),
            window: Duration::from_secs(900),
            retries: 3,
            cgroup: "stint".to_owned(),
            log_bytes: 64 * 1024,
            max_package: 64 * 1024 * 1024,
            sources: Sources::default(),
            definitions: PathBuf::from(DEFAULT_CHILDREN),
        }
    }
}

/// Who this node is to Systems Manager: the file's `identity`.
#[cfg(feature = "ssm")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node changes its key when that is so old, days; none: only when the server wishes it.
    pub key_max_age_days: Option<u32>,
    /// From where the node has its identity; the first that has one counts.
    pub sources: Vec<Source>,
    /// The instance metadata service, if it isn't where it always is.
    pub metadata_endpoint: Option<String>,
}

/// From where a node can have its identity, by the original's names.
#[cfg(feature = "ssm")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A registration with an activation.
    OnPrem,
    /// The metadata service of an EC2 instance.
    Ec2,
}

#[cfg(feature = "ssm")]
impl Source {
    /// Reads the original's name.
    pub fn parse(name: &str) -> Option<Source> {
        match name {
            "OnPrem" => Some(Source::OnPrem),
            "EC2" => Some(Source::Ec2),
            _ => None,
        }
    }
}

#[cfg(feature = "ssm")]
impl Default for Identity {
    fn default() -> Identity {
        let sources = vec![Source::OnPrem, Source::Ec2];
        Identity { key_max_age_days: None, sources, metadata_endpoint: None }
    }
}

#[cfg(feature = "ssm")]
impl Identity {
    /// Whether this device is to be asked whether it is an EC2 instance, `registered` or not.
    pub fn wants_instance(&self, registered: bool) -> bool {
        let first = self.sources.iter().find(|source| registered || **source == Source::Ec2);
        first == Some(&Source::Ec2)
    }

    /// Whether its registration counts at all.
    pub fn wants_registration(&self) -> bool {
        self.sources.contains(&Source::OnPrem)
    }
}

/// An HTTP proxy: the file's `proxy`.
#[cfg(feature = "ssm")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its URL, with user and password where it wants them, percent-encoded.
    pub url: String,
    /// Hosts that are reached without it: names, or `*.` and a domain.
    pub no_proxy: Vec<String>,
}

/// What its links may carry: the file's `network`.
#[cfg(feature = "ssm")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Bytes in a day; 0: as many as they like.
    pub bytes_per_day: u64,
}

#[cfg(feature = "ssm")]
impl Default for Network {
    fn default() -> Network {
        Network { bytes_per_day: BOARD.bytes_per_day }
    }
}

/// URLs of servers, without a trailing slash. A service without one of its own uses `all`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// For every service that has none of its own.
    pub all: Option<String>,
    /// Others that know the node as well, for when `all` can't be reached.
    pub more: Vec<String>,
    /// `ssm`: registration, credentials, health.
    pub ssm: Option<String>,
    /// `ec2messages`: commands by polling.
    pub ec2messages: Option<String>,
    /// `ssmmessages`: commands and sessions by websocket.
    pub ssmmessages: Option<String>,
    /// An S3-compatible server that holds all buckets. Never `all`: that one has none.
    pub s3: Option<String>,
    /// CloudWatch Logs. Never `all`: that one has none.
    pub logs: Option<String>,
    /// GitHub's interface, with its path; `aws:downloadContent` asks it.
    pub github: Option<String>,
}

impl Config {
    /// Where the daemon of a state folder shows how it is: on the board's tmpfs if there is one.
    pub fn status_dir(&self, state: &Path) -> PathBuf {
        self.scripts_dir.clone().unwrap_or_else(|| state.join("run"))
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            region: None,
            endpoints: Endpoints::default(),
            ca_file: None,
            s3_credentials_file: None,
            allow_plain_http: false,
            health_interval: Duration::from_secs(BOARD.health_minutes * 60),
            // The original runs 5 at a time; a small board is full with fewer.
            command_workers: 3,
            log_level: log::LevelFilter::Info,
            state_dir: PathBuf::from(DEFAULT_STATE),
            scripts_dir: Some(BOARD.scripts).filter(|path| !path.is_empty()).map(PathBuf::from),
            retention: Retention::default(),
            // Every init system has one of that name.
            #[cfg(feature = "logs")]
            logs: Logs::default(),
            reboot_command: vec!["reboot".to_owned()],
            serial_devices: BOARD.devices.iter().map(PathBuf::from).collect(),
            serial_baud: BOARD.baud,
            #[cfg(feature = "ssm")]
            proxy: None,
            #[cfg(feature = "ssm")]
            network: Network::default(),
            supervise: Supervise::default(),
            #[cfg(feature = "bootagent")]
            bootagent: BootAgent::default(),
            #[cfg(feature = "ssm")]
            identity: Identity::default(),
            #[cfg(feature = "ssm")]
            control_channel: true,
            #[cfg(feature = "offline")]
            offline: Offline::default(),
            #[cfg(feature = "update")]
            update: Update::default(),
            #[cfg(feature = "session")]
            session: Session::default(),
            #[cfg(feature = "audit")]
            audit: Audit::default(),
            #[cfg(feature = "events")]
            events: crate::events::Settings::default(),
            #[cfg(feature = "guardian")]
            guardian: Guardian::default(),
        }
    }
}

/// A configuration and what is to be said about it once.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What the agent goes by.
    pub config: Config,
    /// Keys of amazon-ssm-agent.json that are set and not honoured, each with the reason.
    pub not_honoured: Vec<String>,
    /// The file, if there was one.
    pub path: Option<PathBuf>,
}

/// Reads the file at `named`, or the first of `usual` that exists, or takes the defaults.
///
/// # Errors
/// A file named by the user must exist; every file that exists must be valid.
pub fn load(named: Option<&Path>, usual: &[&str]) -> Result<Loaded, ConfigError> {
    let path = match named {
        Some(path) => path,
        None => match usual.iter().map(Path::new).find(|path| path.exists()) {
            Some(path) => path,
            None => return Ok(Loaded::default()),
        },
    };
    let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE {
        return Err(unreadable(io::Error::other("it is larger than 256 KiB")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(Loaded { path: Some(path.to_owned()), ..parse(path, &text)? })
}

/// What can be understood of a file that [`load`] refuses: where the state is, and how the daemon is guarded. It
/// may have been written for a newer version, and that one is found by these.
#[cfg(any(feature = "guardian", feature = "update"))]
pub fn essentials(named: Option<&Path>, usual: &[&str]) -> Config {
    use std::io::Read;
    let path = named.or_else(|| usual.iter().map(Path::new).find(|path| path.exists()));
    let mut text = String::new();
    let file = path.and_then(|path| fs::File::open(path).ok());
    let _ = file.map(|file| file.take(MAX_FILE).read_to_string(&mut text));
    json::parse(&text).map_or_else(|_| Config::default(), |root| native::read_essentials(&root))
}

fn parse(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    let root =
        json::parse(text).map_err(|cause| ConfigError::Syntax { path: path.to_owned(), cause })?;
    if original::is_original(&root) {
        return Ok(original::read(&root));
    }
    native::read(path, &root).map(|config| Loaded { config, ..Loaded::default() })
}

/// Cuts what a URL must not end with, and checks that it is one.
fn clean_url(text: &str) -> Option<String> {
    clean_base(text)
        .filter(|url| url.split_once("://").is_some_and(|(_, rest)| !rest.contains('/')))
}

/// The same for one that may have a path.
fn clean_base(text: &str) -> Option<String> {
    let url = text.trim_end_matches('/');
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = rest.split('/').next().unwrap_or_default();
    (!host.is_empty() && !rest.contains(['?', '#', '@', ' '])).then(|| url.to_owned())
}
