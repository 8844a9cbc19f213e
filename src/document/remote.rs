//! What a step may want from the network, as an interface: the plugins know neither a server nor
//! HTTP, and a document that needs no network sets nothing up.

use super::exec::Signals;
use crate::sys::FileError;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Names of parameters that one call may ask for: the limit of GetParameters.
pub const PARAMETERS_PER_CALL: usize = 10;

/// What a step may want from the network. Each method is blocking and repeats what is worth
/// repeating by itself.
pub trait Remote {
    /// Values from Parameter Store, of at most [`PARAMETERS_PER_CALL`] names, each of which may
    /// end in `:version` or `:label`. Names that the server doesn't know, or doesn't let this
    /// node read, are missing from the answer.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn parameters(
        &self,
        names: &[&str],
        decrypt: bool,
        patience: &Patience,
    ) -> Result<Vec<Parameter>, RemoteError>;

    /// The text of a document by its name or ARN, in the version given, or in the default one.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn document(
        &self,
        name: &str,
        version: Option<&str>,
        patience: &Patience,
    ) -> Result<String, RemoteError>;

    /// Gets a file by HTTP into its place: whole, with the mode 0700, or not at all. A broken
    /// connection is taken up where it broke, if the server can.
    ///
    /// # Errors
    /// See [`RemoteError`]. Nothing is left behind then.
    fn fetch(
        &self,
        page: &Page<'_>,
        place: &Place<'_>,
        patience: &Patience,
    ) -> Result<(), RemoteError>;

    /// Gets a short text by HTTP, such as an interface's answer; at most 1 MiB.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn read(&self, page: &Page<'_>, patience: &Patience) -> Result<String, RemoteError>;

    /// What an S3 URL names, in any of its spellings.
    ///
    /// # Errors
    /// [`RemoteError::Unusable`]: it is none of the known ones.
    fn s3_object(&self, url: &str) -> Result<S3Object, RemoteError>;

    /// The keys in the object's bucket that begin with its key, sorted.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn s3_list(&self, prefix: &S3Object, patience: &Patience) -> Result<Vec<String>, RemoteError>;

    /// Gets an S3 object into its place, as [`Remote::fetch`].
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn s3_get(
        &self,
        object: &S3Object,
        place: &Place<'_>,
        patience: &Patience,
    ) -> Result<(), RemoteError>;

    /// Puts a file into S3, as plain text that the bucket's owner may read. It is sent from disk.
    ///
    /// # Errors
    /// See [`RemoteError`].
    fn s3_put(
        &self,
        object: &S3Object,
        file: &Path,
        patience: &Patience,
    ) -> Result<(), RemoteError>;

    /// Adds a file's text to a stream of CloudWatch Logs; group and stream are made if need be.
    ///
    /// # Errors
    /// See [`RemoteError`]; [`RemoteError::Unusable`] where no logs server is configured.
    fn log(&self, stream: &LogStream, file: &Path, patience: &Patience) -> Result<(), RemoteError>;

    /// Where GitHub's interface is, without a trailing slash.
    ///
    /// # Errors
    /// The configuration can't be read.
    fn github(&self) -> Result<String, RemoteError>;
}

/// A value of Parameter Store.
#[derive(Clone)]
pub struct Parameter {
    /// Its name, without version or label.
    pub name: String,
    /// The version it has.
    pub version: u64,
    /// What stood after the name when it was asked for: `:3`, `:label`, or nothing.
    pub selector: String,
    /// `String`, `StringList` or `SecureString`.
    pub kind: String,
    /// The value; that of a SecureString may be a secret.
    pub value: Zeroizing<String>,
}

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

/// Where a file goes.
pub struct Place<'a> {
    /// Its path. Folders on the way there must exist.
    pub path: &'a Path,
    /// The SHA-256 that it must have, lower-case hexadecimal.
    pub sha256: Option<&'a str>,
}

/// An object in S3, or the beginning of some objects' keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Object {
    /// The bucket's name.
    pub bucket: String,
    /// The key, not encoded.
    pub key: String,
    /// The bucket's region; this node's, if nobody says otherwise.
    pub region: Option<String>,
}

/// A stream of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStream {
    /// The group it is in.
    pub group: String,
    /// Its name there.
    pub name: String,
}

/// How long somebody will wait: until a time, or until the operator cancels.
#[derive(Clone)]
pub struct Patience {
    signals: Option<Signals>,
    deadline: Instant,
}

/// Why the wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The operator wants it so.
    Cancelled,
    /// The step's time is over.
    TimedOut,
}

impl Patience {
    /// From now on, at most `limit`.
    pub fn new(signals: &Signals, limit: Duration) -> Patience {
        Patience { signals: Some(signals.clone()), deadline: Instant::now() + limit }
    }

    /// The same, whatever the operator wants meanwhile: for what is owed of a cancelled step, too.
    pub fn of_time(limit: Duration) -> Patience {
        Patience { signals: None, deadline: Instant::now() + limit }
    }

    /// Whether it is over, and why.
    pub fn over(&self) -> Option<Stop> {
        if self.signals.as_ref().is_some_and(Signals::is_cancelled) {
            Some(Stop::Cancelled)
        } else if self.left().is_zero() {
            Some(Stop::TimedOut)
        } else {
            None
        }
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
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

/// For a build without an uplink: nothing can be had, and each method says so.
#[cfg(any(test, not(uplink)))]
pub struct Nowhere;

#[cfg(any(test, not(uplink)))]
impl Nowhere {
    fn reason<T>() -> Result<T, RemoteError> {
        let cause = "this stint was built without an uplink (feature ssm)";
        Err(RemoteError::NoServer(cause.to_owned()))
    }
}

#[cfg(any(test, not(uplink)))]
impl Remote for Nowhere {
    fn parameters(&self, _: &[&str], _: bool, _: &Patience) -> Result<Vec<Parameter>, RemoteError> {
        Nowhere::reason()
    }

    fn document(&self, _: &str, _: Option<&str>, _: &Patience) -> Result<String, RemoteError> {
        Nowhere::reason()
    }

    fn fetch(&self, _: &Page<'_>, _: &Place<'_>, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn read(&self, _: &Page<'_>, _: &Patience) -> Result<String, RemoteError> {
        Nowhere::reason()
    }

    fn s3_object(&self, _: &str) -> Result<S3Object, RemoteError> {
        Nowhere::reason()
    }

    fn s3_list(&self, _: &S3Object, _: &Patience) -> Result<Vec<String>, RemoteError> {
        Nowhere::reason()
    }

    fn s3_get(&self, _: &S3Object, _: &Place<'_>, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn s3_put(&self, _: &S3Object, _: &Path, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn log(&self, _: &LogStream, _: &Path, _: &Patience) -> Result<(), RemoteError> {
        Nowhere::reason()
    }

    fn github(&self) -> Result<String, RemoteError> {
        Nowhere::reason()
    }
}
