//! ListInventoryEntries.

use super::filters::Filter;
use super::item::{self, Entry, SCHEMA_VERSION, require_node, require_type};
use crate::app::App;
use crate::error::ApiResult;
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};

const OPERATION: &str = "ListInventoryEntries";

/// ListInventoryEntries's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct List {
    instance_id: String,
    type_name: String,
    filters: Option<Vec<Filter>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// ListInventoryEntries: what one node has of one type, in the order in which it was put.
///
/// # Errors
/// `InvalidInstanceId`, `InvalidTypeNameException`, `InvalidNextToken`.
pub async fn list(app: &App, input: List) -> ApiResult<Value> {
    require_type(&input.type_name)?;
    require_node(app, &input.instance_id).await?;
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let start = match paging::start::<1>(OPERATION, input.next_token.as_deref())? {
        Some([at]) => at.parse::<usize>().map_err(|_| paging::invalid(OPERATION))?,
        None => 0,
    };
    let of = std::slice::from_ref(&input.instance_id);
    let mut items = item::load(app, of, &input.type_name).await?;
    let item = items.remove(&input.instance_id);
    let filters = input.filters.unwrap_or_default();
    let passes = |entry: &Entry| {
        filters.iter().all(|filter| filter.passes(entry, filter.attribute(&input.type_name)))
    };
    let (version, captured, content) = match item {
        Some(item) => (item.schema_version, Some(item.capture_time), item.content),
        None => (SCHEMA_VERSION.to_owned(), None, Vec::new()),
    };
    // The token is a place in the list; a report in between may move entries by some.
    let rows: Vec<(usize, Entry)> = content
        .into_iter()
        .filter(passes)
        .enumerate()
        .skip(start)
        .take(usize::try_from(limit).unwrap_or_default() + 1)
        .collect();
    let (rows, next) = paging::page(OPERATION, rows, limit, |(at, _)| vec![(at + 1).to_string()]);
    let entries: Vec<Entry> = rows.into_iter().map(|(_, entry)| entry).collect();
    Ok(present(json!({
        "TypeName": input.type_name,
        "InstanceId": input.instance_id,
        "SchemaVersion": version,
        "CaptureTime": captured,
        "Entries": entries,
        "NextToken": next,
    })))
}
