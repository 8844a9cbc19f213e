//! `/healthz` and `/metrics`.

use super::answer;
use super::routes::{Peer, Site};
use crate::error::ApiError;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

const PLAIN: &str = "text/plain; charset=utf-8";
/// The text format that Prometheus scrapes.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `ok` if the store answers.
pub async fn healthz(State(site): State<Site>) -> Response {
    let id = answer::request_id();
    match site.app.store.check().await {
        Ok(()) => answer::with_type(StatusCode::OK, PLAIN, "ok\n", &id),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            answer::with_type(status, PLAIN, "the store does not answer\n", &id)
        }
    }
}

/// Counts, for this machine only unless the hub was told otherwise: they tell strangers how
/// large the fleet is and when somebody works on it.
pub async fn metrics(State(site): State<Site>, request: Request) -> Response {
    let id = answer::request_id();
    let local = request.extensions().get::<Peer>().is_some_and(|p| p.address.ip().is_loopback());
    if !local && !site.public_metrics {
        let refused = ApiError {
            status: StatusCode::FORBIDDEN,
            ..ApiError::access_denied(
                "Metrics are for loopback clients; start the hub with --public-metrics to change \
                 that.",
            )
        };
        return answer::failure(&refused, &id);
    }
    match site.app.metrics.text(&site.app).await {
        Ok(text) => answer::with_type(StatusCode::OK, PROMETHEUS, text, &id),
        Err(error) => answer::failure(&error, &id),
    }
}
