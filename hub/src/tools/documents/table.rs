//! The tables of operators' documents.

use super::content::Content;
use super::document::{Document, Summary};
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use sqlx::{Any, AnyPool, FromRow, Transaction};

/// A transaction that writes.
pub type Tx = Transaction<'static, Any>;

/// Which version of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'w> {
    /// The one that is used when none is named.
    Default,
    /// The highest.
    Latest,
    /// By number.
    Number(i64),
    /// By the operator's own name for it.
    Named(&'w str),
}

const SUMMARY: &str = "SELECT d.name, d.document_type, d.default_version,
   (SELECT MAX(m.version) FROM document_version m WHERE m.name = d.name) AS latest_version,
   v.version, v.version_name, v.display_name, v.document_format, v.hash, v.description,
   v.schema_version, v.platforms, v.target_type, v.requires, v.attachments, v.review_status,
   v.created_at
 FROM document d JOIN document_version v ON v.name = d.name";

#[derive(FromRow)]
struct Contents {
    content: String,
    converted: Option<String>,
}

/// A version of an operator's document.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn find(pool: &AnyPool, name: &str, which: Which<'_>) -> ApiResult<Option<Document>> {
    let select = of(Select::new(SUMMARY), name, which);
    let Some(summary) = select.rows::<Summary>("", Some(1), pool).await?.pop() else {
        return Ok(None);
    };
    let contents: Option<Contents> = sqlx::query_as(
        "SELECT content, converted FROM document_version WHERE name = $1 AND version = $2",
    )
    .bind(name)
    .bind(summary.version)
    .fetch_optional(pool)
    .await?;
    Ok(contents.map(|Contents { content, converted }| {
        let json = converted.unwrap_or_else(|| content.clone());
        Document { summary, content: Content::of(&json), text: content, json }
    }))
}

fn of(select: Select, name: &str, which: Which<'_>) -> Select {
    let select = select.and("d.name = ?", [Bound::from(name)]);
    match which {
        Which::Default => select.and("v.version = d.default_version", []),
        Which::Latest => select.and(
            "v.version = (SELECT MAX(m.version) FROM document_version m WHERE m.name = d.name)",
            [],
        ),
        Which::Number(number) => select.and("v.version = ?", [Bound::from(number)]),
        Which::Named(version) => select.and("v.version_name = ?", [Bound::from(version)]),
    }
}

/// The default version of every document, by name.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn defaults(pool: &AnyPool) -> ApiResult<Vec<Summary>> {
    Select::new(SUMMARY)
        .and("v.version = d.default_version", [])
        .rows("ORDER BY d.name", None, pool)
        .await
}

/// The versions of a document below `before`, newest first.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn versions(
    pool: &AnyPool,
    name: &str,
    before: i64,
    most: i64,
) -> ApiResult<Vec<Summary>> {
    Select::new(SUMMARY)
        .and("d.name = ? AND v.version < ?", [Bound::from(name), Bound::from(before)])
        .rows("ORDER BY v.version DESC", Some(most), pool)
        .await
}

/// Stores a document's first version.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn create(tx: &mut Tx, document: &Document) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO document (name, document_type, default_version, last_version, created_at)
         VALUES ($1, $2, $3, $3, $4)",
    )
    .bind(&document.summary.name)
    .bind(&document.summary.document_type)
    .bind(document.summary.version)
    .bind(document.summary.created_at)
    .execute(&mut **tx)
    .await?;
    add(tx, document).await
}

/// Stores a further version.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn add(tx: &mut Tx, document: &Document) -> ApiResult<()> {
    let summary = &document.summary;
    sqlx::query(
        "INSERT INTO document_version (name, version, version_name, display_name,
           document_format, content, converted, hash, description, schema_version, platforms,
           target_type, requires, attachments, review_status, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(&summary.name)
    .bind(summary.version)
    .bind(&summary.version_name)
    .bind(&summary.display_name)
    .bind(&summary.document_format)
    .bind(&document.text)
    .bind((document.json != document.text).then_some(&document.json))
    .bind(&summary.hash)
    .bind(&summary.description)
    .bind(&summary.schema_version)
    .bind(&summary.platforms)
    .bind(&summary.target_type)
    .bind(&summary.requires)
    .bind(&summary.attachments)
    .bind(&summary.review_status)
    .bind(summary.created_at)
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE document SET last_version = $2 WHERE name = $1 AND last_version < $2")
        .bind(&summary.name)
        .bind(summary.version)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
