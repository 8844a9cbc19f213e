//! PutInventory, for operators and for nodes.

use super::item::{self, Entry, Item, require_node, require_type};
use super::schema::is_known;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;

/// Bytes of one item (AWS's quota: 512 KB for each type of a node).
const ITEM_LIMIT: usize = 512 * 1024;

/// Bytes of all items of a call (AWS's quota: 1 MB).
const TOTAL_LIMIT: usize = 1024 * 1024;

/// Custom types of the whole hub (AWS's quota: 20 for each account).
const MOST_TYPES: usize = 20;

/// PutInventory's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Put {
    /// The node that the items are of.
    pub instance_id: String,
    items: Vec<Given>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    type_name: String,
    schema_version: String,
    capture_time: String,
    content_hash: Option<String>,
    content: Option<Vec<Entry>>,
}

/// PutInventory: replaces what the node has of each type. An item without content says that what
/// the hub has, known by its hash, is still so.
///
/// # Errors
/// `InvalidInstanceId`, `InvalidTypeNameException`, `InvalidItemContentException`,
/// `ItemContentMismatchException`, and one for each limit.
pub async fn put(app: &App, input: Put) -> ApiResult<Value> {
    require_node(app, &input.instance_id).await?;
    let mut names = BTreeSet::new();
    let mut total = 0;
    for given in &input.items {
        require_type(&given.type_name)?;
        if [super::schema::INSTANCE, item::IDENTITY].contains(&given.type_name.as_str()) {
            let text = format!("{} is what the hub itself knows.", given.type_name);
            return Err(ApiError::new("InvalidTypeNameException", text));
        }
        if !names.insert(given.type_name.clone()) {
            return Err(content_error(&given.type_name, "is there twice; put it once"));
        }
        let size = serde_json::to_string(&given.content).map_err(ApiError::internal)?.len();
        if size > ITEM_LIMIT {
            return Err(ApiError::new(
                "ItemSizeLimitExceededException",
                format!("{} has {size} bytes; {ITEM_LIMIT} are allowed.", given.type_name),
            ));
        }
        total += size;
    }
    if total > TOTAL_LIMIT {
        return Err(ApiError::new(
            "TotalSizeLimitExceededException",
            format!("The items have {total} bytes together; {TOTAL_LIMIT} are allowed."),
        ));
    }
    let mut tx = app.store.begin().await?;
    limit_types(&mut tx, &names).await?;
    for given in input.items {
        put_one(&mut tx, &input.instance_id, given).await?;
    }
    tx.commit().await?;
    Ok(json!({"Message": "Inventory was put successfully."}))
}

fn content_error(type_name: &str, what: &str) -> ApiError {
    ApiError::new("InvalidItemContentException", format!("The item {type_name} {what}."))
}

/// Types that the hub knows don't count.
async fn limit_types(
    tx: &mut Transaction<'static, Any>,
    names: &BTreeSet<String>,
) -> ApiResult<()> {
    let stored: Vec<String> = sqlx::query_scalar("SELECT DISTINCT type_name FROM inventory_item")
        .fetch_all(&mut **tx)
        .await?;
    let custom = |name: &&String| !is_known(name);
    let stored: BTreeSet<&String> = stored.iter().filter(custom).collect();
    let new = names.iter().filter(custom).any(|name| !stored.contains(name));
    let all: BTreeSet<&String> = stored.into_iter().chain(names.iter().filter(custom)).collect();
    if !new || all.len() <= MOST_TYPES {
        return Ok(());
    }
    Err(ApiError::new(
        "CustomSchemaCountLimitExceededException",
        format!("There are {MOST_TYPES} custom types already, and no more are allowed."),
    ))
}

async fn put_one(tx: &mut Transaction<'static, Any>, node: &str, given: Given) -> ApiResult<()> {
    let Some(content) = given.content else {
        let Some(hash) = given.content_hash else {
            return Err(content_error(&given.type_name, "has neither Content nor ContentHash"));
        };
        let renewed = sqlx::query(
            "UPDATE inventory_item SET capture_time = $4
             WHERE node_id = $1 AND type_name = $2 AND content_hash = $3",
        )
        .bind(node)
        .bind(&given.type_name)
        .bind(hash)
        .bind(&given.capture_time)
        .execute(&mut **tx)
        .await?;
        return match renewed.rows_affected() {
            0 => Err(ApiError::new(
                "ItemContentMismatchException",
                format!(
                    "The hub has no {} with this ContentHash; put it with its Content.",
                    given.type_name
                ),
            )),
            _ => Ok(()),
        };
    };
    let item = Item {
        type_name: given.type_name,
        schema_version: given.schema_version,
        capture_time: given.capture_time,
        content_hash: given.content_hash,
        content,
    };
    item::store(tx, node, &item).await
}
