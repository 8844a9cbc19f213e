//! GetInventory with aggregators: how many entries have which values.

use super::filters;
use super::get::Filters;
use super::item::{self, Batches, Entry, SCHEMA_VERSION};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// An aggregator as requests write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aggregator {
    expression: Option<String>,
    aggregators: Option<Vec<Aggregator>>,
    groups: Option<Value>,
}

/// The most combinations of values in an answer.
const MOST: usize = 10_000;

/// Counts the entries of the nodes that pass, by the values of the attributes.
///
/// # Errors
/// `InvalidAggregatorException` when there is no expression, or several types; and
/// `InvalidInventoryGroupException` for groups, which the hub doesn't have.
pub async fn count(
    app: &App,
    aggregators: &[Aggregator],
    filters: &Filters<'_>,
) -> ApiResult<Value> {
    let mut data = Map::new();
    for aggregator in aggregators {
        let mut attributes = Vec::new();
        let type_name = collect(aggregator, &mut attributes)?;
        let mut counts: BTreeMap<Vec<String>, u64> = BTreeMap::new();
        let mut batches = Batches::after("");
        loop {
            let batch = batches.next(app).await?;
            if batch.is_empty() {
                break;
            }
            let matching = filters.matching(app, batch).await?;
            let items = item::load(app, &matching, &type_name).await?;
            for entry in items.values().flat_map(|item| &item.content) {
                let text = |name: &String| entry.get(name).and_then(Value::as_str);
                let values: Option<Vec<String>> =
                    attributes.iter().map(|name| text(name).map(str::to_owned)).collect();
                if let Some(values) =
                    values.filter(|v| counts.len() < MOST || counts.contains_key(v))
                {
                    *counts.entry(values).or_default() += 1;
                }
            }
        }
        let content = counts.into_iter().map(|(values, count)| {
            let count = ("Count".to_owned(), json!(count.to_string()));
            let values = attributes.iter().cloned().zip(values.into_iter().map(Value::String));
            [count].into_iter().chain(values).collect::<Entry>()
        });
        let content: Vec<Entry> = content.collect();
        let item =
            json!({"TypeName": type_name, "SchemaVersion": SCHEMA_VERSION, "Content": content});
        data.insert(type_name, item);
    }
    Ok(json!({"Entities": [{"Data": data}]}))
}

/// Gathers the attributes of an aggregator and those inside of it; answers their common type.
fn collect(aggregator: &Aggregator, attributes: &mut Vec<String>) -> ApiResult<String> {
    let invalid = |what: &str| ApiError::new("InvalidAggregatorException", what.to_owned());
    if aggregator.groups.is_some() {
        return Err(ApiError::new(
            "InvalidInventoryGroupException",
            "Groups are not supported; use Expression and Filters.",
        ));
    }
    let Some(expression) = &aggregator.expression else {
        return Err(invalid("An aggregator needs an Expression, TYPE.ATTRIBUTE."));
    };
    let (type_name, attribute) = filters::split(expression, "InvalidAggregatorException")?;
    attributes.push(attribute.to_owned());
    match aggregator.aggregators.as_deref() {
        None | Some([]) => {}
        Some([inner]) => {
            if collect(inner, attributes)? != type_name {
                return Err(invalid("Aggregators inside of each other have to be of one type."));
            }
        }
        Some(_) => return Err(invalid("An aggregator has one other inside of it at most.")),
    }
    Ok(type_name.to_owned())
}
