//! GetInventory: one type of all nodes, filtered by any.

use super::aggregate::{self, Aggregator};
use super::filters::Filter;
use super::item::{self, Item, require_type};
use super::schema::INSTANCE;
use crate::app::App;
use crate::error::ApiResult;
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// GetInventory: nodes that meet all filters, by id, each with what it has of the type in
/// `ResultAttributes`, else with what it is. Filters on one type have to be met by one entry.
///
/// # Errors
/// `InvalidFilter`, `InvalidTypeNameException`, `InvalidNextToken`, and those of
/// [`aggregate::count`].
pub async fn get(app: &App, input: Get) -> ApiResult<Value> {
    let filters = input.filters.unwrap_or_default();
    let matching = matching(app, &filters).await?;
    let passes = |node: &str| matching.as_ref().is_none_or(|nodes| nodes.contains(node));
    if let Some(aggregators) = &input.aggregators {
        return aggregate::count(app, aggregators, passes).await;
    }
    let wanted = input.result_attributes.unwrap_or_default();
    let type_name = wanted.first().map_or(INSTANCE, |wanted| wanted.type_name.as_str());
    require_type(type_name)?;
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let after = start.map(|[id]| id).unwrap_or_default();
    let mut items: Vec<(String, Item)> = item::load(app, "", type_name)
        .await?
        .into_iter()
        .filter(|(node, _)| *node > after && passes(node))
        .collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let (page, next) = paging::page(OPERATION, items, limit, |(node, _)| vec![node.clone()]);
    let entities: Vec<Value> = page
        .into_iter()
        .map(|(node, item)| {
            let data = Map::from_iter([(item.type_name.clone(), item.answer())]);
            json!({"Id": node, "Data": data})
        })
        .collect();
    Ok(present(json!({"Entities": entities, "NextToken": next})))
}

/// The nodes that meet all filters; `None` if there is no filter.
async fn matching(app: &App, filters: &[Filter]) -> ApiResult<Option<BTreeSet<String>>> {
    let mut by_type: BTreeMap<&str, Vec<(&Filter, &str)>> = BTreeMap::new();
    for filter in filters {
        let (type_name, attribute) = filter.place()?;
        by_type.entry(type_name).or_default().push((filter, attribute));
    }
    let mut found: Option<BTreeSet<String>> = None;
    for (type_name, filters) in by_type {
        let items: HashMap<String, Item> = item::load(app, "", type_name).await?;
        let meets = |item: &Item| {
            let mut entries = item.content.iter();
            entries.any(|entry| filters.iter().all(|(f, attribute)| f.passes(entry, attribute)))
        };
        let nodes = items.into_iter().filter(|(_, item)| meets(item)).map(|(node, _)| node);
        let nodes: BTreeSet<String> = nodes.collect();
        found = Some(match found {
            Some(so_far) => so_far.intersection(&nodes).cloned().collect(),
            None => nodes,
        });
    }
    Ok(found)
}
