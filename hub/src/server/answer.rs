//! Answers in the form of the AWS JSON 1.1 protocol.

use crate::error::ApiError;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use stint_wire::{ids, ssm};

/// The name of the header that clients print as the request id.
const REQUEST_ID: &str = "x-amzn-requestid";

/// A new request id.
pub fn request_id() -> String {
    // Ids are for finding a request in the log; without randomness all are the nil UUID.
    ids::uuid(crate::random::bytes().unwrap_or_default())
}

/// A success.
pub fn success(output: &Value, request_id: &str) -> Response {
    json_answer(StatusCode::OK, output, request_id)
}

/// An error: clients read the code from `__type`, and the text from one spelling or the other,
/// as the operation's model has it.
pub fn failure(error: &ApiError, request_id: &str) -> Response {
    let body = json!({
        "__type": error.code,
        "message": error.message,
        "Message": error.message,
    });
    json_answer(error.status, &body, request_id)
}

fn json_answer(status: StatusCode, body: &Value, request_id: &str) -> Response {
    with_type(status, ssm::CONTENT_TYPE, body.to_string(), request_id)
}

/// An answer of another type.
pub fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
    request_id: &str,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_names_its_code_where_botocore_reads_it() {
        let error = ApiError::new("InvalidInstanceId", "mi-1 is unknown");
        let response = failure(&error, "the-id");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(response.headers()[REQUEST_ID], "the-id");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["__type"], "InvalidInstanceId");
        assert_eq!(body["message"], "mi-1 is unknown");
    }

    #[test]
    fn every_request_has_an_id_of_its_own() {
        assert!(ids::is_uuid(&request_id()));
        assert_ne!(request_id(), request_id());
    }
}
