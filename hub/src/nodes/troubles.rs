//! What nodes say is wrong with their agents: modules that fail, and why the guardian had to start the agent again.
//! They put it as inventory, so that AWS keeps it as well.

use crate::error::{ApiError, ApiResult};
use crate::tools::inventory::{MODULES, RESTARTS};
use serde::Deserialize;
use sqlx::AnyPool;
use std::collections::HashSet;

/// One thing that is, or was, wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// `module`: it fails now. `restart`: the agent was started again.
    pub kind: &'static str,
    /// The module's name, or the restart's number.
    pub name: String,
    /// Why, in the node's words.
    pub reason: String,
    /// When the agent ended, by the node's clock; of a module when the node said so, in the same form.
    pub at: String,
}

/// An entry of either type. What a node has left out is empty.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    name: String,
    number: String,
    reason: String,
    time: String,
}

/// What is wrong with a node's agent: modules first, then restarts, the latest last.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn of(read: &AnyPool, node: &str) -> ApiResult<Vec<Trouble>> {
    let mut troubles = Vec::new();
    for (kind, type_name) in [("module", MODULES), ("restart", RESTARTS)] {
        let row: Option<(String, String)> = sqlx::query_as(
            "SELECT capture_time, content FROM inventory_item
             WHERE node_id = $1 AND type_name = $2",
        )
        .bind(node)
        .bind(type_name)
        .fetch_optional(read)
        .await?;
        let Some((captured, content)) = row else { continue };
        let entries: Vec<Entry> = serde_json::from_str(&content).map_err(ApiError::internal)?;
        troubles.extend(entries.into_iter().map(|entry| Trouble {
            kind,
            name: if kind == "module" { entry.name } else { entry.number },
            reason: entry.reason,
            at: if entry.time.is_empty() { captured.clone() } else { entry.time },
        }));
    }
    Ok(troubles)
}

/// The nodes that have said, and not taken back, that a module of their agent fails.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn failing(read: &AnyPool) -> ApiResult<HashSet<String>> {
    let nodes: Vec<String> = sqlx::query_scalar(
        "SELECT node_id FROM inventory_item WHERE type_name = $1 AND content <> '[]'",
    )
    .bind(MODULES)
    .fetch_all(read)
    .await?;
    Ok(nodes.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::inventory;
    use crate::tools::testbed::Testbed;
    use serde_json::{Value, json};

    async fn put(bed: &Testbed, node: &str, type_name: &str, content: Value) {
        let item = json!({"TypeName": type_name, "SchemaVersion": "1.0",
                          "CaptureTime": "2026-11-23T10:00:00Z", "Content": content});
        let input = json!({"InstanceId": node, "Items": [item]});
        inventory::put(&bed.app, serde_json::from_value(input).unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_module_that_fails_is_told_until_the_node_takes_it_back() {
        let bed = Testbed::new().await;
        let (one, two) = (bed.node(1, &[]).await, bed.node(2, &[]).await);
        let read = &bed.app.store.read;
        put(&bed, &one, MODULES, json!([{"Name": "supervise", "Reason": "full\tdisk"}])).await;
        put(&bed, &two, MODULES, json!([])).await;
        assert_eq!(failing(read).await.unwrap(), HashSet::from([one.clone()]));
        let told = of(read, &one).await.unwrap();
        let trouble = |kind, name: &str, reason: &str, at: &str| Trouble {
            kind,
            name: name.to_owned(),
            reason: reason.to_owned(),
            at: at.to_owned(),
        };
        assert_eq!(told, [trouble("module", "supervise", "full\tdisk", "2026-11-23T10:00:00Z")]);
        put(&bed, &one, MODULES, json!([])).await;
        let restart = json!([{"Number": "3", "Time": "2026-11-23T09:00:00Z", "Reason": "killed"}]);
        put(&bed, &one, RESTARTS, restart).await;
        // What an agent was started again for is over.
        assert!(failing(read).await.unwrap().is_empty());
        let told = of(read, &one).await.unwrap();
        assert_eq!(told, [trouble("restart", "3", "killed", "2026-11-23T09:00:00Z")]);
        assert!(of(read, &two).await.unwrap().is_empty());
    }
}
