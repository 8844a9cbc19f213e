//! One of two devices with the same key becomes a node of its own.
//!
//! The operator's order is an activation for one device, which the device that is meant gets with
//! the answer to its health report. It registers with it under a new key. The order stands until
//! the new node has been heard, so that a power cut in between costs nothing.

use super::registration::{ACTIVATION_TAGS, NODE_TAGS};
use super::sightings::{self, Device};
use crate::app::App;
use crate::auth::seal::Seal;
use crate::error::{ApiError, ApiResult};
use crate::random;
use crate::store::Store;
use crate::tools::uuid;
use serde_json::{Value, json};
use stint_wire::text;
use stint_wire::time::Utc;

/// How long a device may be away and still get its order, milliseconds: as long as any activation.
const LIFE: u64 = 30 * 24 * 3_600_000;

/// Characters of the code: 100 bits.
const CODE_LENGTH: usize = 20;

/// Orders that one of a node's devices becomes another node: the one with this run or hardware, or,
/// if `device` is empty, the first that is heard. Replaces an earlier order. The activation that the device is going
/// to use; `None` if there is no such node.
///
/// # Errors
/// Those of the database, the seal and the kernel's randomness.
pub async fn order(
    store: &Store,
    seal: &Seal,
    node: &str,
    device: &str,
    now: Utc,
) -> ApiResult<Option<String>> {
    let (id, code) = (uuid()?, random::text(CODE_LENGTH, random::BASE32)?);
    let mut tx = store.begin().await?;
    sqlx::query(
        "DELETE FROM activation WHERE registrations_count = 0 AND id IN
         (SELECT activation_id FROM reidentification WHERE node_id = $1)",
    )
    .bind(node)
    .execute(&mut *tx)
    .await?;
    let made = sqlx::query(
        "INSERT INTO activation (id, code_hash, description, default_name, iam_role,
           registration_limit, registrations_count, expires_at, created_at)
         SELECT $1, $2, $3, name, iam_role, 1, 0, $4, $5 FROM node WHERE id = $6",
    )
    .bind(&id)
    .bind(text::sha256_hex(code.as_bytes()))
    .bind(format!("re-identification of one device of {node}"))
    .bind(now.0.saturating_add(LIFE) as i64)
    .bind(now.0 as i64)
    .bind(node)
    .execute(&mut *tx)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query(
        "INSERT INTO tag (resource_type, resource_id, tag_key, tag_value)
         SELECT $1, $2, tag_key, tag_value FROM tag WHERE resource_type = $3 AND resource_id = $4",
    )
    .bind(ACTIVATION_TAGS)
    .bind(&id)
    .bind(NODE_TAGS)
    .bind(node)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO reidentification (node_id, activation_id, sealed_code, device, created_at)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (node_id) DO UPDATE SET activation_id = excluded.activation_id,
           sealed_code = excluded.sealed_code, device = excluded.device,
           created_at = excluded.created_at",
    )
    .bind(node)
    .bind(&id)
    .bind(seal.seal(&place(&id), &code)?)
    .bind(device)
    .bind(now.0 as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(id))
}

/// What a device of a node is to be told after its health report: `{}`, or its order. An order whose activation
/// has expired, or was deleted by an operator, is none: the device could only fail at it.
///
/// # Errors
/// Those of the database and the seal.
pub async fn word(app: &App, node: &str, device: &Device) -> ApiResult<Value> {
    let order: Option<(String, String, String)> = sqlx::query_as(
        "SELECT r.activation_id, r.sealed_code, r.device
         FROM reidentification r JOIN activation a ON a.id = r.activation_id
         WHERE r.node_id = $1 AND (a.registrations_count > 0 OR a.expires_at > $2)",
    )
    .bind(node)
    .bind(app.now().0 as i64)
    .fetch_optional(&app.store.read)
    .await?;
    // An agent that names no run doesn't know what this is about.
    let Some((id, sealed, meant)) = order.filter(|_| !device.run.is_empty()) else {
        return Ok(json!({}));
    };
    if meant.is_empty() {
        // From now on it is this one, by what survives its restart if there is such a thing.
        let mark = if device.hardware.is_empty() { &device.run } else { &device.hardware };
        let taken = sqlx::query(
            "UPDATE reidentification SET device = $1 WHERE node_id = $2 AND device = ''",
        )
        .bind(mark)
        .bind(node)
        .execute(&app.store.write)
        .await?;
        if taken.rows_affected() == 0 {
            return Ok(json!({}));
        }
    } else if meant != device.run && meant != device.hardware {
        return Ok(json!({}));
    }
    let code = app.seal.open(&place(&id), &sealed).map_err(ApiError::from)?;
    Ok(json!({"StintReidentify": {"ActivationId": id, "ActivationCode": *code}}))
}

