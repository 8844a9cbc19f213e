//! RegisterManagedInstance: an activation's code makes a device a managed node.

use super::input;
use crate::app::App;
use crate::auth::node_key::NodeKey;
use crate::error::{ApiError, ApiResult};
use crate::random;
use serde_json::{Value, json};
use sqlx::{Any, AnyConnection, Transaction};
use stint_wire::keys::{KeyType, parse_ed25519_public_key};
use stint_wire::time::Utc;
use stint_wire::{ids, text};
use subtle::ConstantTimeEq;

/// Tags of activations, which their nodes inherit, are kept under this resource type.
pub const ACTIVATION_TAGS: &str = "Activation";
/// Tags of nodes are kept under this resource type, which is the API's word for them.
pub const NODE_TAGS: &str = "ManagedInstance";

/// The code of every refusal.
const REFUSED: &str = "InvalidActivation";

#[derive(sqlx::FromRow)]
struct Activation {
    code_hash: String,
    default_name: Option<String>,
    iam_role: String,
    registration_limit: i64,
    registrations_count: i64,
    expires_at: i64,
}

/// A device that wants to be a node.
pub struct Applicant<'a> {
    /// The activation's id.
    pub activation: &'a str,
    /// The activation's code.
    pub code: &'a str,
    /// The device's own mark, kept and never looked at.
    pub fingerprint: &'a str,
    /// The kind of its key.
    pub key_type: KeyType,
    /// Its public key, as the member `PublicKey` has it.
    pub public_key: &'a str,
}

/// Answers the operation: the id of a new node, or of the one that registered with this key
/// before and lost the answer.
///
/// # Errors
/// `InvalidActivation` for one that is unknown, deleted, expired or used up, and for a wrong
/// code; `ValidationException` for a malformed member or an unfit key.
pub async fn register(app: &App, input: &Value, now: Utc) -> ApiResult<Value> {
    let request = Applicant::read(input)?;
    check(app, &request).await?;
    let mut transaction = app.store.begin().await?;
    let (node, is_new) = admit(&mut transaction, &request, now).await?;
    if !is_new {
        // One that came by the BootAgent protocol polls for messages from now on.
        sqlx::query("UPDATE boot_agent SET only_this = 0 WHERE node_id = $1")
            .bind(&node)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    tracing::info!(%node, activation = request.activation, "registered");
    Ok(json!({"InstanceId": node}))
}

/// That the activation is there and the code is its own. Asked before the single writer is:
/// strangers may try as often as they like.
///
/// # Errors
/// `InvalidActivation`.
pub async fn check(app: &App, applicant: &Applicant<'_>) -> ApiResult<()> {
    find(&mut *app.store.read.acquire().await?, applicant).await.map(drop)
}

/// The node of this key, and whether it is new.
///
/// # Errors
/// `InvalidActivation`.
pub async fn admit(
    transaction: &mut Transaction<'_, Any>,
    applicant: &Applicant<'_>,
    now: Utc,
) -> ApiResult<(String, bool)> {
    let activation = find(transaction, applicant).await?;
    if let Some(node) = registered_before(transaction, applicant).await? {
        return Ok((node, false));
    }
    count(transaction, applicant.activation, &activation, now).await?;
    Ok((insert(transaction, applicant, &activation, now).await?, true))
}

/// The Ed25519 key in the column `public_key`; `None` for a key of another kind.
pub fn key_of(public_key: &str) -> Option<[u8; 32]> {
    parse_ed25519_public_key(public_key)
}

impl Applicant<'_> {
    fn read(input: &Value) -> ApiResult<Applicant<'_>> {
        let activation = input::required(input, "ActivationId", 36, 36)?;
        let code = input::required(input, "ActivationCode", 20, 250)?;
        let fingerprint = input::required(input, "Fingerprint", 1, 256)?;
        let public_key = input::required(input, "PublicKey", 1, 4096)?;
        let kind = input::required(input, "PublicKeyType", 1, 16)?;
        NodeKey::parse(kind, public_key).map_err(ApiError::validation)?;
        let key_type = KeyType::parse(kind)
            .ok_or_else(|| ApiError::validation(format!("the key type '{kind}' is unknown")))?;
        Ok(Applicant { activation, code, fingerprint, key_type, public_key })
    }
}

