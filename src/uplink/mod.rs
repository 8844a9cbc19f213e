//! The ways to a server. An uplink is the only thing that knows a server's protocol; the rest of
//! the agent sees jobs and reports.
//!
//! Never here: running anything, and files. Uplinks are plain blocking code without an
//! executor's knowledge; the loop calls them through [`crate::lane::Lane`].

#[cfg(feature = "bootagent")]
pub mod bootagent;
#[cfg(feature = "ssm")]
pub mod budget;
#[cfg(fetching)]
mod client;
#[cfg(uplink)]
pub mod clock;
#[cfg(fetching)]
mod download;
#[cfg(uplink)]
pub mod endpoint;
#[cfg(fetching)]
mod fetch;
#[cfg(all(uplink, feature = "supervise"))]
mod ftp;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(feature = "ssm")]
pub mod http;
#[cfg(all(uplink, not(feature = "ssm")))]
#[path = "lean_http.rs"]
pub mod http;
#[cfg(all(feature = "ssm", feature = "documents"))]
mod logs;
#[cfg(all(uplink, feature = "supervise"))]
pub mod package;
#[cfg(fetching)]
mod page;
#[cfg(all(uplink, feature = "update"))]
pub mod release;
#[cfg(all(feature = "ssm", feature = "documents"))]
pub mod remote;
#[cfg(any(feature = "ssm", feature = "offline"))]
pub mod reply;
#[cfg(feature = "ssm")]
mod resolver;
#[cfg(all(feature = "ssm", feature = "documents"))]
mod s3;
#[cfg(all(feature = "ssm", feature = "documents"))]
mod s3_sign;
#[cfg(all(feature = "ssm", feature = "documents"))]
mod s3_text;
#[cfg(feature = "ssm")]
pub mod socket;
#[cfg(uplink)]
mod source;
#[cfg(feature = "ssm")]
pub mod ssm;
#[cfg(all(uplink, feature = "tls"))]
pub mod tls;
#[cfg(all(uplink, not(feature = "tls")))]
#[path = "no_tls.rs"]
pub mod tls;
#[cfg(feature = "ssm")]
mod ways;
#[cfg(feature = "ssm")]
pub mod websocket;

use crate::spool::{Job, Report};
use std::fmt;
#[cfg(uplink)]
use std::path::Path;
use stint_wire::ssm::Inventory;

/// Takes up what is the same for all links of this process: the time, as far as the agents of this
/// state folder know it, the day's budget, and the proxy. The daemon alone (`keeps`) writes down what it learns of
/// the time, and says what the budget is.
///
/// # Errors
/// The proxy's URL makes no sense.
#[cfg(uplink)]
pub fn prepare(config: &crate::config::Config, state: &Path, keeps: bool) -> Result<(), String> {
    #[cfg(feature = "ssm")]
    budget::begin(state, config.network.bytes_per_day, keeps);
    find_way(config, state, keeps)
}

/// The same without the day's budget. Unless it `keeps`, nothing that is sent then changes a file.
///
/// # Errors
/// The proxy's URL makes no sense.
#[cfg(uplink)]
pub fn find_way(config: &crate::config::Config, state: &Path, keeps: bool) -> Result<(), String> {
    clock::remember(state, keeps);
    #[cfg(feature = "ssm")]
    if let Some(proxy) = &config.proxy {
        http::go_by(proxy)?;
    }
    let _ = config;
    Ok(())
}

/// What every server can do for a node. Registering isn't part of it, because it happens once,
/// from the command line, before there is anything to be uplink of.
///
/// Every call may be repeated after an error: servers recognise what they have seen.
pub trait Uplink: Send + Sync {
    /// The link's name in status and health reports.
    fn name(&self) -> &'static str;

    /// Which node this is, to the server.
    fn node_id(&self) -> String;

    /// The server that it goes to at this moment: its URL.
    #[cfg(feature = "ssm")]
    fn server(&self) -> String;

