//! DeleteDocument.

use super::find::{Named, refuse_built_in};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::tags::{self, DOCUMENT};
use serde::Deserialize;
use serde_json::{Value, json};

/// DeleteDocument's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Delete {
    #[serde(flatten)]
    named: Named,
    #[serde(default)]
    force: bool,
}

/// DeleteDocument: one version that is not the default, or the whole document with its tags.
/// Commands under way keep what they were sent with.
///
/// # Errors
/// `InvalidDocument`; `InvalidDocumentOperation` for a built-in document, the default version, a
/// document that is shared, a version that is not there, and an ApplicationConfigurationSchema
/// without Force.
pub async fn delete(app: &App, input: Delete) -> ApiResult<Value> {
    let named = input.named;
    refuse_built_in(&named.name, "InvalidDocumentOperation")?;
    let refused = |what: String| ApiError::new("InvalidDocumentOperation", what);
    let found = named.find(app).await.map_err(|error| match error.code {
        // No error of this operation's.
        "InvalidDocumentVersion" => refused(error.message),
        _ => error,
    })?;
    let summary = found.summary;
    if summary.document_type == "ApplicationConfigurationSchema" && !input.force {
        return Err(refused(format!("{} is a schema that others need; say Force.", summary.name)));
    }
    let mut tx = app.store.begin().await?;
    if named.document_version.is_some() || named.version_name.is_some() {
        let deleted = sqlx::query(
            "DELETE FROM document_version WHERE name = $1 AND version = $2
               AND version <> (SELECT default_version FROM document WHERE name = $1)",
        )
        .bind(&summary.name)
        .bind(summary.version)
        .execute(&mut *tx)
        .await?;
        if deleted.rows_affected() == 0 {
            return Err(refused(format!(
                "Version {} of {} is its default. Make another the default first, or delete the \
                 whole document.",
                summary.version, summary.name
            )));
        }
    } else {
        let shared: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM document_permission WHERE name = $1")
                .bind(&summary.name)
                .fetch_one(&mut *tx)
                .await?;
        if shared > 0 {
            return Err(refused(format!(
                "{} is shared with {shared} accounts. Take that back first with \
                 ModifyDocumentPermission.",
                summary.name
            )));
        }
        sqlx::query("DELETE FROM document WHERE name = $1")
            .bind(&summary.name)
            .execute(&mut *tx)
            .await?;
        tags::forget(&mut tx, DOCUMENT, &summary.name).await?;
    }
    tx.commit().await?;
    Ok(json!({}))
}
