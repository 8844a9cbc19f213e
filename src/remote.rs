//! What a worker process may want from the network, in terms that name neither a server nor a
//! library: those who ask don't know who gets it, and those who get it don't know what it is for.

use crate::patience::Stop;
use crate::sys::FileError;
use std::fmt;
use std::path::{Path, PathBuf};

/// The largest file, bytes: a gateway's firmware is smaller, and a server that sends without end
/// must not fill a disk.
const MAX_FILE: u64 = 1024 * 1024 * 1024;

/// Something to be had by HTTP.
pub struct Page<'a> {
    /// `https://…` or `http://…`, without user and password.
    pub url: &'a str,
    /// The `Authorization` header. Sent to the host of `url` only, never to where that redirects.
    pub authorization: Option<&'a str>,
    /// The `Accept` header.
    pub accept: Option<&'a str>,
    /// Whether plain HTTP is fine.
    pub plain: bool,
}

/// From where a file of a server's choice may come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Whether `ftp://` will do.
    pub ftp: bool,
    /// Whether `http://` will do beyond this machine.
    pub plain_http: bool,
    /// PEM file of the certificate authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The folder below which `file://` will do.
    pub folder: Option<PathBuf>,
    /// The agent's configuration, which knows a proxy and the day's budget.
    #[cfg(feature = "ssm")]
    pub config: Option<PathBuf>,
}

/// Where a file goes.
pub struct Place<'a> {
    /// Its path. Folders on the way there must exist.
    pub path: &'a Path,
    /// The SHA-256 that it must have, lower-case hexadecimal.
    pub sha256: Option<&'a str>,
    /// The most that is taken, bytes.
    pub limit: u64,
    /// What is fetched, in words that are the same for the same file: then what has come before a
    /// connection broke, or the process died, is kept for the next try. `None`: it is not.
    pub resume: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// A place for a file of any size that is sensible, of which nothing is kept if it fails.
    pub fn new(path: &'a Path, sha256: Option<&'a str>) -> Place<'a> {
        Place { path, sha256, limit: MAX_FILE, resume: None }
    }
}

/// Why something can't be had. The texts hold no query strings and no passwords.
#[derive(Debug)]
pub enum RemoteError {
    /// There is nobody to ask: no registration, a broken configuration, a build without uplink.
    NoServer(String),
    /// What is asked for makes no sense here; the text says what would.
    Unusable(String),
    /// No answer, or one that broke off too often.
    Unreachable {
        /// Whom we asked, and for what.
        place: String,
        /// What happened.
        cause: String,
    },
    /// The other side said no.
    Refused {
        /// Whom we asked, and for what.
        place: String,
        /// Its words, or the HTTP status.
        answer: String,
    },
    /// The file's SHA-256 isn't the one it must have.
    Checksum {
        /// What was fetched.
        place: String,
        /// What it has.
        found: String,
    },
    /// More than the agent takes.
    TooLarge {
        /// What was fetched.
        place: String,
        /// The most it takes, bytes.
        limit: u64,
    },
    /// There is no room for it here.
    NoRoom {
        /// What was to be fetched.
        place: String,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The link may carry so many bytes a day, and too few of them are left.
    #[cfg(feature = "ssm")]
    Budget {
        /// Bytes in a day.
        limit: u64,
        /// Bytes that are left.
        left: u64,
    },
    /// The file can't be written here.
    File(FileError),
    /// The wait is over.
    Stopped(Stop),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::NoServer(cause) => write!(f, "there is no server to ask: {cause}"),
            RemoteError::Unusable(what) => f.write_str(what),
            RemoteError::Unreachable { place, cause } => write!(f, "can't get {place}: {cause}"),
            RemoteError::Refused { place, answer } => write!(f, "{place} was refused: {answer}"),
            RemoteError::Checksum { place, found } => write!(
                f,
                "{place} has not the checksum it should have: its SHA-256 is {found}; nothing was \
                 kept"
            ),
            RemoteError::TooLarge { place, limit } => write!(
                f,
                "{place} is larger than the {} MiB that this agent downloads",
                limit / (1024 * 1024)
            ),
            RemoteError::NoRoom { place, needed, free } => write!(
                f,
                "{place} needs {} KiB and the disk has {} KiB free",
                needed.div_ceil(1024),
                free / 1024
            ),
            #[cfg(feature = "ssm")]
            RemoteError::Budget { limit, left } => write!(
                f,
                "{} of the {} kB that may pass in a day are left (network.bytesPerDay), and they are \
                 kept for commands; tomorrow there are more",
                left / 1000,
                limit / 1000
            ),
            RemoteError::File(cause) => write!(f, "{cause}"),
            RemoteError::Stopped(Stop::Cancelled) => f.write_str("the step was cancelled"),
            RemoteError::Stopped(Stop::TimedOut) => f.write_str("the step's time is over"),
        }
    }
}

impl std::error::Error for RemoteError {}

impl From<FileError> for RemoteError {
    fn from(cause: FileError) -> RemoteError {
        RemoteError::File(cause)
    }
}
