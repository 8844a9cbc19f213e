//! Why an exchange came to nothing, in the words of the protocol.

use crate::error::ApiError;
use axum::http::StatusCode;
use stint_wire::bootagent::sign;
use stint_wire::time::Utc;

/// The hub's own fault; the node tries again.
pub const FAULT: i64 = 1;
/// The body can't be read.
pub const MALFORMED: i64 = 2;
/// The hub doesn't know the node, or not any more: it has to register.
pub const UNKNOWN: i64 = 3;
/// The signature is missing or wrong, or the request has been here before.
pub const UNPROVED: i64 = 5;
/// The hub doesn't take the node in.
pub const REFUSED: i64 = 6;
/// The node asks too often.
pub const TOO_OFTEN: i64 = 7;

/// An exchange that is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The status of the HTTP answer.
    pub status: StatusCode,
    /// `errcode`, and at the registration `status`; never 0.
    pub errcode: i64,
    /// For people.
    pub message: String,
    /// The hub's time, Unix seconds, for a node whose clock is wrong.
    pub date: Option<u64>,
}

impl Refusal {
    /// A refusal with one of this file's numbers.
    pub fn new(errcode: i64, message: impl Into<String>) -> Refusal {
        let status = match errcode {
            FAULT => StatusCode::INTERNAL_SERVER_ERROR,
            MALFORMED => StatusCode::BAD_REQUEST,
            UNPROVED | sign::STALE => StatusCode::UNAUTHORIZED,
            TOO_OFTEN => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::FORBIDDEN,
        };
        Refusal { status, errcode, message: message.into(), date: None }
    }

    /// The request's time is too far from the hub's.
    pub fn stale(now: Utc) -> Refusal {
        let message = format!(
            "The request's time is more than {} s from the hub's, {}.",
            sign::MAX_AGE,
            now.iso()
        );
        Refusal { date: Some(now.secs()), ..Refusal::new(sign::STALE, message) }
    }

    /// The word for the log and the metrics.
    pub fn code(&self) -> &'static str {
        match self.errcode {
            FAULT => "InternalServerError",
            MALFORMED => "Malformed",
            UNKNOWN => "UnknownNode",
            sign::STALE => "Stale",
            UNPROVED => "Unproved",
            TOO_OFTEN => "TooOften",
            _ => "Refused",
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        let errcode = if error.status.is_server_error() { FAULT } else { REFUSED };
        Refusal::new(errcode, error.message)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Refusal {
        ApiError::internal(error).into()
    }
}