/// The activation, if the code is its own.
async fn find(connection: &mut AnyConnection, request: &Applicant<'_>) -> ApiResult<Activation> {
    let activation: Option<Activation> = sqlx::query_as(
        "SELECT code_hash, default_name, iam_role, registration_limit, registrations_count,
                expires_at
         FROM activation WHERE id = $1",
    )
    .bind(request.activation)
    .fetch_optional(connection)
    .await?;
    let hash = text::sha256_hex(request.code.as_bytes());
    // One answer for both, so that nobody learns which ids exist.
    activation
        .filter(|activation| activation.code_hash.as_bytes().ct_eq(hash.as_bytes()).into())
        .ok_or_else(|| {
            ApiError::new(
                REFUSED,
                "The activation isn't valid. The activation might have been deleted, or the \
                 ActivationId and the ActivationCode don't match.",
            )
        })
}

async fn registered_before(
    transaction: &mut Transaction<'_, Any>,
    request: &Applicant<'_>,
) -> ApiResult<Option<String>> {
    Ok(sqlx::query_scalar("SELECT id FROM node WHERE activation_id = $1 AND public_key = $2")
        .bind(request.activation)
        .bind(request.public_key)
        .fetch_optional(&mut **transaction)
        .await?)
}

/// Uses up one registration. The conditions stand in the statement, so that two hubs on one
/// database can't both take the last.
async fn count(
    transaction: &mut Transaction<'_, Any>,
    id: &str,
    activation: &Activation,
    now: Utc,
) -> ApiResult<()> {
    let counted = sqlx::query(
        "UPDATE activation SET registrations_count = registrations_count + 1
         WHERE id = $1 AND registrations_count < registration_limit AND expires_at > $2",
    )
    .bind(id)
    .bind(now.0 as i64)
    .execute(&mut **transaction)
    .await?;
    if counted.rows_affected() == 1 {
        return Ok(());
    }
    let reason = if activation.expires_at <= now.0 as i64 {
        format!("it expired at {}", Utc(activation.expires_at.unsigned_abs()).iso())
    } else {
        format!(
            "{} of {} registrations are used",
            activation.registrations_count, activation.registration_limit
        )
    };
    Err(ApiError::new(
        REFUSED,
        format!("The activation isn't valid: {reason}. Create another activation."),
    ))
}

async fn insert(
    transaction: &mut Transaction<'_, Any>,
    request: &Applicant<'_>,
    activation: &Activation,
    now: Utc,
) -> ApiResult<String> {
    let node = ids::managed_node_id(random::bytes()?);
    sqlx::query(
        "INSERT INTO node (id, activation_id, name, iam_role, key_type, public_key, fingerprint,
                           registered_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&node)
    .bind(request.activation)
    .bind(activation.default_name.as_deref())
    .bind(&activation.iam_role)
    .bind(request.key_type.as_str())
    .bind(request.public_key)
    .bind(request.fingerprint)
    .bind(now.0 as i64)
    .execute(&mut **transaction)
    .await?;
    sqlx::query(
        "INSERT INTO tag (resource_type, resource_id, tag_key, tag_value)
         SELECT $1, $2, tag_key, tag_value FROM tag WHERE resource_type = $3 AND resource_id = $4",
    )
    .bind(NODE_TAGS)
    .bind(&node)
    .bind(ACTIVATION_TAGS)
    .bind(request.activation)
    .execute(&mut **transaction)
    .await?;
    Ok(node)
}

/// A registered node for the tests of other operations.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::auth::identity::NodeCaller;
    use stint_wire::keys::ed25519_public_key;

    pub const ACTIVATION: &str = "11111111-2222-3333-4444-555555555555";
    pub const CODE: &str = "abcdefghijABCDEFGHIJ";

    /// An activation for `limit` nodes that expires at `expires_at`.
    pub async fn activation(app: &App, limit: i64, expires_at: i64) {
        sqlx::query(
            "INSERT INTO activation (id, code_hash, default_name, iam_role, registration_limit,
                                     registrations_count, expires_at, created_at)
             VALUES ($1, $2, 'router', 'role', $3, 0, $4, 0)",
        )
        .bind(ACTIVATION)
        .bind(text::sha256_hex(CODE.as_bytes()))
        .bind(limit)
        .bind(expires_at)
        .execute(&app.store.write)
        .await
        .unwrap();
    }

    /// The input of a device whose Ed25519 key is made of `seed`.
    pub fn input(seed: u8) -> Value {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        json!({
            "ActivationId": ACTIVATION, "ActivationCode": CODE, "Fingerprint": "f",
            "PublicKey": ed25519_public_key(&key.verifying_key().to_bytes()),
            "PublicKeyType": "Ed25519",
        })
    }

    /// A node with the key of seed 1.
    pub async fn register_node(app: &App) -> NodeCaller {
        activation(app, 1, i64::MAX).await;
        let answer = register(app, &input(1), Utc(1)).await.unwrap();
        NodeCaller {
            id: answer["InstanceId"].as_str().unwrap().to_owned(),
            region: "eu-west-1".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
