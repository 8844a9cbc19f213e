//! ListDocumentVersions.

use super::document::Summary;
use super::find::find;
use super::table;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::{paging, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

const OPERATION: &str = "ListDocumentVersions";

/// ListDocumentVersions' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    name: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// ListDocumentVersions: newest first.
///
/// # Errors
/// `InvalidDocument`, `InvalidNextToken`.
pub async fn list(app: &App, input: List) -> ApiResult<Value> {
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let before = match start {
        None => i64::MAX,
        Some([version]) => version.parse().map_err(|_| paging::invalid(OPERATION))?,
    };
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let document = find(app, &input.name, None).await?.summary;
    let rows = if document.built_in {
        vec![document]
    } else {
        table::versions(&app.store.read, &document.name, before, limit.saturating_add(1)).await?
    };
    if rows.is_empty() {
        // The model has no empty list here: all that were left have been deleted meanwhile.
        return Err(ApiError::new("InvalidNextToken", "There are no older versions any more."));
    }
    let (page, next) = paging::page(OPERATION, rows, limit, |row| vec![row.version.to_string()]);
    let list: Vec<Value> = page.iter().map(version).collect();
    Ok(present(json!({"DocumentVersions": list, "NextToken": next})))
}

fn version(row: &Summary) -> Value {
    present(json!({
        "Name": row.name,
        "DisplayName": row.display_name,
        "DocumentVersion": row.version.to_string(),
        "VersionName": row.version_name,
        "CreatedDate": timestamp(row.created_at),
        "IsDefaultVersion": row.version == row.default_version,
        "DocumentFormat": row.document_format,
        "Status": "Active",
        "ReviewStatus": row.review_status,
    }))
}
