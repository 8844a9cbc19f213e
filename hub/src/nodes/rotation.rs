//! UpdateManagedInstancePublicKey: a node replaces its key.

use super::input;
use crate::app::App;
use crate::auth::identity::KeyHolder;
use crate::auth::node_key::NodeKey;
use crate::error::{ApiError, ApiResult};
use crate::store::Store;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use stint_wire::keys::KeyType;

/// Answers the operation. The key that signed stays good until the new one has been used once,
/// so that a node which never saw the answer can go on with either.
///
/// # Errors
/// `ValidationException` for an unfit key, and for one that another node has.
pub async fn rotate(app: &App, holder: &KeyHolder, input: &Value) -> ApiResult<Value> {
    let key = input::required(input, "NewPublicKey", 1, 4096)?;
    let kind = input::required(input, "NewPublicKeyType", 1, 16)?;
    NodeKey::parse(kind, key).map_err(ApiError::validation)?;
    let kind = KeyType::parse(kind).map_or(kind, |kind| kind.as_str());
    let mut transaction = app.store.begin().await?;
    check_is_no_other_s(&mut transaction, &holder.id, key).await?;
    // Signed with the previous key, the request repeats or replaces a rotation whose answer was
    // lost: the key that signed stays the previous one.
    let sql = if holder.with_previous_key {
        "UPDATE node SET key_type = $1, public_key = $2 WHERE id = $3"
    } else {
        "UPDATE node SET previous_key_type = key_type, previous_public_key = public_key,
                         key_type = $1, public_key = $2
         WHERE id = $3 AND public_key <> $2"
    };
    sqlx::query(sql).bind(kind).bind(key).bind(&holder.id).execute(&mut *transaction).await?;
    sqlx::query("UPDATE node SET rotate_key = 0 WHERE id = $1")
        .bind(&holder.id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    // With the key itself, which is no secret: so a hub that is restored from a backup can be told it.
    tracing::info!(node = holder.id, kind, key, "the node has replaced its key");
    Ok(json!({}))
}

async fn check_is_no_other_s(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    key: &str,
) -> ApiResult<()> {
    let taken: Option<String> = sqlx::query_scalar(
        "SELECT other.id FROM node AS other JOIN node ON node.activation_id = other.activation_id
         WHERE node.id = $1 AND other.id <> $1 AND other.public_key = $2",
    )
    .bind(node)
    .bind(key)
    .fetch_optional(&mut **transaction)
    .await?;
    match taken {
        Some(_) => Err(ApiError::validation("the new public key belongs to another node")),
        None => Ok(()),
    }
}

/// Puts the key in that a node is known to have, as text: after the hub was restored from a backup that has an
/// older one. No key before it is good any more. Whether there is such a node.
///
/// # Errors
/// `ValidationException` for an unfit key, and for one that another node has; those of the database.
pub async fn set(store: &Store, node: &str, key: &str) -> ApiResult<bool> {
    let parse = |kind: KeyType| NodeKey::parse(kind.as_str(), key).map(|_| kind.as_str());
    let kind = parse(KeyType::Ed25519).or_else(|not_ed25519| {
        let wrong = |not_rsa| format!("this is no key of a node: {not_ed25519}; {not_rsa}");
        parse(KeyType::Rsa).map_err(wrong)
    });
    let kind = kind.map_err(ApiError::validation)?;
    let mut transaction = store.begin().await?;
    check_is_no_other_s(&mut transaction, node, key).await?;
    let set = sqlx::query(
        "UPDATE node SET key_type = $1, public_key = $2, rotate_key = 0,
           previous_key_type = NULL, previous_public_key = NULL
         WHERE id = $3",
    )
    .bind(kind)
    .bind(key)
    .bind(node)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(set.rows_affected() > 0)
}

/// Tells a node to change its key when it next asks for credentials, which nodes do every half
/// hour. Whether there is such a node.
///
/// # Errors
/// Those of the database.
pub async fn wish(store: &Store, node: &str) -> ApiResult<bool> {
    let told = sqlx::query("UPDATE node SET rotate_key = 1 WHERE id = $1")
        .bind(node)
        .execute(&store.write)
        .await?;
    Ok(told.rows_affected() > 0)
}

/// Whether the node is to change its key.
///
/// # Errors
/// Those of the database.
pub async fn is_wished(app: &App, node: &str) -> ApiResult<bool> {
    let wished: Option<i64> = sqlx::query_scalar("SELECT rotate_key FROM node WHERE id = $1")
        .bind(node)
        .fetch_optional(&app.store.read)
        .await?;
    Ok(wished == Some(1))
}
