//! Tags: names and values that operators give to what they manage.
//!
//! Never here: what a tag means. Other tools select by tags; they ask this folder's table.

mod rules;
mod table;

pub use rules::{MOST_TAGS, Tag, check};
pub use table::{ACTIVATION, DOCUMENT, MANAGED_INSTANCE, PARAMETER, forget, of, of_all, put};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};

/// The input of the three operations; each uses its part.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Input {
    resource_type: String,
    resource_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// AddTagsToResource: adds tags, or gives those that are there a new value.
///
/// # Errors
/// `InvalidResourceId`, `TooManyTagsError` above 50, `ValidationException` for a reserved or
/// repeated key.
pub async fn add(app: &App, input: Input) -> ApiResult<Value> {
    check(&input.tags).map_err(ApiError::validation)?;
    let mut tx = app.store.begin().await?;
    require(&mut tx, &input).await?;
    put(&mut tx, &input.resource_type, &input.resource_id, &input.tags).await?;
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM tag WHERE resource_type = $1 AND resource_id = $2")
            .bind(&input.resource_type)
            .bind(&input.resource_id)
            .fetch_one(&mut *tx)
            .await?;
    if count > MOST_TAGS as i64 {
        return Err(ApiError::new(
            "TooManyTagsError",
            format!(
                "{} would have {count} tags; the most is {MOST_TAGS}. Remove some first.",
                input.resource_id
            ),
        ));
    }
    tx.commit().await?;
    Ok(json!({}))
}

/// ListTagsForResource: by key.
///
/// # Errors
/// `InvalidResourceId`.
pub async fn list(app: &App, input: Input) -> ApiResult<Value> {
    let mut tx = app.store.read.begin().await?;
    require(&mut tx, &input).await?;
    tx.commit().await?;
    let tags = of(&app.store.read, &input.resource_type, &input.resource_id).await?;
    Ok(json!({"TagList": tags}))
}

/// RemoveTagsFromResource: keys that are not there are no error.
///
/// # Errors
/// `InvalidResourceId`.
pub async fn remove(app: &App, input: Input) -> ApiResult<Value> {
    let mut tx = app.store.begin().await?;
    require(&mut tx, &input).await?;
    for key in &input.tag_keys {
        sqlx::query(
            "DELETE FROM tag WHERE resource_type = $1 AND resource_id = $2 AND tag_key = $3",
        )
        .bind(&input.resource_type)
        .bind(&input.resource_id)
        .bind(key)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(json!({}))
}

/// That the resource exists. The types that the model has and the hub lacks have no resources.
async fn require(tx: &mut Transaction<'static, Any>, input: &Input) -> ApiResult<()> {
    let table = match input.resource_type.as_str() {
        MANAGED_INSTANCE => Some("SELECT id FROM node WHERE id = $1"),
        DOCUMENT => Some("SELECT name FROM document WHERE name = $1"),
        PARAMETER => Some("SELECT name FROM parameter WHERE name = $1"),
        _ => None,
    };
    let known = match table {
        Some(sql) => sqlx::query(sql).bind(&input.resource_id).fetch_optional(&mut **tx).await?,
        None => None,
    };
    if known.is_some() {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidResourceId",
        format!(
            "There is no {} {}. Verify the ID and try again.",
            input.resource_type, input.resource_id
        ),
    ))
}

#[cfg(test)]
mod tests;
