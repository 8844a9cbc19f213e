//! SendCommand.

use super::command::{COLUMNS, Command};
use super::targets::{self, Target};
use crate::app::{App, Caller};
use crate::commands::agent_job::{self, NOT_FOR_BOOT_AGENTS};
use crate::commands::{self, Options};
use crate::error::{ApiError, ApiResult};
use crate::tools::documents::{self, Document};
use crate::tools::uuid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Any, AssertSqlSafe, Transaction};
use std::collections::{BTreeMap, HashSet};
use stint_wire::time::Utc;

/// The delivery timeout when the request has none, in seconds (AWS's documentation).
const DEFAULT_TIMEOUT_SECONDS: i64 = 3600;

/// How many nodes run the command at a time when the request does not say (the model's text).
const DEFAULT_CONCURRENCY: &str = "50";

/// How many errors are allowed when the request does not say (the model's text).
const DEFAULT_ERRORS: &str = "0";

/// SendCommand's input.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Send {
    instance_ids: Option<Vec<String>>,
    targets: Option<Vec<Target>>,
    document_name: String,
    document_version: Option<String>,
    document_hash: Option<String>,
    document_hash_type: Option<String>,
    timeout_seconds: Option<i64>,
    comment: Option<String>,
    parameters: Option<BTreeMap<String, Vec<String>>>,
    max_concurrency: Option<String>,
    max_errors: Option<String>,
    #[serde(flatten)]
    options: Options,
}

/// SendCommand: stores the command and one invocation a node, and releases as many as may run at
/// a time. When this answers, the command survives a power cut of the hub.
///
/// # Errors
/// Those of [`targets::resolve`], `InvalidDocument`, `InvalidDocumentVersion`,
/// `InvalidParameters`, and `UnsupportedPlatformType` for a node that only looks after child agents.
pub async fn send(app: &App, caller: &Caller, input: Send) -> ApiResult<Value> {
    let version = input.document_version.as_deref();
    let document = documents::find(app, &input.document_name, version).await?;
    refuse_other_types(&document)?;
    check_hash(&input, &document)?;
    let parameters = input.parameters.unwrap_or_default();
    document
        .content
        .check(&parameters)
        .map_err(|fault| ApiError::new("InvalidParameters", fault))?;
    if agent_job::has_steps(document.content.value()) {
        let given = serde_json::to_value(&parameters).map_err(ApiError::internal)?;
        let given = given.as_object().cloned().unwrap_or_default();
        agent_job::check(app, document.content.value(), &given).await?;
    }
    let ids = input.instance_ids.unwrap_or_default();
    let targets = input.targets.unwrap_or_default();
    let nodes = targets::resolve(app, &ids, &targets, &document.summary).await?;
    let unfit = unfit(app, &document, &nodes).await?;
    if let Some(node) = unfit.first().filter(|_| !ids.is_empty()) {
        return Err(ApiError::new(
            "UnsupportedPlatformType",
            format!("{node} can't run {}. {NOT_FOR_BOOT_AGENTS}", document.summary.name),
        ));
    }

    let mut tx = app.store.begin().await?;
    let (id, now) = (uuid()?, app.now());
    let requested_at = next_moment(&mut tx, now).await?;
    let timeout = input.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    let options = Options {
        execution_seconds: document.content.execution_seconds(&parameters),
        ..input.options
    };
    let command = Command {
        id,
        region: caller.region.clone(),
        document_name: document.summary.name.clone(),
        document_version: input.document_version.unwrap_or_else(|| "$DEFAULT".to_owned()),
        comment: input.comment.unwrap_or_default(),
        parameters: json_text(&parameters)?,
        instance_ids: json_text(&ids)?,
        targets: json_text(&targets)?,
        max_concurrency: input.max_concurrency.unwrap_or_else(|| DEFAULT_CONCURRENCY.to_owned()),
        max_errors: input.max_errors.unwrap_or_else(|| DEFAULT_ERRORS.to_owned()),
        timeout_seconds: timeout,
        options: json_text(&options)?,
        requested_at,
        expires_at: requested_at.saturating_add(timeout * 1000),
        status: "Pending".to_owned(),
        target_count: nodes.len() as i64,
    };
    insert(&mut tx, &command, &document.json, &nodes).await?;
    refuse(&mut tx, &command.id, &unfit, now).await?;
    let released = commands::advance(&mut tx, &command.id, now).await?;
    let stored: Command = sqlx::query_as(AssertSqlSafe(format!("{COLUMNS} WHERE id = $1")))
        .bind(&command.id)
        .fetch_one(&mut *tx)
        .await?;
    let tally = commands::tally(&mut tx, &command.id).await?;
    tx.commit().await?;
    for node in released {
        app.wakeups.ring(&node);
    }
    Ok(json!({"Command": stored.answer(&tally)?}))
}

