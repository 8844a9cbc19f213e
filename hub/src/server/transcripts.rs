//! GET of a session's transcript by a link out of DescribeSessions. The token in the link is the permission.

use super::answer;
use super::routes::Site;
use crate::error::ApiError;
use crate::sessions::transcripts;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;

/// Answers a link. The text comes from the store as the client takes it.
pub async fn get(
    State(site): State<Site>,
    Path(session): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let id = answer::request_id();
    let query = query.unwrap_or_default();
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
    let app = site.app;
    if !transcripts::accepts(&app, &session, token, app.now()) {
        tracing::warn!(request_id = id, "transcript refused");
        let what = "The link is no good, or no longer. DescribeSessions gives a new one.";
        let error = ApiError { status: StatusCode::FORBIDDEN, ..ApiError::access_denied(what) };
        return answer::failure(&error, &id);
    }
    tracing::info!(session, request_id = id, "transcript read");
    let pieces = stream::try_unfold(0, move |position| {
        let (app, session) = (app.clone(), session.clone());
        async move {
            let piece = transcripts::piece(&app.store, &session, position).await?;
            Ok::<_, sqlx::Error>(piece.map(|(next, bytes)| (Bytes::from(bytes), next)))
        }
    });
    // To be kept, not shown: what a device prints is nothing for a browser to make sense of.
    answer::with_type(StatusCode::OK, "application/octet-stream", Body::from_stream(pieces), &id)
}
