//! HTTP: connections, TLS, limits, routing and the form of answers.
//!
//! Never here: what an operation means. A request is read whole, handed to [`rpc`], and its
//! outcome is written as the AWS JSON 1.1 protocol has it.

mod agent;
mod answer;
pub mod attachments;
pub mod listener;
pub mod metrics;
pub mod probes;
pub mod routes;
pub mod rpc;
pub mod self_signed;
pub mod tls;

/// Bytes of a request's body. The largest honest one is a reply with several steps of 48 kB
/// output each, escaped as JSON inside JSON.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;
