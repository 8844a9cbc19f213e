//! DeleteParameter, DeleteParameters.

use super::{name, not_found};
use crate::app::App;
use crate::error::ApiResult;
use crate::tools::tags::PARAMETER;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};

/// DeleteParameter's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Delete {
    name: String,
}

/// DeleteParameters' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSeveral {
    names: Vec<String>,
}

/// DeleteParameter: with all versions, labels and tags.
///
/// # Errors
/// `ParameterNotFound`.
pub async fn delete(app: &App, input: Delete) -> ApiResult<Value> {
    let name = name::trimmed(&input.name);
    let mut tx = app.store.begin().await?;
    if !remove(&mut tx, name).await? {
        return Err(not_found(name));
    }
    tx.commit().await?;
    Ok(json!({}))
}

/// DeleteParameters: those that are not there are listed as invalid.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn delete_several(app: &App, input: DeleteSeveral) -> ApiResult<Value> {
    let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
    let mut tx = app.store.begin().await?;
    for name in input.names.iter().map(|name| name::trimmed(name)) {
        if deleted.contains(&name) || invalid.contains(&name) {
            continue;
        }
        let list = if remove(&mut tx, name).await? { &mut deleted } else { &mut invalid };
        list.push(name);
    }
    tx.commit().await?;
    Ok(json!({"DeletedParameters": deleted, "InvalidParameters": invalid}))
}

/// Deletes a parameter with all that belongs to it. `false` if there was none.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn remove(tx: &mut Transaction<'static, Any>, name: &str) -> ApiResult<bool> {
    sqlx::query("DELETE FROM tag WHERE resource_type = $1 AND resource_id = $2")
        .bind(PARAMETER)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    // Versions and labels go with it.
    let done =
        sqlx::query("DELETE FROM parameter WHERE name = $1").bind(name).execute(&mut **tx).await?;
    Ok(done.rows_affected() > 0)
}
