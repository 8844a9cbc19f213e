//! GetParameterHistory.

use super::selector::{Reference, Which};
use super::{not_found, rows};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::store::select::Bound;
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;

const OPERATION: &str = "GetParameterHistory";

/// GetParameterHistory's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct History {
    name: String,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// GetParameterHistory: every version that is kept, the oldest first.
///
/// # Errors
/// `ParameterNotFound`, `ValidationException` for a name with a version or label,
/// `InvalidNextToken`, `InvalidKeyId`.
pub async fn history(app: &App, input: History) -> ApiResult<Value> {
    let reference = Reference::parse(&input.name)?;
    if reference.which != Which::Latest {
        return Err(ApiError::validation(
            "GetParameterHistory has all versions; leave the version or label out of the name.",
        ));
    }
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let start = match paging::start::<1>(OPERATION, input.next_token.as_deref())? {
        Some([version]) => version.parse().map_err(|_| paging::invalid(OPERATION))?,
        None => 0_i64,
    };
    let name = existing(app, &reference).await?.ok_or_else(|| not_found(input.name.trim()))?;
    let rows: Vec<rows::Row> = rows::select()
        .and("v.name = ? AND v.version > ?", [Bound::from(&name), Bound::from(start)])
        .rows("ORDER BY v.version", Some(limit.saturating_add(1)), &app.store.read)
        .await?;
    let labels = labels(app, &name).await?;
    let (page, next) = paging::page(OPERATION, rows, limit, |row| vec![row.version.to_string()]);
    let mut shown = Vec::new();
    for row in page {
        let mut version = row.metadata();
        if let Some(members) = version.as_object_mut() {
            members.insert("Value".to_owned(), row.shown_value(app, input.with_decryption)?.into());
            let labels = labels.get(&row.version).cloned().unwrap_or_default();
            members.insert("Labels".to_owned(), labels.into());
        }
        shown.push(version);
    }
    Ok(present(json!({"Parameters": shown, "NextToken": next})))
}

async fn existing(app: &App, reference: &Reference) -> ApiResult<Option<String>> {
    if reference.is_of(&app.account_id) {
        for name in &reference.names {
            if rows::exists(app, name).await? {
                return Ok(Some(name.clone()));
            }
        }
    }
    Ok(None)
}

/// The labels of a parameter by version, each list in order.
async fn labels(app: &App, name: &str) -> ApiResult<HashMap<i64, Vec<String>>> {
    let rows: Vec<(i64, String)> =
        sqlx::query_as("SELECT version, label FROM parameter_label WHERE name = $1 ORDER BY label")
            .bind(name)
            .fetch_all(&app.store.read)
            .await?;
    let mut labels: HashMap<i64, Vec<String>> = HashMap::new();
    for (version, label) in rows {
        labels.entry(version).or_default().push(label);
    }
    Ok(labels)
}
