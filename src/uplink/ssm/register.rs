//! Registration with a hybrid activation: the one call that nobody signs.

use super::super::UplinkError;
use super::super::http::Http;
use super::call::verdict;
use crate::identity::KeyPair;
use miniserde::json;
use std::time::Duration;
use stint_wire::{ids, ssm};

/// The original's own time limit for this call.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Tries before giving up, and the pause before each. The key stays the same, so a server that
/// has registered it already and whose answer was lost says the same id again.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

/// What the operator handed out.
pub struct Activation<'a> {
    /// A UUID.
    pub id: &'a str,
    /// A secret of 20 characters and more.
    pub code: &'a str,
}

/// Registers a key with the first of these servers that can be reached, and returns the node's id.
///
/// # Errors
/// See [`UplinkError`]; the activation's own faults are `Refused`.
pub fn register(
    http: &Http,
    servers: &[String],
    activation: &Activation<'_>,
    key: &KeyPair,
    fingerprint: &str,
) -> Result<String, UplinkError> {
    let public = key.public().map_err(|error| UplinkError::Local(error.to_string()))?;
    let body = ssm::register(activation.code, activation.id, fingerprint, &public, key.kind());
    let mut last = None;
    for pause in PAUSES {
        std::thread::sleep(pause);
        for server in servers {
            match attempt(http, server, &body) {
                Err(error @ (UplinkError::Unreachable { .. } | UplinkError::Trouble { .. })) => {
                    last = Some(error);
                }
                decided => return decided,
            }
        }
    }
    Err(last.unwrap_or(UplinkError::Local("registration was not tried".to_owned())))
}

fn attempt(http: &Http, endpoint: &str, body: &str) -> Result<String, UplinkError> {
    let operation = "RegisterManagedInstance";
    let target = format!("{}.{operation}", ssm::TARGET_PREFIX);
    let headers = [("content-type", ssm::CONTENT_TYPE), ("x-amz-target", target.as_str())];
    let answer = http
        .post(endpoint, &headers, body.as_bytes(), TIMEOUT)
        .map_err(|cause| UplinkError::Unreachable { endpoint: endpoint.to_owned(), cause })?;
    verdict(operation, &answer)?;
    let registered: ssm::Registered = json::from_str(&answer.body)
        .map_err(|_| UplinkError::BadAnswer { operation, what: "it names no node" })?;
    if !ids::is_managed_node_id(&registered.instance_id) {
        return Err(UplinkError::BadAnswer {
            operation,
            what: "the node's id has an unknown form",
        });
    }
    Ok(registered.instance_id)
}
