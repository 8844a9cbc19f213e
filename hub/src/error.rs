//! The one error type of the API: a code that clients branch on, and a text for people.

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

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> ApiError {
        ApiError::internal(error)
    }
}
