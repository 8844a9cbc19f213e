//! GET of the manifest of new agents, and of the programs that it names.
//!
//! Anybody may: what is there is signed for whom it concerns, and is no secret (decision 0032).

use super::answer;
use super::attachments::{Named, serve};
use super::routes::Site;
use crate::error::ApiError;
use crate::updates::shelf;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::time::UNIX_EPOCH;

/// Answers a path below `/updates/`.
pub async fn get(
    State(site): State<Site>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let id = answer::request_id();
    let Some(place) = shelf::place(&site.data, &path) else { return missing(&id) };
    let Ok(meta) = tokio::fs::metadata(&place).await else { return missing(&id) };
    let changed = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let changed = changed.unwrap_or_default().as_nanos();
    let tag = format!("{:x}-{changed:x}", meta.len());
    match serve(&Named { path: &place, tag: &tag }, &headers).await {
        Ok(response) => {
            tracing::info!(path, request_id = id, "update");
            response
        }
        Err(error) => answer::failure(&ApiError::internal(error), &id),
    }
}

fn missing(id: &str) -> Response {
    let message = "The hub has no such file of a release.";
    let error = ApiError { status: StatusCode::NOT_FOUND, ..ApiError::new("NotFound", message) };
    answer::failure(&error, id)
}
