//! RequestManagedInstanceRoleToken: a node's key signs, and it gets temporary credentials.

use super::sightings::{self, Device, FINGERPRINT};
use super::{input, rotation};
use crate::app::App;
use crate::auth::identity::KeyHolder;
use crate::auth::node_credentials;
use crate::error::ApiResult;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use stint_wire::time::Utc;

/// Answers the operation. All five members are always there: the original panics without one.
///
/// A fingerprint other than the last is recorded and logged, no more: it is drawn from hardware
/// that devices change and reset in good faith, and the key alone says who they are.
///
/// # Errors
/// `ValidationException` without a fingerprint.
pub async fn issue(app: &App, holder: &KeyHolder, input: &Value, now: Utc) -> ApiResult<Value> {
    let fingerprint = input::required(input, "Fingerprint", 1, 256)?;
    let rotate = rotation::is_wished(app, &holder.id).await?;
    let device = Device::default();
    // All in one, as each transaction waits for the disk: after a hub's restart the whole fleet asks.
    let mut tx = app.store.begin().await?;
    note_fingerprint(&mut tx, &holder.id, fingerprint).await?;
    let cloned =
        sightings::note(&mut tx, &holder.id, FINGERPRINT, fingerprint, &device, now).await?;
    let fresh = node_credentials::issue(&mut tx, &app.seal, &holder.id, now).await?;
    tx.commit().await?;
    if cloned {
        sightings::warn(app, &holder.id, FINGERPRINT, &device);
    }
    Ok(json!({
        "AccessKeyId": fresh.access_key,
        "SecretAccessKey": *fresh.secret,
        "SessionToken": *fresh.token,
        "TokenExpirationDate": fresh.expires.0 as f64 / 1000.0,
        "UpdateKeyPair": rotate,
    }))
}

async fn note_fingerprint(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    fingerprint: &str,
) -> ApiResult<()> {
    let known: Option<String> = sqlx::query_scalar("SELECT fingerprint FROM node WHERE id = $1")
        .bind(node)
        .fetch_optional(&mut **tx)
        .await?;
    if known.as_deref() == Some(fingerprint) {
        return Ok(());
    }
    tracing::warn!(node, before = known, now = fingerprint, "the node's fingerprint has changed");
    sqlx::query("UPDATE node SET fingerprint = $1 WHERE id = $2")
        .bind(fingerprint)
        .bind(node)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
