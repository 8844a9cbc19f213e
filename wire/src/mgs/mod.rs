//! The message gateway (`ssmmessages`): control and data channels, which are websockets that carry
//! binary messages of one format both ways. Amazon's name for it inside the agent is MGS.
//!
//! [`message`] is the format, [`open`] how a channel begins; [`jobs`], [`sessions`] and [`stream`] are
//! the payloads. What the agent sends and what it reads have both directions here: the hub and the tests
//! need the other one. Readers take members in any case of letters, as Go's decoder does, and ignore what
//! they don't know. `docs/PROTOCOL.md` tells what each message is for.

pub mod jobs;
pub mod message;
pub mod open;
pub mod sessions;
pub mod stream;
#[cfg(test)]
mod vectors;

pub use message::{FrameError, Message, MessageId};

use crate::json::{self, Node, SyntaxError};
use std::fmt;

/// The service's name in credential scopes and host names.
pub const SERVICE: &str = "ssmmessages";

/// `MessageSchemaVersion` of the JSON that opens a channel.
pub const SCHEMA: &str = "1.0";

/// What the agent's pings carry.
pub const PING: &[u8] = b"keepalive";

/// A payload larger than this is no message of ours, bytes. Commands and their replies are 120 kB at most.
pub const MAX_MESSAGE: usize = 512 * 1024;

/// Why a payload can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadError {
    /// It isn't UTF-8.
    NoText,
    /// It isn't JSON.
    NoJson(SyntaxError),
    /// This member is missing, or isn't what it should be.
    Member(&'static str),
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PayloadError::NoText => f.write_str("the payload is no text"),
            PayloadError::NoJson(cause) => write!(f, "the payload is no JSON: {cause}"),
            PayloadError::Member(name) => write!(f, "the payload has no good {name}"),
        }
    }
}

impl std::error::Error for PayloadError {}

/// A payload as JSON.
fn parse(payload: &[u8]) -> Result<Node, PayloadError> {
    let text = std::str::from_utf8(payload).map_err(|_| PayloadError::NoText)?;
    json::parse(text).map_err(PayloadError::NoJson)
}

/// A string that must be there.
fn must(node: &Node, name: &'static str) -> Result<String, PayloadError> {
    let found = node.get_any_case(name).and_then(Node::as_str).filter(|text| !text.is_empty());
    found.map(str::to_owned).ok_or(PayloadError::Member(name))
}

/// A string that may be missing.
fn may(node: &Node, name: &str) -> String {
    node.get_any_case(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

/// A number that must be there.
fn number(node: &Node, name: &'static str) -> Result<u64, PayloadError> {
    node.get_any_case(name).and_then(Node::as_u64).ok_or(PayloadError::Member(name))
}
