//! GetInventorySchema: which types there are, and their attributes.

use super::item::{CHILD_AGENTS, CHILD_EVENTS, Entry, IDENTITY, MODULES, RESTARTS, SCHEMA_VERSION};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::{paging, present};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const OPERATION: &str = "GetInventorySchema";

/// The type that every node has: what it is.
pub const INSTANCE: &str = "AWS:InstanceInformation";

/// The most attributes that a schema shows (the model).
const MOST_ATTRIBUTES: usize = 50;

/// The types whose attributes the hub knows.
const SCHEMAS: [(&str, &[(&str, &str)]); 6] = [
    (
        INSTANCE,
        &[
            ("AgentType", "string"),
            ("AgentVersion", "string"),
            ("ComputerName", "string"),
            ("InstanceId", "string"),
            ("InstanceStatus", "string"),
            ("IpAddress", "string"),
            ("PlatformName", "string"),
            ("PlatformType", "string"),
            ("PlatformVersion", "string"),
            ("ResourceType", "string"),
        ],
    ),
    (
        CHILD_AGENTS,
        &[
            ("Name", "string"),
            ("Version", "string"),
            ("Status", "string"),
            ("Uptime", "number"),
            ("Reason", "string"),
            ("NextStart", "number"),
            ("CpuPercent", "number"),
            ("MemoryBytes", "number"),
            ("CpuEnforced", "string"),
            ("MemoryEnforced", "string"),
        ],
    ),
    (
        CHILD_EVENTS,
        &[
            ("Time", "string"),
            ("LocalId", "number"),
            ("Category", "string"),
            ("Name", "string"),
            ("Reason", "string"),
            ("Message", "string"),
        ],
    ),
    (
        IDENTITY,
        &[
            ("Kind", "string"),
            ("Mark", "string"),
            ("Hardware", "string"),
            ("ComputerName", "string"),
            ("IpAddress", "string"),
            ("FirstSeen", "string"),
            ("LastSeen", "string"),
            ("Cloned", "string"),
        ],
    ),
    (MODULES, &[("Name", "string"), ("Reason", "string")]),
    (
        RESTARTS,
        &[
            ("Number", "number"),
            ("Time", "string"),
            ("Reason", "string"),
            ("LivedSeconds", "number"),
        ],
    ),
];

/// AWS's own types that agents put; their attributes are what was put.
const AWS_TYPES: [&str; 9] = [
    "AWS:AWSComponent",
    "AWS:Application",
    "AWS:BillingInfo",
    "AWS:File",
    "AWS:InstanceDetailedInformation",
    "AWS:Network",
    "AWS:Service",
    "AWS:WindowsRegistry",
    "AWS:WindowsUpdate",
];

/// Whether the hub knows the type by itself.
pub fn is_known(name: &str) -> bool {
    SCHEMAS.iter().any(|(known, _)| *known == name) || AWS_TYPES.contains(&name)
}

/// GetInventorySchema's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Schema {
    type_name: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    sub_type: Option<bool>,
}

/// GetInventorySchema: the types that begin with `TypeName`.
///
/// # Errors
/// `InvalidNextToken`.
pub async fn schema(app: &App, input: Schema) -> ApiResult<Value> {
    let limit = input.max_results.unwrap_or(paging::DEFAULT_PAGE);
    let start = paging::start::<1>(OPERATION, input.next_token.as_deref())?;
    let after = start.map(|[name]| name).unwrap_or_default();
    let wanted = input.type_name.unwrap_or_default();
    let mut schemas = stored(app).await?;
    for (name, attributes) in SCHEMAS {
        let attributes = attributes.iter().map(|(name, kind)| attribute(name, kind)).collect();
        schemas.insert(name.to_owned(), (SCHEMA_VERSION.to_owned(), attributes));
    }
    // No type here has another below it.
    let sub_type = input.sub_type.unwrap_or_default();
    let found: Vec<(String, (String, Vec<Value>))> = schemas
        .into_iter()
        .filter(|(name, _)| !sub_type && name.starts_with(&wanted) && **name > *after)
        .collect();
    let (page, next) = paging::page(OPERATION, found, limit, |(name, _)| vec![name.clone()]);
    let list: Vec<Value> = page
        .into_iter()
        .map(|(name, (version, attributes))| {
            json!({"TypeName": name, "Version": version, "Attributes": attributes})
        })
        .collect();
    Ok(present(json!({"Schemas": list, "NextToken": next})))
}

fn attribute(name: &str, kind: &str) -> Value {
    json!({"Name": name, "DataType": kind})
}

/// Items of a type that are looked at for its attributes; one kind of agent puts them all alike.
const LOOKED_AT: i64 = 20;

/// The types that nodes or operators have put, with the attributes that some of their entries have.
async fn stored(app: &App) -> ApiResult<BTreeMap<String, (String, Vec<Value>)>> {
    let mut names: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT type_name FROM inventory_item")
            .fetch_all(&app.store.read)
            .await?;
    names.retain(|name| !SCHEMAS.iter().any(|(known, _)| known == name));
    let mut schemas = BTreeMap::new();
    for type_name in names {
        let items: Vec<(String, String)> = sqlx::query_as(
            "SELECT schema_version, content FROM inventory_item WHERE type_name = $1
             ORDER BY node_id LIMIT $2",
        )
        .bind(&type_name)
        .bind(LOOKED_AT)
        .fetch_all(&app.store.read)
        .await?;
        let (mut version, mut attributes) = (String::new(), BTreeSet::new());
        for (of, content) in items {
            let entries: Vec<Entry> = serde_json::from_str(&content).map_err(ApiError::internal)?;
            attributes.extend(entries.into_iter().flatten().map(|(name, _)| name));
            version = of;
        }
        if !attributes.is_empty() {
            let attributes = attributes.iter().take(MOST_ATTRIBUTES);
            let attributes = attributes.map(|name| attribute(name, "string")).collect();
            schemas.insert(type_name, (version, attributes));
        }
    }
    Ok(schemas)
}
