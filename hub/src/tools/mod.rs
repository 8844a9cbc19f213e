//! The operator's side: one folder per Systems Manager tool, one file per operation or group of
//! operations that share their rules.
//!
//! Never here: HTTP, signatures, SQL dialects. An operation takes its validated input and the
//! store, and returns the members of its answer.

use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use serde_json::Value;

/// Answers one operation of the `ssm` service.
///
/// # Errors
/// `UnknownOperationException` for an operation the hub does not have, `ValidationException`
/// when the input breaks the service's model, and the operation's own errors.
pub async fn call(
    _app: &App,
    _caller: &Caller,
    operation: &str,
    _input: Value,
) -> ApiResult<Value> {
    Err(ApiError::new(
        "UnknownOperationException",
        format!("{operation} is not supported by stint-hub"),
    ))
}
