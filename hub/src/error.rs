//! The two error types of the hub: what a client is told, and what stops the program.

use axum::http::StatusCode;

/// An error answer of the AWS JSON 1.1 protocol.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code in `__type`, spelt as botocore's model spells it.
    pub code: &'static str,
    /// What is wrong, where, and what would be right.
    pub message: String,
    /// 400 for everything the client can mend.
    pub status: StatusCode,
}

/// What every operation returns.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A fault of the request.
    pub fn new(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), status: StatusCode::BAD_REQUEST }
    }

    /// The request's members break a rule of the service's model.
    pub fn validation(message: impl Into<String>) -> ApiError {
        ApiError::new("ValidationException", message)
    }

    /// The caller is known and may not do this.
    pub fn access_denied(message: impl Into<String>) -> ApiError {
        ApiError::new("AccessDeniedException", message)
    }

    /// A fault of the hub. The cause goes to the log; clients retry on it.
    pub fn internal(cause: impl std::fmt::Display) -> ApiError {
        tracing::error!(%cause, "internal error");
        ApiError {
            code: "InternalServerError",
            message: "An error occurred on the server side.".to_owned(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<getrandom::Error> for ApiError {
    fn from(error: getrandom::Error) -> ApiError {
        ApiError::internal(error)
    }
}

/// Why the hub can't start, or a command of its own can't be done: one line for the person who
/// typed it.
#[derive(Debug, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct StartError {
    what: String,
    remedy: String,
}

impl StartError {
    /// What went wrong, with the place, and what to do about it.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> StartError {
        StartError { what: what.into(), remedy: remedy.into() }
    }
}

impl From<getrandom::Error> for StartError {
    fn from(error: getrandom::Error) -> StartError {
        StartError::new(
            format!("the operating system has no randomness to give: {error}"),
            "try again later",
        )
    }
}