    /// Tells the server that this node is alive, and what it is.
    ///
    /// # Errors
    /// See [`UplinkError`].
    fn ping(&self) -> Result<(), UplinkError>;

    /// Waits for work, as long as the protocol lets a node wait. Nothing to do is an empty list.
    ///
    /// # Errors
    /// See [`UplinkError`].
    fn poll(&self) -> Result<Vec<Delivery>, UplinkError>;

    /// Whether the server tells of itself when there is work, so that the next [`Uplink::poll`] costs it nothing.
    fn pushes(&self) -> bool {
        false
    }

    /// Tells the server that a delivery is durable here, so that it isn't delivered again.
    ///
    /// # Errors
    /// [`UplinkError::Refused`] means that the server no longer wants it done.
    fn acknowledge(&self, receipt: &str) -> Result<(), UplinkError>;

    /// What the server wants named in a report on the job with this id, of which nothing else is
    /// known any more.
    fn receipt(&self, job: &str) -> String;

    /// Puts one type of this node's inventory in the place of what the server had of it.
    ///
    /// # Errors
    /// [`UplinkError::Refused`] also if the server doesn't have what was named by its mark alone.
    fn put_inventory(&self, item: &Inventory) -> Result<(), UplinkError>;

    /// Hands lines of the audit log over, oldest first.
    ///
    /// # Errors
    /// [`UplinkError::Refused`] means that the server takes none.
    #[cfg(feature = "audit")]
    fn put_audit(&self, lines: &[String]) -> Result<(), UplinkError>;

    /// The node has nothing to do and nothing to report at this moment, so the link may change what
    /// it would not change under a job.
    ///
    /// # Errors
    /// See [`UplinkError`].
    fn at_rest(&self) -> Result<(), UplinkError> {
        Ok(())
    }

    /// Tells the server that a session is over: `Success`, or `Failed` and why. Said again it is recognised.
    ///
    /// # Errors
    /// The server hasn't acknowledged it in 3 s, or there is no channel for it.
    #[cfg(feature = "session")]
    fn session_is_over(&self, session: &str, status: &str, output: &str)
    -> Result<(), UplinkError>;

    /// Reports what became of a job, or how far it has come.
    ///
    /// # Errors
    /// [`UplinkError::Refused`] means that no repetition will help.
    fn report(&self, report: &Report) -> Result<(), UplinkError>;
}

/// What a server hands to a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Something to do.
    Job(Job),
    /// Something to stop doing, named by the job's id.
    Cancel {
        /// What to acknowledge.
        receipt: String,
        /// The id of the job to cancel.
        job: String,
    },
    /// Something this agent can't take, with the reason for the operator.
    Unreadable {
        /// What to report on.
        receipt: String,
        /// The id it would have had.
        job: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A session to begin. Nothing is acknowledged: the server sees it by its data channel.
    #[cfg(feature = "session")]
    Session {
        /// Its id.
        session: String,
        /// The [`stint_wire::mgs::sessions::SessionOrder`] as JSON text.
        order: String,
    },
    /// A session to end.
    #[cfg(feature = "session")]
    EndSession {
        /// Its id.
        session: String,
    },
    /// Something no part of this agent takes; the server is told and nothing else happens.
    Unknown {
        /// What was refused, for the log.
        topic: String,
    },
}

/// What keeps answers from coming.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The server's name has no address, or nobody can be asked for it.
    Name,
    /// Nobody listens at the server's address.
    Refused,
    /// There is no way to the server's network.
    Route,
    /// Nothing came in time.
    Silence,
    /// The server's certificate isn't good for it.
    Certificate,
    /// What answers there doesn't speak TLS as it should.
    Tls,
    /// The proxy doesn't let it pass.
    Proxy,
    /// The connection broke.
    Broken,
}

