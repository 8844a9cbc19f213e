//! What a report says of the children: their state becomes inventory, and what happened to them
//! is kept for a while.

use super::members::logged;
use super::refusal::Refusal;
use crate::tools::inventory::{self, CHILD_AGENTS, Item};
use serde_json::{Map, Value};
use sqlx::{Any, Transaction};
use std::collections::HashMap;
use stint_wire::bootagent::{Child, Event};
use stint_wire::text::sha256_hex;
use stint_wire::time::Utc;

/// Children of one node that are kept; a device has a handful.
const MOST_CHILDREN: usize = 256;

/// Events of one node that are kept: what inventory shows has to fit in an answer.
pub const MOST_EVENTS: i64 = 500;

/// Replaces what is known of the node's children.
///
/// # Errors
/// Those of the database.
pub async fn put(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    children: &[Child],
    now: Utc,
) -> Result<(), Refusal> {
    let content = children.iter().take(MOST_CHILDREN).map(entry).collect();
    inventory::store(tx, node, &Item::of(CHILD_AGENTS, content, now)).await?;
    Ok(())
}

/// A child as inventory shows it. All values are texts; what is not known is not there.
fn entry(child: &Child) -> Map<String, Value> {
    let percent = |hundredths: u32| format!("{}.{:02}", hundredths / 100, hundredths % 100);
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let word = |enforced: Option<stint_wire::bootagent::Enforcement>| {
        enforced.map(|enforced| enforced.as_str().to_owned())
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    [
        ("Name", text(&child.name)),
        ("Version", text(&child.version)),
        ("Status", text(child.status.as_str())),
        ("Uptime", number(Some(child.uptime))),
        ("Reason", text(&child.reason)),
        ("NextStart", number(child.next_start)),
        ("CpuPercent", child.cpu.map(percent)),
        ("MemoryBytes", number(child.memory)),
        ("CpuEnforced", word(child.cpu_enforced)),
        ("MemoryEnforced", word(child.memory_enforced)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))))
    .collect()
}

/// Keeps events that have not been here before; answers their categories. A report that is sent
/// again brings the same ones. The order in which they came decides which are too many, for a
/// node's clock may be wrong.
///
/// # Errors
/// Those of the database.
pub async fn add_events(
    tx: &mut Transaction<'static, Any>,
    node: &str,
    events: &[Event],
    now: Utc,
) -> Result<Vec<String>, Refusal> {
    let (mut added, mut same) = (Vec::new(), HashMap::new());
    for event in events.iter().take(MOST_EVENTS as usize) {
        let done = sqlx::query(
            "INSERT INTO child_event (node_id, happened_at, local_id, category, child, reason,
               message, received_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (node_id, happened_at, local_id) DO NOTHING",
        )
        .bind(node)
        .bind(i64::try_from(event.timestamp).unwrap_or(i64::MAX))
        .bind(local_id(event, &mut same))
        .bind(&event.category)
        .bind(&event.subject)
        .bind(&event.extra)
        .bind(&event.message)
        .bind(now.0 as i64)
        .execute(&mut **tx)
        .await?;
        if done.rows_affected() == 1 {
            tracing::info!(
                node,
                category = logged(&event.category),
                child = logged(&event.subject),
                reason = logged(&event.extra),
                message = logged(&event.message),
                "child event"
            );
            added.push(event.category.clone());
        }
    }
    if !added.is_empty() {
        sqlx::query(
            "DELETE FROM child_event WHERE node_id = $1 AND (happened_at, local_id) IN (
               SELECT happened_at, local_id FROM child_event WHERE node_id = $1
               ORDER BY received_at DESC, local_id DESC, happened_at DESC LIMIT 100000 OFFSET $2)",
        )
        .bind(node)
        .bind(MOST_EVENTS)
        .execute(&mut **tx)
        .await?;
    }
    Ok(added)
}

/// The event's number among those of its second. One that has none gets one that its content makes,
/// so that it is the same when the report is sent again; `same` counts equal ones in one report.
fn local_id(event: &Event, same: &mut HashMap<String, u32>) -> i64 {
    if event.local_id != 0 {
        return i64::try_from(event.local_id).unwrap_or(i64::MAX);
    }
    let content = event.write();
    let nth = same.entry(content.clone()).or_default();
    *nth = nth.saturating_add(1);
    let digest = sha256_hex(format!("{nth} {content}").as_bytes());
    // Fifteen digits are 60 bits, which a signed number holds.
    let number = digest.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok());
    number.unwrap_or(i64::MAX)
}
