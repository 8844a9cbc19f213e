//! UpdateDocument and UpdateDocumentDefaultVersion.

use super::attachments::{self, Source};
use super::check;
use super::create::CHANGE_TEMPLATE;
use super::document::Draft;
use super::find::{find, refuse_built_in, unknown};
use super::format::Format;
use super::table::{self, Tx};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::present;
use crate::tools::tags::{self, DOCUMENT};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most versions of a document (AWS's documentation).
const MOST_VERSIONS: i64 = 1000;

/// UpdateDocument's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Update {
    content: String,
    name: String,
    document_version: Option<String>,
    document_format: Option<String>,
    display_name: Option<String>,
    version_name: Option<String>,
    target_type: Option<String>,
    #[serde(default)]
    attachments: Vec<Source>,
}

/// UpdateDocument: stores a new version on top of the latest. The default version stays.
///
/// # Errors
/// Those of [`check::check`] and [`attachments::resolve`]; `InvalidDocument`,
/// `InvalidDocumentOperation` for a built-in document, `InvalidDocumentVersion` for a version that
/// is not the latest, `DuplicateDocumentContent`, `DuplicateDocumentVersionName`,
/// `DocumentVersionLimitExceeded`.
pub async fn update(app: &App, input: Update) -> ApiResult<Value> {
    let name = input.name.as_str();
    refuse_built_in(name, "InvalidDocumentOperation")?;
    let latest = find(app, name, Some("$LATEST")).await?.summary;
    if let Some(version) = input.document_version.as_deref() {
        let named = find(app, name, Some(version)).await?.summary;
        refuse_older(name, named.version, latest.version)?;
    }
    let format = Format::of(input.document_format.as_deref());
    let kind = latest.document_type.as_str();
    let value = check::check(kind, format, &input.content)?;
    let files = attachments::resolve(app, &input.attachments, kind, &value).await?;
    let created_at = app.now().0 as i64;
    let draft = Draft { name, document_type: kind, format, text: input.content, value, created_at };
    let mut document = draft.document();

    let mut tx = app.store.begin().await?;
    // What was read before may have changed meanwhile; now nobody else writes.
    let (default, last, highest): (i64, i64, i64) = sqlx::query_as(
        "SELECT default_version, last_version,
           (SELECT MAX(v.version) FROM document_version v WHERE v.name = d.name)
         FROM document d WHERE d.name = $1",
    )
    .bind(name)
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| unknown(name))?;
    if input.document_version.as_deref().is_some_and(|version| version != "$LATEST") {
        refuse_older(name, latest.version, highest)?;
    }
    refuse_duplicates(&mut tx, name, &document.summary.hash, input.version_name.as_deref()).await?;
    let summary = &mut document.summary;
    summary.default_version = default;
    summary.version = last + 1;
    summary.latest_version = last + 1;
    summary.version_name = input.version_name;
    summary.display_name = input.display_name.or(latest.display_name);
    summary.target_type = input.target_type.or(latest.target_type);
    summary.requires = latest.requires;
    summary.attachments = json!(files).to_string();
    summary.review_status = (kind == CHANGE_TEMPLATE).then(|| "NOT_REVIEWED".to_owned());
    table::add(&mut tx, &document).await?;
    tx.commit().await?;
    let tags = json!(tags::of(&app.store.read, DOCUMENT, name).await?);
    Ok(json!({"DocumentDescription": document.description(app, &tags)?}))
}

fn refuse_older(name: &str, version: i64, latest: i64) -> ApiResult<()> {
    if version == latest {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidDocumentVersion",
        format!(
            "Only the latest version of {name} can be updated: {latest}, or $LATEST, not {version}."
        ),
    ))
}

async fn refuse_duplicates(
    tx: &mut Tx,
    name: &str,
    hash: &str,
    version_name: Option<&str>,
) -> ApiResult<()> {
    let versions: Vec<(i64, String, Option<String>)> =
        sqlx::query_as("SELECT version, hash, version_name FROM document_version WHERE name = $1")
            .bind(name)
            .fetch_all(&mut **tx)
            .await?;
    // An older version's content may come again: it is how people go back.
    let latest = versions.iter().max_by_key(|(version, ..)| *version);
    if let Some((version, ..)) = latest.filter(|(_, known, _)| known == hash) {
        return Err(ApiError::new(
            "DuplicateDocumentContent",
            format!("The content is that of the latest version of {name}, {version}, already."),
        ));
    }
    let same_name =
        |known: &Option<String>| version_name.is_some() && known.as_deref() == version_name;
    if let Some((version, _, Some(taken))) = versions.iter().find(|(_, _, known)| same_name(known))
    {
        return Err(ApiError::new(
            "DuplicateDocumentVersionName",
            format!("Version {version} of {name} is named '{taken}' already; choose another name."),
        ));
    }
    if versions.len() as i64 >= MOST_VERSIONS {
        return Err(ApiError::new(
            "DocumentVersionLimitExceeded",
            format!(
                "{name} has {MOST_VERSIONS} versions, the most there can be; delete some first."
            ),
        ));
    }
    Ok(())
}

/// UpdateDocumentDefaultVersion's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SetDefault {
    name: String,
    document_version: String,
}

/// UpdateDocumentDefaultVersion: the version that is used when none is named.
///
/// # Errors
/// `InvalidDocument`, also for a built-in document; `InvalidDocumentVersion`.
pub async fn set_default(app: &App, input: SetDefault) -> ApiResult<Value> {
    refuse_built_in(&input.name, "InvalidDocument")?;
    let found = find(app, &input.name, Some(&input.document_version)).await?.summary;
    let set = sqlx::query(
        "UPDATE document SET default_version = $2 WHERE name = $1
           AND EXISTS (SELECT 1 FROM document_version WHERE name = $1 AND version = $2)",
    )
    .bind(&found.name)
    .bind(found.version)
    .execute(&app.store.write)
    .await?;
    if set.rows_affected() == 0 {
        // Deleted since it was found.
        return Err(ApiError::new(
            "InvalidDocumentVersion",
            format!("Document {} has no version {} any more.", found.name, found.version),
        ));
    }
    Ok(json!({"Description": present(json!({
        "Name": found.name,
        "DefaultVersion": found.version.to_string(),
        "DefaultVersionName": found.version_name,
    }))}))
}
