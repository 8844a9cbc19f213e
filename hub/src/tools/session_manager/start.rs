//! StartSession, ResumeSession and TerminateSession.

use super::order;
use crate::app::{App, Caller};
use crate::auth::session_rules;
use crate::error::{ApiError, ApiResult};
use crate::random;
use crate::sessions::limits::PER_NODE;
use crate::sessions::{self, Draft, End, Session};
use crate::tools::tags::{self, MANAGED_INSTANCE};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stint_wire::mgs::open;
use stint_wire::text::hex;

/// StartSession's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Start {
    target: String,
    document_name: Option<String>,
    reason: Option<String>,
    parameters: Option<BTreeMap<String, Vec<String>>>,
}

/// The input of those that name a session.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    session_id: String,
}

/// StartSession: the node is told over its control channel, and the client gets what it needs to
/// come to the same place.
///
/// # Errors
/// `TargetNotConnected` for a node without a control channel, `InvalidDocument`,
/// `ValidationException` for parameters that the document doesn't allow, `AccessDeniedException`
/// when rules don't allow it, `ThrottlingException` when the node has too many.
pub async fn start(app: &App, caller: &Caller, input: Start) -> ApiResult<Value> {
    let node = input.target.as_str();
    let document = order::document(app, input.document_name.as_deref()).await?;
    let (key, name) = (caller.access_key.as_str(), document.summary.name.as_str());
    let tags = tags::of(&app.store.read, MANAGED_INSTANCE, node).await?;
    if !session_rules::allow(&app.store.read, key, name, &tags).await? {
        return Err(ApiError::access_denied(format!(
            "User: {} is not authorized to perform: ssm:StartSession on resource: {node} with \
             document {name} because no rule allows it. `stint-hub session allow` on the hub \
             makes one.",
            owner(app, key)
        )));
    }
    let given = input.parameters.unwrap_or_default();
    let values = order::parameters(&document, &given)?;
    if !app.wakeups.has_channel(node) {
        return Err(ApiError::new("TargetNotConnected", format!("{node} is not connected.")));
    }
    let (idle_seconds, longest_seconds) = order::limits(app, &document).await?;
    let id = session_id(key)?;
    let (owner, now) = (owner(app, key), app.now());
    let told = order::content(app, &document).await?;
    let output_url = order::output_url(app, &caller.region, &id, &told);
    let content = order::text(&document, &told, &id, values, &owner);
    let reason = input.reason.unwrap_or_default();
    let draft = Draft {
        id: &id,
        node,
        access_key: key,
        owner: &owner,
        reason: &reason,
        document: name,
        content: &content,
        idle_seconds,
        longest_seconds,
        transcript: order::has_transcript(&told),
        output_url: &output_url,
    };
    if !sessions::insert(app, &draft, PER_NODE, now).await? {
        return Err(ApiError::new(
            "ThrottlingException",
            format!("{node} has {PER_NODE} open sessions already; TerminateSession ends one."),
        ));
    }
    tracing::info!(session = id, node, owner, document = name, reason, "session started");
    let answer = way_in(app, caller, &id).await?;
    app.wakeups.ring(node);
    Ok(answer)
}

/// ResumeSession: a new token for the client that lost its connection.
///
/// # Errors
/// `DoesNotExistException` when there is no such session, or it has ended; `AccessDeniedException`
/// for a session that another key has opened, or that rules don't allow any more.
pub async fn resume(app: &App, caller: &Caller, input: Named) -> ApiResult<Value> {
    let id = input.session_id.as_str();
    let session = sessions::find(app, id).await?;
    let open = session.filter(|s| s.ended_at.is_none() && s.end_wanted_at.is_none());
    let Some(session) = open else {
        return Err(ApiError::new(
            "DoesNotExistException",
            format!("There is no open session {id}."),
        ));
    };
    if session.access_key != caller.access_key {
        return Err(ApiError::access_denied(format!(
            "{} may not resume {id}, which {} has opened",
            caller.access_key, session.access_key
        )));
    }
    let (key, document) = (session.access_key.as_str(), session.document_name.as_str());
    let tags = tags::of(&app.store.read, MANAGED_INSTANCE, &session.node_id).await?;
    if !session_rules::allow(&app.store.read, key, document, &tags).await? {
        return Err(ApiError::access_denied(format!("no rule allows {key} {id} any more")));
    }
    way_in(app, caller, id).await
}

/// TerminateSession: both ends are told. A session that has ended, or never was, is none to end.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn terminate(app: &App, caller: &Caller, input: Named) -> ApiResult<Value> {
    let id = input.session_id.as_str();
    if let Some(Session { offered_at, .. }) = sessions::find(app, id).await? {
        let details = match offered_at {
            Some(_) => format!("{} terminated the session.", caller.access_key),
            None => format!("{} terminated the session before it started.", caller.access_key),
        };
        sessions::stop(app, id, &End { details: &details }, app.now()).await?;
    }
    Ok(json!({"SessionId": id}))
}

/// What a client needs to come: where to, and a token that is good once, within a minute.
async fn way_in(app: &App, caller: &Caller, id: &str) -> ApiResult<Value> {
    let token = sessions::give_token(app, id, &caller.login, app.now()).await?;
    // Behind a proxy that ends TLS only the operator of the hub knows how clients come.
    let endpoint = app.public_url.as_deref().unwrap_or(&caller.endpoint).trim_end_matches('/');
    // http becomes ws, and https wss.
    let place = endpoint.strip_prefix("http").unwrap_or_default();
    let url = format!("ws{place}{}?{}", open::data_path(id), open::DATA_QUERY);
    Ok(json!({"SessionId": id, "TokenValue": token, "StreamUrl": url}))
}

/// An operator as an ARN.
fn owner(app: &App, access_key: &str) -> String {
    format!("arn:aws:iam::{}:user/{access_key}", app.account_id)
}

/// It becomes the name of a folder on the node, and a part of a path.
fn session_id(access_key: &str) -> ApiResult<String> {
    let safe: String = access_key.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let digits = hex(&random::bytes::<9>()?);
    Ok(format!("{safe}-{}", digits.get(1..).unwrap_or_default()))
}
