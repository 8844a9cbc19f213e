//! From a signed request to who sent it.

use super::node_credentials;
use super::node_key::NodeKey;
use super::operator_keys;
use super::request::Request;
use super::signature::{self, Claim, Coverage};
use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use stint_wire::ssm;
use stint_wire::time::Utc;

/// Who sent a request that verified.
#[derive(Debug)]
pub enum Identity {
    /// Someone with an access key.
    Operator(Caller),
    /// A node with temporary credentials.
    Node(NodeCaller),
}

/// A node that has proved who it is.
#[derive(Clone, Debug)]
pub struct NodeCaller {
    /// `mi-…`
    pub id: String,
    /// The region of the credential scope, for ARNs.
    pub region: String,
}

/// A node that signed with its own key.
#[derive(Debug)]
pub struct KeyHolder {
    /// `mi-…`
    pub id: String,
    /// The key it used is the one before the last rotation.
    pub with_previous_key: bool,
}

/// Verifies the HMAC signature of a request to `service`.
///
/// # Errors
/// Those of [`signature::read`]; `UnrecognizedClientException` for a key or a session token that
/// the hub doesn't know, `InvalidSignatureException` for a signature made with another secret,
/// `ExpiredTokenException` for temporary credentials past their time.
pub async fn by_secret(
    app: &App,
    request: &Request,
    service: &str,
    now: Utc,
) -> ApiResult<Identity> {
    let claim = signature::read(request, service, Coverage::All, now)?;
    if node_credentials::is_one(&claim.key) {
        node(app, &claim, now).await.map(Identity::Node)
    } else {
        operator(app, &claim).await.map(Identity::Operator)
    }
}

async fn operator(app: &App, claim: &Claim<'_>) -> ApiResult<Caller> {
    let secret = operator_keys::secret(&app.store, &app.seal, &claim.key).await?;
    // An operator's key has no session token, so one that comes along belongs to another key.
    let (Some(secret), None) = (secret, claim.token) else { return Err(unrecognized()) };
    if !claim.is_signed_with(&secret) {
        return Err(signature::mismatch());
    }
    Ok(Caller {
        access_key: claim.key.clone(),
        region: claim.scope.region.clone(),
        endpoint: String::new(),
        login: String::new(),
    })
}

async fn node(app: &App, claim: &Claim<'_>, now: Utc) -> ApiResult<NodeCaller> {
    let known = node_credentials::find(&app.store, &app.seal, &claim.key).await?;
    let known = known.filter(|known| claim.token.is_some_and(|token| known.has_token(token)));
    let known = known.ok_or_else(unrecognized)?;
    if !claim.is_signed_with(&known.secret) {
        return Err(signature::mismatch());
    }
    if now >= known.expires {
        return Err(ApiError::new(
            "ExpiredTokenException",
            "The security token included in the request is expired",
        ));
    }
    Ok(NodeCaller { id: known.node, region: claim.scope.region.clone() })
}

fn unrecognized() -> ApiError {
    ApiError::new(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
}

#[derive(sqlx::FromRow)]
struct Keys {
    key_type: String,
    public_key: String,
    previous_key_type: Option<String>,
    previous_public_key: Option<String>,
}

/// Verifies a request that a node signed with its own key. The key before the last rotation is
/// good until the new one has been used once; then it is forgotten.
///
/// # Errors
/// Those of [`signature::read`]; `AccessDeniedException` for a node that isn't registered (agents
/// then stay quiet for long, which is meant), `InvalidSignatureException` for another key.
pub async fn by_node_key(app: &App, request: &Request, now: Utc) -> ApiResult<KeyHolder> {
    let claim = signature::read(request, ssm::SERVICE, Coverage::AllButContentHash, now)?;
    let keys: Option<Keys> = sqlx::query_as(
        "SELECT key_type, public_key, previous_key_type, previous_public_key
         FROM node WHERE id = $1",
    )
    .bind(&claim.key)
    .fetch_optional(&app.store.read)
    .await?;
    let keys = keys.ok_or_else(|| {
        ApiError::access_denied(format!(
            "{} is not registered with this hub. Register it with an activation.",
            claim.key
        ))
    })?;
    if made(&claim, &keys.key_type, &keys.public_key) {
        if keys.previous_public_key.is_some() {
            forget_previous(app, &claim.key, &keys.public_key).await?;
        }
        return Ok(KeyHolder { id: claim.key, with_previous_key: false });
    }
    let by_previous = match (&keys.previous_key_type, &keys.previous_public_key) {
        (Some(kind), Some(key)) => made(&claim, kind, key),
        _ => false,
    };
    if !by_previous {
        return Err(signature::mismatch());
    }
    Ok(KeyHolder { id: claim.key, with_previous_key: true })
}

fn made(claim: &Claim<'_>, kind: &str, key: &str) -> bool {
    NodeKey::parse(kind, key)
        .is_ok_and(|key| key.verifies(claim.string_to_sign.as_bytes(), &claim.signature))
}

/// `used` guards against a rotation that happened since the key was read.
async fn forget_previous(app: &App, node: &str, used: &str) -> ApiResult<()> {
    sqlx::query(
        "UPDATE node SET previous_key_type = NULL, previous_public_key = NULL
         WHERE id = $1 AND public_key = $2",
    )
    .bind(node)
    .bind(used)
    .execute(&app.store.write)
    .await?;
    Ok(())
}
