//! The steps of a command, gathered from all its replies.
//!
//! amazon-ssm-agent names a step in the reply that ends it; with several steps the last reply of
//! the document names none.

use super::verdict;
use crate::error::ApiResult;
use serde::Deserialize;
use serde_json::Value;
use sqlx::{Any, Transaction};
use std::collections::BTreeMap;
use stint_wire::time::Utc;

/// What a reply says of one step; only the status and the code are always there.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    status: String,
    code: i64,
    name: Option<String>,
    output: Option<String>,
    standard_output: Option<String>,
    standard_error: Option<String>,
    start_date_time: Option<String>,
    end_date_time: Option<String>,
}

/// Merges what a reply says into what is on record.
///
/// # Errors
/// Those of the database.
pub async fn merge(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    command: &str,
    steps: &BTreeMap<String, Step>,
) -> ApiResult<()> {
    let content: String = sqlx::query_scalar("SELECT content FROM command WHERE id = $1")
        .bind(command)
        .fetch_one(&mut **transaction)
        .await?;
    let order = step_names(&content);
    for (name, step) in steps {
        let recorded: Option<String> = sqlx::query_scalar(
            "SELECT status FROM invocation_step
             WHERE command_id = $1 AND node_id = $2 AND name = $3",
        )
        .bind(command)
        .bind(node)
        .bind(name)
        .fetch_optional(&mut **transaction)
        .await?;
        if verdict::replaces(&step.status, recorded.as_deref()) {
            let position = order.iter().position(|step| step == name).unwrap_or(order.len());
            put_step(transaction, node, command, name, position, step).await?;
        }
    }
    Ok(())
}

async fn put_step(
    transaction: &mut Transaction<'static, Any>,
    node: &str,
    command: &str,
    name: &str,
    position: usize,
    step: &Step,
) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO invocation_step (command_id, node_id, name, position, plugin, status, code,
           output, stdout, stderr, started_at, finished_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (command_id, node_id, name) DO UPDATE SET
           plugin = excluded.plugin, status = excluded.status, code = excluded.code,
           output = excluded.output, stdout = excluded.stdout, stderr = excluded.stderr,
           started_at = excluded.started_at, finished_at = excluded.finished_at",
    )
    .bind(command)
    .bind(node)
    .bind(name)
    .bind(position as i64)
    .bind(step.name.as_deref().unwrap_or(name))
    .bind(&step.status)
    .bind(step.code)
    .bind(step.output.as_deref().unwrap_or_default())
    .bind(step.standard_output.as_deref().unwrap_or_default())
    .bind(step.standard_error.as_deref().unwrap_or_default())
    .bind(moment(step.start_date_time.as_deref()))
    .bind(moment(step.end_date_time.as_deref()))
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// The steps of a document in their order, by the names that replies use: of a 2.x document the
/// steps', of a 1.x document the plugins'.
fn step_names(content: &str) -> Vec<String> {
    let document: Document = serde_json::from_str(content).unwrap_or_default();
    let steps = document.main_steps.into_iter().map(|step| step.name);
    steps.chain(document.runtime_config.into_iter().map(|(plugin, _)| plugin)).collect()
}

/// The part of a document that names its steps.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    main_steps: Vec<StepName>,
    runtime_config: serde_json::Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StepName {
    name: String,
}

fn moment(text: Option<&str>) -> Option<i64> {
    Utc::parse_iso(text?).map(|moment| moment.0 as i64)
}