/// A node has been heard. If it is one that an order has made, the order is done, and the other
/// device is alone with its key again.
///
/// # Errors
/// Those of the database.
pub async fn heard(app: &App, node: &str) -> ApiResult<()> {
    let done: Option<String> = sqlx::query_scalar(
        "SELECT r.node_id FROM reidentification r JOIN node n ON n.activation_id = r.activation_id
         WHERE n.id = $1",
    )
    .bind(node)
    .fetch_optional(&app.store.read)
    .await?;
    let Some(before) = done else { return Ok(()) };
    let mut tx = app.store.begin().await?;
    sqlx::query("DELETE FROM reidentification WHERE node_id = $1")
        .bind(&before)
        .execute(&mut *tx)
        .await?;
    sightings::forget(&mut tx, &before).await?;
    tx.commit().await?;
    tracing::warn!(node, before, "a device has been re-identified");
    Ok(())
}

fn place(activation: &str) -> String {
    format!("reidentification/{activation}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::nodes::registration::testing::register_node;

    fn device(run: &str, hardware: &str) -> Device {
        Device { run: run.into(), hardware: hardware.into(), ..Device::default() }
    }

    #[tokio::test]
    async fn only_the_device_that_is_meant_is_told_and_told_again() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await.id;
        assert!(order(&app.store, &app.seal, "mi-0", "", app.now()).await.unwrap().is_none());
        let told = async |run: &str, hardware: &str| {
            word(&app, &node, &device(run, hardware)).await.unwrap().get("StintReidentify").cloned()
        };
        assert!(told("r1", "h1").await.is_none());
        assert!(order(&app.store, &app.seal, &node, "", app.now()).await.unwrap().is_some());
        // Agents that know nothing of it are left alone.
        assert!(told("", "").await.is_none());
        let first = told("r1", "h1").await;
        assert!(first.is_some());
        assert!(told("r2", "h2").await.is_none());
        // After a power cut it is another run on the same hardware.
        assert_eq!(told("r3", "h1").await, first);
        // A second order replaces the first, here for a run by name.
        assert!(order(&app.store, &app.seal, &node, "r2", app.now()).await.unwrap().is_some());
        assert!(told("r1", "h1").await.is_none());
        let second = told("r2", "h1").await;
        assert!(second.is_some() && second != first);
        let (left,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM activation WHERE id <> $1")
            .bind(crate::nodes::registration::testing::ACTIVATION)
            .fetch_one(&app.store.read)
            .await
            .unwrap();
        assert_eq!(left, 1);
    }

    #[tokio::test]
    async fn an_order_whose_activation_has_expired_or_was_deleted_is_none() {
        let (app, _dir) = testing::app().await;
        let node = register_node(&app).await.id;
        let told = async || {
            let answer = word(&app, &node, &device("r1", "h1")).await.unwrap();
            answer.get("StintReidentify").is_some()
        };
        assert!(order(&app.store, &app.seal, &node, "", Utc(1)).await.unwrap().is_some());
        assert!(!told().await);
        assert!(order(&app.store, &app.seal, &node, "", app.now()).await.unwrap().is_some());
        assert!(told().await);
        sqlx::query(
            "DELETE FROM activation WHERE id IN (SELECT activation_id FROM reidentification)",
        )
        .execute(&app.store.write)
        .await
        .unwrap();
        assert!(!told().await);
    }
}
