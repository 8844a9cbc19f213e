//! Paths, and what happens around each call: reading, timing, logging, counting.

use super::{
    BODY_LIMIT, agent, answer, attachments, channels, console, probes, rpc, transcripts, updates,
};
use crate::app::App;
use crate::auth::request::Request;
use crate::error::ApiError;
use crate::store::data_dir::DataDir;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stint_wire::bootagent::{REGISTER, RESULT, STATUS};

/// How long a body may take to arrive: the largest honest one over a line of 64 kbit/s, nearly.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection knows that its requests don't.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The connection is encrypted.
    pub tls: bool,
}

/// The hub's own settings for its paths.
#[derive(Clone)]
pub struct Site {
    /// What the handlers reach.
    pub app: Arc<App>,
    /// `/metrics` answers everybody, not only this machine.
    pub public_metrics: bool,
    /// Where the attachments are.
    pub data: DataDir,
}

/// All paths.
pub fn router(site: Site) -> Router {
    let mut router = Router::new();
    for path in [REGISTER, STATUS, RESULT] {
        // Later pages of the protocol put the version before it.
        for path in [path.to_owned(), format!("/api/v1{path}")] {
            router = router.route(&path, post(agent::post).fallback(not_found));
        }
    }
    router
        .route("/", post(call).fallback(not_found))
        .route("/healthz", get(probes::healthz))
        .route("/metrics", get(probes::metrics))
        .route("/attachments/{hash}/{name}", get(attachments::get))
        .route("/updates/{*path}", get(updates::get))
        .route("/transcripts/{session}", get(transcripts::get))
        .route(
            "/v1/control-channel/{node}",
            post(channels::create_control).get(channels::open_control).fallback(not_found),
        )
        .route(
            "/v1/data-channel/{session}",
            post(channels::create_data).get(channels::open_data).fallback(not_found),
        )
        .merge(console::routes())
        .fallback(not_found)
        .with_state(site)
}

async fn call(State(site): State<Site>, request: axum::extract::Request) -> Response {
    let started = Instant::now();
    let app = site.app;
    let request_id = answer::request_id();
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let outcome = match read(body, BODY_LIMIT).await {
        Ok(body) => {
            let request = Request::new(&parts, &body);
            // What hyper handed out keeps its read buffer alive, and a poll would do so for as
            // long as it is held: 10 kB a node.
            drop((parts, body));
            let endpoint = endpoint(&request, peer);
            rpc::answer(&app, &request, &endpoint, app.now()).await
        }
        Err(error) => rpc::Outcome::of("", "", Err(error)),
    };
    let elapsed = started.elapsed();
    let code = outcome.result.as_ref().err().map_or("OK", |error| error.code);
    app.metrics.count(&outcome.operation, code, elapsed);
    log(&outcome, code, elapsed, &request_id, peer);
    match &outcome.result {
        Ok(output) => answer::success(output, &request_id),
        Err(error) => answer::failure(error, &request_id),
    }
}

/// Reads a body of an honest size, at most `limit` bytes, in an honest time.
///
/// # Errors
/// `RequestEntityTooLargeException`, `RequestTimeoutException`, `SerializationException`.
pub async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    // A body that says how long it is is refused before it crosses the line.
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect());
    match whole.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(e)) => Err(ApiError::new(
            "SerializationException",
            format!("The request body could not be read: {e}."),
        )),
        Err(_) => Err(ApiError {
            status: StatusCode::REQUEST_TIMEOUT,
            ..ApiError::new(
                "RequestTimeoutException",
                format!("The request body took more than {} s.", BODY_TIMEOUT.as_secs()),
            )
        }),
    }
}

fn too_large(limit: usize) -> ApiError {
    ApiError {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        ..ApiError::new(
            "RequestEntityTooLargeException",
            format!("The request body is larger than {limit} bytes."),
        )
    }
}

/// The URL under which the client reached the hub: whatever name or forwarded port it used.
pub fn endpoint(request: &Request, peer: Option<Peer>) -> String {
    let scheme = if peer.is_some_and(|peer| peer.tls) { "https" } else { "http" };
    format!("{scheme}://{}", request.header("host").unwrap_or_default())
}

/// One line a call. Polls are too many for the default level.
pub fn log(
    outcome: &rpc::Outcome,
    code: &str,
    elapsed: Duration,
    request_id: &str,
    peer: Option<Peer>,
) {
    let peer = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    let ms = elapsed.as_millis() as u64;
    let (operation, caller) = (outcome.operation.as_str(), outcome.caller.as_str());
    let about = outcome.about.as_deref();
    match &outcome.result {
        Ok(_) if operation == "GetMessages" => {
            tracing::debug!(operation, caller, code, ms, request_id, peer, "call");
        }
        Ok(_) => tracing::info!(operation, caller, about, code, ms, request_id, peer, "call"),
        Err(error) => {
            // Validation texts may quote the input, so they stay out of the log.
            let quotes = error.code == "ValidationException";
            let message = if quotes { "" } else { error.message.as_str() };
            tracing::warn!(
                operation,
                caller,
                about,
                code,
                ms,
                request_id,
                peer,
                message,
                "call refused"
            );
        }
    }
}

/// Nothing is here.
pub async fn not_found() -> Response {
    let error = ApiError {
        status: StatusCode::NOT_FOUND,
        ..ApiError::new(
            "UnknownOperationException",
            "There is nothing here. The pages for people are at /console; calls are POST /, probes \
             GET /healthz and /metrics.",
        )
    };
    answer::failure(&error, &answer::request_id())
}
