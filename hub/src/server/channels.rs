//! Paths of the message gateway: a channel is created by a POST, and opened by an upgrade.
//!
//! Never here: what the messages on a channel mean.

use super::answer;
use super::listener::Hold;
use super::routes::{Peer, Site, endpoint, read};
use crate::app::App;
use crate::auth::channel_token::{self, Purpose};
use crate::auth::identity::{self, Identity, NodeCaller};
use crate::auth::request::Request;
use crate::error::{ApiError, ApiResult};
use crate::nodes::channels::{self, control, data};
use crate::sessions::relay::Side;
use crate::sessions::{self, Session, TOKEN_MILLIS};
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use std::time::Instant;
use stint_wire::mgs::open;

/// The service's name in the scope of a signature.
pub const SERVICE: &str = "ssmmessages";

/// Bytes of the body of a POST: two short members.
const BODY_LIMIT: usize = 4096;

/// Bytes that a websocket reads and writes at once. The library's own measure is 128 KiB, which
/// twenty thousand idle nodes would pay for.
const BUFFER: usize = 4096;

/// CreateControlChannel: a token for the node that signed.
pub async fn create_control(
    State(site): State<Site>,
    Path(id): Path<String>,
    request: axum::extract::Request,
) -> Response {
    let app = &site.app;
    let token = async |node: NodeCaller| {
        only_itself(&node, &id)?;
        channel_token::issue(&app.seal, Purpose::Control(&node.id), app.now())
    };
    create(app, "CreateControlChannel", request, token).await
}

/// The upgrade of a control channel.
pub async fn open_control(
    State(site): State<Site>,
    Path(id): Path<String>,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let request = Request::new(&parts, b"");
    let node = async {
        let node = node(&site.app, &request).await?;
        only_itself(&node, &id)?;
        Ok(node)
    };
    let node = match node.await {
        Ok(node) => node,
        Err(error) => return refused(&site.app, "OpenControlChannel", &error),
    };
    let endpoint = endpoint(&request, parts.extensions.get::<Peer>().copied());
    let serve = async move |socket| control::serve(&site.app, &node, &endpoint, socket).await;
    upgrade(parts, channels::CONTROL_MESSAGE_LIMIT, serve).await
}

/// CreateDataChannel: a token for the agent's end of a session, for the session's node.
pub async fn create_data(
    State(site): State<Site>,
    Path(id): Path<String>,
    request: axum::extract::Request,
) -> Response {
    let app = &site.app;
    let token = async |node: NodeCaller| {
        let session = session(app, &id).await?;
        only_itself(&node, &session.node_id)?;
        let purpose = Purpose::Agent(&session.id, &session.node_id);
        channel_token::issue(&app.seal, purpose, app.now())
    };
    create(app, "CreateDataChannel", request, token).await
}

/// The upgrade of a data channel. The agent's is signed; a client has nothing but its token, which
/// is the first thing that it says.
pub async fn open_data(
    State(site): State<Site>,
    Path(id): Path<String>,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let request = Request::new(&parts, b"");
    let app = &site.app;
    let who = async {
        if request.header("authorization").is_none() {
            return Ok((known(app, &id, TOKEN_MILLIS).await?, Side::Client));
        }
        let node = node(app, &request).await?;
        let session = session(app, &id).await?;
        only_itself(&node, &session.node_id)?;
        Ok((session, Side::Agent))
    };
    let (session, side) = match who.await {
        Ok(who) => who,
        Err(error) => return refused(app, "OpenDataChannel", &error),
    };
    let serve = async move |socket| data::serve(&site.app, &session, side, socket).await;
    upgrade(parts, channels::DATA_MESSAGE_LIMIT, serve).await
}

/// The session of this id, if it is open.
async fn session(app: &App, id: &str) -> ApiResult<Session> {
    known(app, id, 0).await
}

/// The session of this id, if it is open, or has been over for `late` milliseconds at most: a node that can't begin one says
/// why before most clients are there, and who has a good token is to hear it. Agents stop trying upon these words.
async fn known(app: &App, id: &str, late: u64) -> ApiResult<Session> {
    let is_late = |ended: i64| app.now().0 >= ended.unsigned_abs().saturating_add(late);
    let session = sessions::find(app, id).await?;
    let session = session.filter(|session| !session.ended_at.is_some_and(is_late));
    session.ok_or_else(|| ApiError {
        status: StatusCode::NOT_FOUND,
        ..ApiError::new("DoesNotExistException", "Session is already terminated, or never was.")
    })
}

/// Makes a websocket of the request, with messages of up to `limit` bytes, and serves it. It counts as a connection
/// for as long.
async fn upgrade<F>(
    mut parts: Parts,
    limit: usize,
    serve: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    let hold = parts.extensions.get::<Hold>().cloned();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(refused) => return refused.into_response(),
    };
    upgrade
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(limit)
        .max_frame_size(limit)
        .on_upgrade(async move |socket| {
            serve(socket).await;
            drop(hold);
        })
}

/// The node that signed. No operator has a channel.
async fn node(app: &App, request: &Request) -> ApiResult<NodeCaller> {
    match identity::by_secret(app, request, SERVICE, app.now()).await? {
        Identity::Node(node) => Ok(node),
        Identity::Operator(caller) => Err(ApiError::access_denied(format!(
            "{} is an operator, and only managed nodes open channels",
            caller.access_key
        ))),
    }
}

fn only_itself(node: &NodeCaller, named: &str) -> ApiResult<()> {
    if node.id == named {
        return Ok(());
    }
    Err(ApiError::access_denied(format!("{} may not open a channel of {named}", node.id)))
}

/// Answers the creation of a channel with the `token` for the node that has signed it. The original reads XML,
/// whatever its elements' names, and takes no other status for success.
async fn create(
    app: &App,
    operation: &str,
    request: axum::extract::Request,
    token: impl AsyncFnOnce(NodeCaller) -> ApiResult<String>,
) -> Response {
    let started = Instant::now();
    let token = async {
        let (parts, body) = request.into_parts();
        let body = read(body, BODY_LIMIT).await?;
        token(node(app, &Request::new(&parts, &body)).await?).await
    };
    match token.await {
        Ok(token) => {
            app.metrics.count(operation, "OK", started.elapsed());
            xml(StatusCode::CREATED, open::created(operation, &token))
        }
        Err(error) => refused(app, operation, &error),
    }
}

/// An error in the form in which the original looks for `<AccessDeniedException>`, upon which it
/// polls for messages.
fn refused(app: &App, operation: &str, error: &ApiError) -> Response {
    app.metrics.count(operation, error.code, std::time::Duration::ZERO);
    tracing::warn!(operation, code = error.code, message = error.message, "channel refused");
    let message = error.message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let code = error.code;
    xml(error.status, format!("<{code}><Message>{message}</Message></{code}>"))
}

fn xml(status: StatusCode, body: String) -> Response {
    answer::with_type(status, "application/xml", body, &answer::request_id())
}
