//! What a node has of one type.

use super::schema::{INSTANCE, is_known};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::nodes::sightings::{self, is_cloned};
use crate::store::select::{Bound, Select};
use serde_json::{Map, Value, json};
use sqlx::{Any, FromRow, Transaction};
use std::collections::HashMap;
use stint_wire::time::Utc;

/// The type of child agents: their states.
pub const CHILD_AGENTS: &str = "Custom:StintChildAgent";

/// The type of what happened to child agents.
pub const CHILD_EVENTS: &str = "Custom:StintChildEvent";

/// The type of what showed a node's key lately.
pub const IDENTITY: &str = "Custom:StintIdentity";

/// The type of modules that fail in a node's agent.
pub const MODULES: &str = "Custom:StintModule";

/// The type of why a node's agent was started again.
pub const RESTARTS: &str = "Custom:StintRestart";

/// The version of the hub's own schemas.
pub const SCHEMA_VERSION: &str = "1.0";

/// An entry: texts by name.
pub type Entry = Map<String, Value>;

/// An item.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `Custom:StintChildAgent`
    pub type_name: String,
    /// Of the type.
    pub schema_version: String,
    /// When it was so, in the model's form: seconds, UTC.
    pub capture_time: String,
    /// The node's own mark of the content.
    pub content_hash: Option<String>,
    /// The entries.
    pub content: Vec<Entry>,
}

impl Item {
    /// An item of one of the hub's own types.
    pub fn of(type_name: &str, content: Vec<Entry>, at: Utc) -> Item {
        Item {
            type_name: type_name.to_owned(),
            schema_version: SCHEMA_VERSION.to_owned(),
            capture_time: moment(at),
            content_hash: None,
            content,
        }
    }

    /// `InventoryResultItem` of the model.
    pub fn answer(&self) -> Value {
        let mut answer = json!({
            "TypeName": self.type_name,
            "SchemaVersion": self.schema_version,
            "CaptureTime": self.capture_time,
            "Content": self.content,
        });
        if let (Some(hash), Some(members)) = (&self.content_hash, answer.as_object_mut()) {
            members.insert("ContentHash".to_owned(), json!(hash));
        }
        answer
    }
}

/// A moment in the form that the model asks for: without a fraction.
fn moment(at: Utc) -> String {
    let whole = Utc(at.0 / 1000 * 1000).iso();
    whole.replace(".000Z", "Z")
}

/// Replaces what the node has of the item's type.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn store(tx: &mut Transaction<'static, Any>, node: &str, item: &Item) -> ApiResult<()> {
    let content = serde_json::to_string(&item.content).map_err(ApiError::internal)?;
    sqlx::query(
        "INSERT INTO inventory_item (node_id, type_name, schema_version, capture_time,
           content_hash, content)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (node_id, type_name) DO UPDATE SET schema_version = excluded.schema_version,
           capture_time = excluded.capture_time, content_hash = excluded.content_hash,
           content = excluded.content",
    )
    .bind(node)
    .bind(&item.type_name)
    .bind(&item.schema_version)
    .bind(&item.capture_time)
    .bind(item.content_hash.as_deref())
    .bind(content)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    node_id: String,
    schema_version: String,
    capture_time: String,
    content_hash: Option<String>,
    content: String,
}

/// Nodes that are looked at together: what they have is in memory at the same time.
const BATCH: i64 = 64;

/// The nodes by id, some at a time; none at the end.
pub struct Batches {
    after: String,
}

impl Batches {
    /// Begins behind a node; with an empty text, with the first.
    pub fn after(node: &str) -> Batches {
        Batches { after: node.to_owned() }
    }

    /// The next nodes.
    ///
    /// # Errors
    /// `InternalServerError` when the store fails.
    pub async fn next(&mut self, app: &App) -> ApiResult<Vec<String>> {
        let nodes: Vec<String> =
            sqlx::query_scalar("SELECT id FROM node WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(&self.after)
                .bind(BATCH)
                .fetch_all(&app.store.read)
                .await?;
        if let Some(last) = nodes.last() {
            self.after.clone_from(last);
        }
        Ok(nodes)
    }
}

/// What some nodes have of a type, by node.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn load(app: &App, of: &[String], type_name: &str) -> ApiResult<HashMap<String, Item>> {
    match type_name {
        INSTANCE => return nodes(app, of).await,
        IDENTITY => return identities(app, of).await,
        _ => {}
    }
    let rows: Vec<Row> = Select::new(
        "SELECT node_id, schema_version, capture_time, content_hash, content FROM inventory_item",
    )
    .and("type_name = ?", [Bound::from(type_name)])
    .and_in("node_id", of)
    .rows("", None, &app.store.read)
    .await?;
    let mut items = HashMap::new();
    for row in rows {
        let item = Item {
            type_name: type_name.to_owned(),
            schema_version: row.schema_version,
            capture_time: row.capture_time,
            content_hash: row.content_hash,
            content: serde_json::from_str(&row.content).map_err(ApiError::internal)?,
        };
        items.insert(row.node_id, item);
    }
    if type_name == CHILD_EVENTS {
        items.extend(events(app, of).await?);
    }
    Ok(items)
}

