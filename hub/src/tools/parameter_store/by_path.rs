//! GetParametersByPath.

use super::filters::{self, For, StringFilter};
use super::get::Reader;
use super::name;
use super::rows;
use super::walk::{self, Start};
use crate::app::App;
use crate::error::ApiResult;
use crate::store::select::{Bound, Select};
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};

const OPERATION: &str = "GetParametersByPath";

/// The model's greatest page, and the default.
const PAGE: i64 = 10;

/// GetParametersByPath's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ByPath {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    parameter_filters: Vec<StringFilter>,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// GetParametersByPath: by name. A node may ask for paths under which it may read everything, so
/// that it learns no more this way than by name.
///
/// # Errors
/// `ValidationException` for what is no path, those of [`filters::parse`], `InvalidNextToken`,
/// `InvalidKeyId`, and `AccessDeniedException` for a node.
pub async fn by_path(app: &App, reader: &Reader<'_>, input: ByPath) -> ApiResult<Value> {
    let path = name::path(&input.path)?;
    if let Some(grants) = reader.grants.filter(|grants| !grants.has_all_under(&path)) {
        let arn = name::arn(reader.region, &app.account_id, path.trim_end_matches('/'));
        return Err(grants.refusal(OPERATION, &arn));
    }
    let filters = filters::parse(input.parameter_filters, For::ByPath)?;
    let labels = filters.iter().find_map(|filter| filter.labels());
    let limit = input.max_results.unwrap_or(PAGE);
    let start = Start::parse(OPERATION, input.next_token.as_deref())?;
    let select = || {
        let all = match labels {
            Some(labels) => rows::select_labelled().and_in("l.label", labels),
            None => rows::select_latest(),
        };
        under(all, &path, input.recursive)
    };
    let found = walk::rows(app, select, &filters, start, limit).await?;
    let (page, next) = paging::page(OPERATION, found, limit, walk::key);
    let shown: ApiResult<Vec<Value>> = page
        .into_iter()
        .map(|row| row.parameter(app, reader.region, input.with_decryption, None))
        .collect();
    Ok(present(json!({"Parameters": shown?, "NextToken": next})))
}

/// Only what is under a path, which ends with a slash. Everything is under the root.
fn under(select: Select, path: &str, recursive: bool) -> Select {
    let length = i64::try_from(path.len()).unwrap_or(i64::MAX);
    let select = match path {
        "/" => select,
        _ => select.and(
            "substr(v.name, 1, CAST(? AS INTEGER)) = ?",
            [Bound::from(length), Bound::from(path)],
        ),
    };
    match recursive {
        true => select,
        false => select.and(
            "substr(v.name, CAST(? AS INTEGER)) NOT LIKE '%/%'",
            [Bound::from(length.saturating_add(1))],
        ),
    }
}