impl Obstacle {
    /// The word for it in `stint status`.
    fn word(self) -> &'static str {
        match self {
            Obstacle::Name => "dns",
            Obstacle::Refused => "refused",
            Obstacle::Route => "route",
            Obstacle::Silence => "timeout",
            Obstacle::Certificate => "certificate",
            Obstacle::Tls => "tls",
            Obstacle::Proxy => "proxy",
            Obstacle::Broken => "broken",
        }
    }

    /// What an error of the system means for a connection.
    fn of_io(error: &std::io::Error) -> Obstacle {
        use std::io::ErrorKind::*;
        match error.kind() {
            ConnectionRefused => Obstacle::Refused,
            NetworkUnreachable | HostUnreachable | AddrNotAvailable => Obstacle::Route,
            TimedOut | WouldBlock => Obstacle::Silence,
            InvalidData => Obstacle::Tls,
            _ => Obstacle::Broken,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// In one word.
    pub obstacle: Obstacle,
    /// In words for people.
    pub words: String,
}

/// Why a call to the server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UplinkError {
    /// No answer: name look-up, connection, TLS, time limit.
    Unreachable {
        /// Where to.
        endpoint: String,
        /// What happened.
        cause: NoAnswer,
    },
    /// A web page came instead of an answer, or a redirect: somebody in between wants to be seen
    /// first.
    Portal {
        /// The operation.
        operation: &'static str,
    },
    /// The server understood and said no; repeating the same won't help.
    Refused {
        /// The operation.
        operation: &'static str,
        /// The server's word for it.
        code: String,
        /// Its sentence for people.
        message: String,
    },
    /// The server has trouble of its own, or asks to be spared for a while.
    Trouble {
        /// The operation.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// The server's word for it, if any.
        code: String,
    },
    /// The server takes no request of that length (HTTP 413).
    TooLarge {
        /// The operation.
        operation: &'static str,
        /// It was the server that said so, as far as this node can tell, and no proxy.
        is_certain: bool,
    },
    /// The answer isn't what the protocol promises: often a captive portal or a proxy.
    BadAnswer {
        /// The operation.
        operation: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The answer isn't the server's own, as far as this node can tell.
    Untrusted {
        /// The operation.
        operation: &'static str,
        /// Why not.
        what: &'static str,
    },
    /// The request couldn't even be made: no randomness, a key that won't sign.
    Local(String),
}

impl UplinkError {
    /// What kind of trouble it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            UplinkError::Unreachable { cause, .. } => cause.obstacle.word(),
            UplinkError::Portal { .. } => "portal",
            UplinkError::Refused { .. } => "rejected",
            UplinkError::Trouble { .. } => "server",
            UplinkError::Local(_) => "local",
            _ => "answer",
        }
    }

    /// Whether the server knows this node and turned it away: it has been deregistered, or its
    /// key isn't the one on record. Only a person can mend it, so asking often is no use.
    pub fn is_rejection_of_the_node(&self) -> bool {
        let codes = [
            "AccessDeniedException",
            "InvalidInstanceId",
            "MachineFingerprintDoesNotMatch",
            "InvalidSignatureException",
            "UnrecognizedClientException",
        ];
        matches!(self, UplinkError::Refused { code, .. } if codes.contains(&code.as_str()))
    }
}

impl fmt::Display for UplinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UplinkError::Unreachable { endpoint, cause } => {
                write!(f, "can't reach {endpoint}: {}", cause.words)
            }
            UplinkError::Portal { operation } => write!(
                f,
                "a web page came in answer to {operation}: is there a captive portal, or is the \
                 endpoint another server's?"
            ),
            UplinkError::Refused { operation, code, message } => {
                write!(f, "{operation} was refused: {code}: {message}")
            }
            UplinkError::Trouble { operation, status, code } => {
                write!(f, "the server has trouble with {operation}: HTTP {status} {code}")
            }
            UplinkError::TooLarge { operation, .. } => {
                write!(f, "the server finds what {operation} has to say too large: HTTP 413")
            }
            UplinkError::BadAnswer { operation, what } => {
                write!(f, "the answer to {operation} makes no sense: {what}")
            }
            UplinkError::Untrusted { operation, what } => {
                write!(f, "the answer to {operation} isn't trusted: {what}")
            }
            UplinkError::Local(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for UplinkError {}