/// Those of the nodes that only look after child agents, if the document is not about those.
async fn unfit(app: &App, document: &Document, nodes: &[String]) -> ApiResult<Vec<String>> {
    if agent_job::sole_step(document.content.value()).is_some() {
        return Ok(Vec::new());
    }
    let only: Vec<String> =
        sqlx::query_scalar("SELECT node_id FROM boot_agent WHERE only_this = 1")
            .fetch_all(&app.store.read)
            .await?;
    let only: HashSet<String> = only.into_iter().collect();
    Ok(nodes.iter().filter(|node| only.contains(*node)).cloned().collect())
}

/// Ends the invocations of nodes that can't run the document, which their tags brought in, as AWS
/// does with nodes of another platform.
async fn refuse(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    nodes: &[String],
    now: Utc,
) -> ApiResult<()> {
    for node in nodes {
        sqlx::query(
            "UPDATE invocation SET status = 'Failed', status_details = 'InvalidPlatform',
               finished_at = $3, trace = $4
             WHERE command_id = $1 AND node_id = $2",
        )
        .bind(command)
        .bind(node)
        .bind(now.0 as i64)
        .bind(NOT_FOR_BOOT_AGENTS)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// How far ahead of the clock a command may be dated to come after the one before it.
const AHEAD_MS: i64 = 1000;

/// The moment of a new command: now, but no two commands share a millisecond, so that "newest
/// first" is the order in which they were sent. A clock that was set back further than
/// [`AHEAD_MS`] is believed.
async fn next_moment(tx: &mut Transaction<'static, Any>, now: Utc) -> ApiResult<i64> {
    let (latest,): (Option<i64>,) =
        sqlx::query_as("SELECT MAX(requested_at) FROM command").fetch_one(&mut **tx).await?;
    let (now, next) = (now.0 as i64, latest.unwrap_or_default() + 1);
    Ok(if next > now && next <= now + AHEAD_MS { next } else { now })
}

/// Only Command documents are for nodes to run.
fn refuse_other_types(document: &Document) -> ApiResult<()> {
    let summary = &document.summary;
    if summary.document_type == "Command" {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidDocument",
        format!(
            "{} is a document of type {}; SendCommand runs documents of type Command.",
            summary.name, summary.document_type
        ),
    ))
}

fn check_hash(input: &Send, document: &Document) -> ApiResult<()> {
    let Some(hash) = &input.document_hash else { return Ok(()) };
    if input.document_hash_type.as_deref() == Some("Sha1") {
        return Err(ApiError::validation(
            "DocumentHashType Sha1 is deprecated and not supported; use Sha256.",
        ));
    }
    if hash.eq_ignore_ascii_case(&document.summary.hash) {
        return Ok(());
    }
    Err(ApiError::new(
        "InvalidDocument",
        format!(
            "DocumentHash isn't the SHA-256 of {}; DescribeDocument shows the right one.",
            document.summary.name
        ),
    ))
}

async fn insert(
    tx: &mut Transaction<'static, Any>,
    command: &Command,
    content: &str,
    nodes: &[String],
) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO command (id, region, document_name, document_version, content, comment,
           parameters, instance_ids, targets, max_concurrency, max_errors, timeout_seconds,
           options, requested_at, expires_at, status, status_details, target_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17)",
    )
    .bind(&command.id)
    .bind(&command.region)
    .bind(&command.document_name)
    .bind(&command.document_version)
    .bind(content)
    .bind(&command.comment)
    .bind(&command.parameters)
    .bind(&command.instance_ids)
    .bind(&command.targets)
    .bind(&command.max_concurrency)
    .bind(&command.max_errors)
    .bind(command.timeout_seconds)
    .bind(&command.options)
    .bind(command.requested_at)
    .bind(command.expires_at)
    .bind(&command.status)
    .bind(command.target_count)
    .execute(&mut **tx)
    .await?;
    for (position, node) in nodes.iter().enumerate() {
        sqlx::query(
            "INSERT INTO invocation (command_id, node_id, position, requested_at, status,
               status_details, trace)
             VALUES ($1, $2, $3, $4, 'Pending', 'Pending', '')",
        )
        .bind(&command.id)
        .bind(node)
        .bind(position as i64)
        .bind(command.requested_at)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn json_text(value: &impl Serialize) -> ApiResult<String> {
    serde_json::to_string(value).map_err(ApiError::internal)
}
