//! HTTP: connections, TLS, limits, routing and the form of answers.
//!
//! Never here: what an operation means. A request is read whole, handed to [`rpc`], and its
//! outcome is written as the AWS JSON 1.1 protocol has it.

mod about;
mod agent;
mod answer;
pub mod attachments;
mod channels;
mod console;
pub mod listener;
pub mod metrics;
pub mod probes;
pub mod routes;
pub mod rpc;
pub mod self_signed;
pub mod tls;
mod transcripts;
mod updates;

/// Bytes of a request's body. The largest honest one is a reply with several steps of 48 kB
/// output each, escaped as JSON inside JSON.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// Bytes of a BootAgent node's report or results. The largest honest ones are 256 children, with
/// 50 events or results of a few KiB each: strangers get no more of the hub's time and memory.
pub const AGENT_BODY_LIMIT: usize = 512 * 1024;

/// Bytes of a BootAgent node's registration: a dozen short members. It is the only body that is
/// looked into before anybody has proved anything, as the key that signed it is in there.
pub const REGISTRATION_LIMIT: usize = 16 * 1024;
