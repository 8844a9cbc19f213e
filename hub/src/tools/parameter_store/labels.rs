//! LabelParameterVersion, UnlabelParameterVersion.

use super::selector::is_label;
use super::{name, not_found, version_not_found};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};

/// Labels of one version.
const MOST_LABELS: usize = 10;

/// LabelParameterVersion's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Label {
    name: String,
    parameter_version: Option<i64>,
    labels: Vec<String>,
}

/// UnlabelParameterVersion's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Unlabel {
    name: String,
    parameter_version: i64,
    labels: Vec<String>,
}

/// LabelParameterVersion: a label that another version has moves. Those that can't be labels are
/// listed as invalid, and the others are set.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`, `ParameterVersionLabelLimitExceeded`.
pub async fn label(app: &App, input: Label) -> ApiResult<Value> {
    let name = name::trimmed(&input.name);
    let mut tx = app.store.begin().await?;
    let version = version(&mut tx, name, input.parameter_version).await?;
    let (good, invalid): (Vec<&String>, Vec<&String>) =
        input.labels.iter().partition(|label| is_label(label));
    let mut labels = labels_of(&mut tx, name, version).await?;
    for label in good {
        if labels.contains(label) {
            continue;
        }
        sqlx::query(
            "INSERT INTO parameter_label (name, label, version) VALUES ($1, $2, $3)
             ON CONFLICT (name, label) DO UPDATE SET version = excluded.version",
        )
        .bind(name)
        .bind(label)
        .bind(version)
        .execute(&mut *tx)
        .await?;
        labels.push(label.clone());
    }
    // Nothing of it stays: the transaction is dropped.
    if labels.len() > MOST_LABELS {
        return Err(ApiError::new(
            "ParameterVersionLabelLimitExceeded",
            format!(
                "Version {version} of {name} would have {} labels; the most is {MOST_LABELS}. \
                 Remove or move some first.",
                labels.len()
            ),
        ));
    }
    tx.commit().await?;
    Ok(json!({"InvalidLabels": invalid, "ParameterVersion": version}))
}

/// UnlabelParameterVersion: labels that the version doesn't have are listed as invalid.
///
/// # Errors
/// `ParameterNotFound`, `ParameterVersionNotFound`.
pub async fn unlabel(app: &App, input: Unlabel) -> ApiResult<Value> {
    let name = name::trimmed(&input.name);
    let mut tx = app.store.begin().await?;
    let version = version(&mut tx, name, Some(input.parameter_version)).await?;
    let (mut removed, mut invalid) = (Vec::new(), Vec::new());
    for label in &input.labels {
        if removed.contains(&label) {
            continue;
        }
        let done = sqlx::query(
            "DELETE FROM parameter_label WHERE name = $1 AND label = $2 AND version = $3",
        )
        .bind(name)
        .bind(label)
        .bind(version)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() > 0 { removed.push(label) } else { invalid.push(label) }
    }
    tx.commit().await?;
    Ok(json!({"RemovedLabels": removed, "InvalidLabels": invalid}))
}

/// The version asked for, which exists; the newest when none is.
async fn version(
    tx: &mut Transaction<'static, Any>,
    name: &str,
    asked: Option<i64>,
) -> ApiResult<i64> {
    let latest: Option<(i64,)> = sqlx::query_as("SELECT latest FROM parameter WHERE name = $1")
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?;
    let (latest,) = latest.ok_or_else(|| not_found(name))?;
    let Some(asked) = asked else { return Ok(latest) };
    let found: Option<(i64,)> =
        sqlx::query_as("SELECT version FROM parameter_version WHERE name = $1 AND version = $2")
            .bind(name)
            .bind(asked)
            .fetch_optional(&mut **tx)
            .await?;
    found.map(|(version,)| version).ok_or_else(|| version_not_found(name, &asked.to_string()))
}

async fn labels_of(
    tx: &mut Transaction<'static, Any>,
    name: &str,
    version: i64,
) -> ApiResult<Vec<String>> {
    let rows: Vec<(String,)> =
        sqlx::query_as("SELECT label FROM parameter_label WHERE name = $1 AND version = $2")
            .bind(name)
            .bind(version)
            .fetch_all(&mut **tx)
            .await?;
    Ok(rows.into_iter().map(|(label,)| label).collect())
}
