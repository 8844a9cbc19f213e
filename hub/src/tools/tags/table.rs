//! The table of tags.

use super::Tag;
use crate::error::ApiResult;
use sqlx::{Any, AnyPool, Transaction};

/// The resource type of managed nodes, as the model spells it.
pub const MANAGED_INSTANCE: &str = "ManagedInstance";

/// The resource type under which an activation's tags are kept; no operation names it.
pub const ACTIVATION: &str = "Activation";

/// The tags of a resource, by key.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn of(pool: &AnyPool, resource_type: &str, resource_id: &str) -> ApiResult<Vec<Tag>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT tag_key, tag_value FROM tag WHERE resource_type = $1 AND resource_id = $2 ORDER BY tag_key",
    )
    .bind(resource_type)
    .bind(resource_id)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(key, value)| Tag { key, value }).collect())
}

/// Sets tags; others stay.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn put(
    tx: &mut Transaction<'static, Any>,
    resource_type: &str,
    resource_id: &str,
    tags: &[Tag],
) -> ApiResult<()> {
    for tag in tags {
        sqlx::query(
            "INSERT INTO tag (resource_type, resource_id, tag_key, tag_value) VALUES ($1, $2, $3, $4) ON CONFLICT (resource_type, resource_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value",
        )
        .bind(resource_type)
        .bind(resource_id)
        .bind(&tag.key)
        .bind(&tag.value)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
