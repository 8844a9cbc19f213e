//! DescribeParameters.

use super::filters::{self, For, LegacyFilter, StringFilter};
use super::walk::{self, Start};
use super::{name, rows};
use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};

const OPERATION: &str = "DescribeParameters";

/// DescribeParameters' input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Describe {
    #[serde(default)]
    filters: Vec<LegacyFilter>,
    #[serde(default)]
    parameter_filters: Vec<StringFilter>,
    max_results: Option<i64>,
    next_token: Option<String>,
    #[serde(default)]
    shared: bool,
}

/// DescribeParameters: by name, without values. Nothing is shared with a hub from elsewhere.
///
/// # Errors
/// Those of [`filters::parse`], `InvalidNextToken`, and `ValidationException` when both lists of
/// filters are used.
pub async fn describe(app: &App, caller: &Caller, input: Describe) -> ApiResult<Value> {
    if !input.filters.is_empty() && !input.parameter_filters.is_empty() {
        return Err(ApiError::validation(
            "Filters and ParameterFilters can't be used together; use ParameterFilters.",
        ));
    }
    let mut filters = filters::parse(input.parameter_filters, For::Describe)?;
    filters.extend(filters::parse_legacy(input.filters)?);
    let start = Start::parse(OPERATION, input.next_token.as_deref())?;
    if input.shared {
        return Ok(json!({"Parameters": []}));
    }
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let found = walk::rows(app, rows::select_latest, &filters, start, limit).await?;
    let (page, next) = paging::page(OPERATION, found, limit, walk::key);
    let shown: Vec<Value> = page
        .into_iter()
        .map(|row| {
            let mut shown = row.metadata();
            if let Some(members) = shown.as_object_mut() {
                let arn = name::arn(&caller.region, &app.account_id, &row.name);
                members.insert("ARN".to_owned(), arn.into());
            }
            shown
        })
        .collect();
    Ok(present(json!({"Parameters": shown, "NextToken": next})))
}
