//! UpdateDocumentMetadata and ListDocumentMetadataHistory: the reviews of change templates.

use super::create::CHANGE_TEMPLATE;
use super::find::{find, refuse_built_in};
use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use crate::store::select::{Bound, Select};
use crate::tools::{paging, present, timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;

const OPERATION: &str = "ListDocumentMetadataHistory";

/// UpdateDocumentMetadata's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Update {
    name: String,
    document_version: Option<String>,
    document_reviews: Reviews,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reviews {
    action: String,
    #[serde(default)]
    comment: Vec<Value>,
}

/// UpdateDocumentMetadata: a step in the review of a version of a change template.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`, `InvalidDocumentOperation` for a document of
/// another type, and for a verdict on what was not sent for review.
pub async fn update(app: &App, caller: &Caller, input: Update) -> ApiResult<Value> {
    refuse_built_in(&input.name, "InvalidDocumentOperation")?;
    let version = input.document_version.as_deref().unwrap_or("$LATEST");
    let found = find(app, &input.name, Some(version)).await?.summary;
    let refused = |what: String| ApiError::new("InvalidDocumentOperation", what);
    if found.document_type != CHANGE_TEMPLATE {
        return Err(refused(format!(
            "{} is of type {}; only documents of type {CHANGE_TEMPLATE} are reviewed.",
            found.name, found.document_type
        )));
    }
    let mut tx = app.store.begin().await?;
    let before: Option<String> = sqlx::query_scalar(
        "SELECT review_status FROM document_version WHERE name = $1 AND version = $2",
    )
    .bind(&found.name)
    .bind(found.version)
    .fetch_one(&mut *tx)
    .await?;
    let before = before.unwrap_or_else(|| "NOT_REVIEWED".to_owned());
    let after = match (input.document_reviews.action.as_str(), before.as_str()) {
        ("SendForReview", _) => "PENDING",
        ("UpdateReview", same) => same,
        ("Approve", "PENDING") => "APPROVED",
        ("Reject", "PENDING") => "REJECTED",
        (action, before) => {
            return Err(refused(format!(
                "Version {} of {} is {before}; {action} needs one that is PENDING. Say \
                 SendForReview first.",
                found.version, found.name
            )));
        }
    };
    sqlx::query("UPDATE document_version SET review_status = $3 WHERE name = $1 AND version = $2")
        .bind(&found.name)
        .bind(found.version)
        .bind(after)
        .execute(&mut *tx)
        .await?;
    let earlier: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM document_review WHERE name = $1 AND version = $2")
            .bind(&found.name)
            .bind(found.version)
            .fetch_one(&mut *tx)
            .await?;
    sqlx::query(
        "INSERT INTO document_review
           (name, version, position, status, reviewer, comments, reviewed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&found.name)
    .bind(found.version)
    .bind(earlier + 1)
    .bind(after)
    .bind(&caller.access_key)
    .bind(json!(input.document_reviews.comment).to_string())
    .bind(app.now().0 as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(json!({}))
}

/// ListDocumentMetadataHistory's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct History {
    name: String,
    document_version: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(FromRow)]
struct Review {
    position: i64,
    status: String,
    reviewer: String,
    comments: String,
    reviewed_at: i64,
}

/// ListDocumentMetadataHistory: the steps of a version's review, newest first.
///
/// # Errors
/// `InvalidDocument`, `InvalidDocumentVersion`, `InvalidNextToken`.
pub async fn history(app: &App, input: History) -> ApiResult<Value> {
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let before: i64 = match start {
        None => i64::MAX,
        Some([position]) => position.parse().map_err(|_| paging::invalid(OPERATION))?,
    };
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let found = find(app, &input.name, input.document_version.as_deref()).await?.summary;
    let rows: Vec<Review> = Select::new(
        "SELECT position, status, reviewer, comments, reviewed_at FROM document_review",
    )
    .and(
        "name = ? AND version = ? AND position < ?",
        [Bound::from(&found.name), Bound::from(found.version), Bound::from(before)],
    )
    .rows("ORDER BY position DESC", Some(limit.saturating_add(1)), &app.store.read)
    .await?;
    let (page, next) = paging::page(OPERATION, rows, limit, |row| vec![row.position.to_string()]);
    let responses: Vec<Value> = page
        .iter()
        .map(|row| {
            let comments: Value = serde_json::from_str(&row.comments).unwrap_or_default();
            json!({
                "CreateTime": timestamp(row.reviewed_at),
                "UpdatedTime": timestamp(row.reviewed_at),
                "ReviewStatus": row.status,
                "Comment": comments,
                "Reviewer": row.reviewer,
            })
        })
        .collect();
    Ok(present(json!({
        "Name": found.name,
        "DocumentVersion": found.version.to_string(),
        "Metadata": {"ReviewerResponse": responses},
        "NextToken": next,
    })))
}
