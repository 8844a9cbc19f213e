//! GetInventory: one type of all nodes, filtered by any.

use super::aggregate::{self, Aggregator};
use super::filters::Filter;
use super::item::{self, Batches, Item, require_type};
use super::schema::INSTANCE;
use crate::app::App;
use crate::error::ApiResult;
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OPERATION: &str = "GetInventory";

/// GetInventory's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Get {
    filters: Option<Vec<Filter>>,
    aggregators: Option<Vec<Aggregator>>,
    result_attributes: Option<Vec<Wanted>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wanted {
    type_name: String,
}

/// Bytes of content in one answer, unless a single node has more. The next page goes on.
const PAGE_BYTES: usize = 1024 * 1024;

/// GetInventory: nodes that meet all filters, by id, each with what it has of the type in
/// `ResultAttributes`, else with what it is. Filters on one type have to be met by one entry.
///
/// # Errors
/// `InvalidFilter`, `InvalidTypeNameException`, `InvalidNextToken`, and those of
/// [`aggregate::count`].
pub async fn get(app: &App, input: Get) -> ApiResult<Value> {
    let filters = input.filters.unwrap_or_default();
    let filters = Filters::of(&filters)?;
    if let Some(aggregators) = &input.aggregators {
        return aggregate::count(app, aggregators, &filters).await;
    }
    let wanted = input.result_attributes.unwrap_or_default();
    let type_name = wanted.first().map_or(INSTANCE, |wanted| wanted.type_name.as_str());
    require_type(type_name)?;
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let mut batches = Batches::after(&start.map(|[id]| id).unwrap_or_default());
    let most = usize::try_from(limit).unwrap_or_default();
    let (mut entities, mut last, mut bytes) = (Vec::new(), String::new(), 0);
    let mut next = Value::Null;
    'pages: loop {
        let batch = batches.next(app).await?;
        if batch.is_empty() {
            break;
        }
        let matching = filters.matching(app, batch).await?;
        let mut items = item::load(app, &matching, type_name).await?;
        for node in matching {
            let Some(item) = items.remove(&node) else { continue };
            if entities.len() == most || bytes > PAGE_BYTES {
                next = json!(paging::token(OPERATION, &[last]));
                break 'pages;
            }
            let data = item.answer();
            bytes += data.to_string().len();
            entities.push(json!({"Id": node, "Data": {item.type_name: data}}));
            last = node;
        }
    }
    Ok(present(json!({"Entities": entities, "NextToken": next})))
}

/// The filters of a request by the type that they look at, each with its attribute.
pub struct Filters<'f>(BTreeMap<&'f str, Vec<(&'f Filter, &'f str)>>);

impl<'f> Filters<'f> {
    fn of(filters: &'f [Filter]) -> ApiResult<Filters<'f>> {
        let mut by_type: BTreeMap<&str, Vec<(&Filter, &str)>> = BTreeMap::new();
        for filter in filters {
            let (type_name, attribute) = filter.place()?;
            by_type.entry(type_name).or_default().push((filter, attribute));
        }
        Ok(Filters(by_type))
    }

    /// Those of the nodes that meet all filters.
    ///
    /// # Errors
    /// `InternalServerError` when the store fails.
    pub async fn matching(&self, app: &App, mut nodes: Vec<String>) -> ApiResult<Vec<String>> {
        for (type_name, filters) in &self.0 {
            let items = item::load(app, &nodes, type_name).await?;
            let meets = |item: &Item| {
                let mut entries = item.content.iter();
                entries.any(|entry| filters.iter().all(|(f, name)| f.passes(entry, name)))
            };
            nodes.retain(|node| items.get(node).is_some_and(meets));
        }
        Ok(nodes)
    }
}
