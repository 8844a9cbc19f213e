//! RequestManagedInstanceRoleToken: a node's key signs, and it gets temporary credentials.

use super::sightings::{self, Device, FINGERPRINT};
use super::{input, rotation};
use crate::app::App;
use crate::auth::identity::KeyHolder;
use crate::auth::node_credentials;
use crate::error::ApiResult;
use serde_json::{Value, json};
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
    note_fingerprint(app, &holder.id, fingerprint).await?;
    let device = Device::default();
    sightings::note(app, &holder.id, FINGERPRINT, fingerprint, &device, now).await?;
    let rotate = rotation::is_wished(app, &holder.id).await?;
    let fresh = node_credentials::issue(&app.store, &app.seal, &holder.id, now).await?;
    Ok(json!({
        "AccessKeyId": fresh.access_key,
        "SecretAccessKey": *fresh.secret,
        "SessionToken": *fresh.token,
        "TokenExpirationDate": fresh.expires.0 as f64 / 1000.0,
        "UpdateKeyPair": rotate,
    }))
}

async fn note_fingerprint(app: &App, node: &str, fingerprint: &str) -> ApiResult<()> {
    let known: Option<String> = sqlx::query_scalar("SELECT fingerprint FROM node WHERE id = $1")
        .bind(node)
        .fetch_optional(&app.store.read)
        .await?;
    if known.as_deref() == Some(fingerprint) {
        return Ok(());
    }
    tracing::warn!(node, before = known, now = fingerprint, "the node's fingerprint has changed");
    sqlx::query("UPDATE node SET fingerprint = $1 WHERE id = $2")
        .bind(fingerprint)
        .bind(node)
        .execute(&app.store.write)
        .await?;
    Ok(())
}