#[derive(FromRow)]
struct Node {
    id: String,
    agent_name: Option<String>,
    agent_version: Option<String>,
    computer_name: Option<String>,
    ip_address: Option<String>,
    platform_type: Option<String>,
    platform_name: Option<String>,
    platform_version: Option<String>,
    last_ping_at: Option<i64>,
}

/// AWS:InstanceInformation, which AWS too makes of what it knows.
async fn nodes(app: &App, of: &[String]) -> ApiResult<HashMap<String, Item>> {
    let rows: Vec<Node> = Select::new(
        "SELECT id, agent_name, agent_version, computer_name, ip_address, platform_type,
           platform_name, platform_version, last_ping_at
         FROM node",
    )
    .and_in("id", of)
    .rows("", None, &app.store.read)
    .await?;
    let item = |row: Node| {
        let at = Utc(row.last_ping_at.unwrap_or_default().unsigned_abs());
        let entry = entry([
            ("AgentType", row.agent_name),
            ("AgentVersion", row.agent_version),
            ("ComputerName", row.computer_name),
            ("InstanceId", Some(row.id.clone())),
            ("InstanceStatus", Some("Active".to_owned())),
            ("IpAddress", row.ip_address),
            ("PlatformName", row.platform_name),
            ("PlatformType", row.platform_type),
            ("PlatformVersion", row.platform_version),
            ("ResourceType", Some("ManagedInstance".to_owned())),
        ]);
        (row.id, Item::of(INSTANCE, vec![entry], at))
    };
    Ok(rows.into_iter().map(item).collect())
}

#[derive(FromRow)]
struct Event {
    node_id: String,
    happened_at: i64,
    local_id: i64,
    category: String,
    child: String,
    reason: String,
    message: String,
    received_at: i64,
}

async fn events(app: &App, of: &[String]) -> ApiResult<HashMap<String, Item>> {
    let rows: Vec<Event> = Select::new(
        "SELECT node_id, happened_at, local_id, category, child, reason, message, received_at
         FROM child_event",
    )
    .and_in("node_id", of)
    .rows("ORDER BY node_id, happened_at DESC, local_id DESC", None, &app.store.read)
    .await?;
    let mut items: HashMap<String, Item> = HashMap::new();
    for row in rows {
        let received = Utc(row.received_at.unsigned_abs());
        let item = items
            .entry(row.node_id)
            .or_insert_with(|| Item::of(CHILD_EVENTS, Vec::new(), received));
        item.content.push(entry([
            ("Time", Some(moment(Utc::from_secs(row.happened_at.unsigned_abs())))),
            ("LocalId", Some(row.local_id.to_string())),
            ("Category", Some(row.category)),
            ("Name", Some(row.child)),
            ("Reason", Some(row.reason)),
            ("Message", Some(row.message)),
        ]));
    }
    Ok(items)
}

/// Custom:StintIdentity: an entry for each mark that a node has shown, the latest first.
async fn identities(app: &App, of: &[String]) -> ApiResult<HashMap<String, Item>> {
    let mut items = HashMap::new();
    for node in of {
        let (returns, at): (i64, Option<i64>) =
            sqlx::query_as("SELECT returns, returned_at FROM node WHERE id = $1")
                .bind(node)
                .fetch_optional(&app.store.read)
                .await?
                .unwrap_or_default();
        let cloned = if is_cloned(returns, at, app.now()) { "true" } else { "false" };
        let rows = sightings::of(&app.store.read, node).await?;
        let Some(latest) = rows.first().map(|row| Utc(row.last_seen_at.unsigned_abs())) else {
            continue;
        };
        let content = rows.into_iter().map(|row| {
            entry([
                ("Kind", Some(row.kind)),
                ("Mark", Some(row.mark)),
                ("Hardware", Some(row.hardware)),
                ("ComputerName", Some(row.computer_name)),
                ("IpAddress", Some(row.ip_address)),
                ("FirstSeen", Some(moment(Utc(row.first_seen_at.unsigned_abs())))),
                ("LastSeen", Some(moment(Utc(row.last_seen_at.unsigned_abs())))),
                ("Cloned", Some(cloned.to_owned())),
            ])
        });
        items.insert(node.clone(), Item::of(IDENTITY, content.collect(), latest));
    }
    Ok(items)
}

/// An entry without what nobody knows.
fn entry<const N: usize>(members: [(&str, Option<String>); N]) -> Entry {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)))
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect()
}

/// That a node is there.
///
/// # Errors
/// `InvalidInstanceId`.
pub async fn require_node(app: &App, node: &str) -> ApiResult<()> {
    let found: Option<String> = sqlx::query_scalar("SELECT id FROM node WHERE id = $1")
        .bind(node)
        .fetch_optional(&app.store.read)
        .await?;
    match found {
        Some(_) => Ok(()),
        None => Err(ApiError::new(
            "InvalidInstanceId",
            format!(
                "There is no managed node {node}. DescribeInstanceInformation lists those there are."
            ),
        )),
    }
}

/// That a type's name is one: AWS's own types are known, others begin with `Custom:`.
///
/// # Errors
/// `InvalidTypeNameException`.
pub fn require_type(name: &str) -> ApiResult<()> {
    let custom = name.strip_prefix("Custom:").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    });
    if custom || is_known(name) {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidTypeNameException",
        format!("'{name}' is no inventory type. Use Custom:NAME or a type of GetInventorySchema."),
    ))
}
