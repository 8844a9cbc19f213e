//! The table of tags.

use super::Tag;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use sqlx::{Any, AnyPool, Transaction};
use std::collections::HashMap;

/// The resource type of managed nodes, as the model spells it.
pub const MANAGED_INSTANCE: &str = "ManagedInstance";

/// The resource type of parameters, as the model spells it.
pub const PARAMETER: &str = "Parameter";

/// The resource type under which an activation's tags are kept; no operation names it.
pub const ACTIVATION: &str = "Activation";

/// The resource type of documents, as the model spells it.
pub const DOCUMENT: &str = "Document";

/// The tags of a resource, by key.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn of(pool: &AnyPool, resource_type: &str, resource_id: &str) -> ApiResult<Vec<Tag>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT tag_key, tag_value FROM tag WHERE resource_type = $1 AND resource_id = $2
         ORDER BY tag_key",
    )
    .bind(resource_type)
    .bind(resource_id)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(key, value)| Tag { key, value }).collect())
}

/// The tags of several resources of one type, by resource.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn of_all<'i>(
    pool: &AnyPool,
    resource_type: &str,
    resource_ids: impl IntoIterator<Item = &'i String>,
) -> ApiResult<HashMap<String, Vec<Tag>>> {
    let rows: Vec<(String, String, String)> =
        Select::new("SELECT resource_id, tag_key, tag_value FROM tag")
            .and("resource_type = ?", [Bound::from(resource_type)])
            .and_in("resource_id", resource_ids)
            .rows("ORDER BY tag_key", None, pool)
            .await?;
    let mut tags: HashMap<String, Vec<Tag>> = HashMap::new();
    for (id, key, value) in rows {
        tags.entry(id).or_default().push(Tag { key, value });
    }
    Ok(tags)
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
            "INSERT INTO tag (resource_type, resource_id, tag_key, tag_value)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (resource_type, resource_id, tag_key)
             DO UPDATE SET tag_value = excluded.tag_value",
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

/// Removes all tags of a resource that is no more.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn forget(
    tx: &mut Transaction<'static, Any>,
    resource_type: &str,
    resource_id: &str,
) -> ApiResult<()> {
    sqlx::query("DELETE FROM tag WHERE resource_type = $1 AND resource_id = $2")
        .bind(resource_type)
        .bind(resource_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
