//! The end of a job for child agents: an invocation of which one step says everything.

use super::agent_job::PLUGIN;
use crate::app::App;
use crate::commands;
use crate::error::ApiResult;
use crate::tools::documents::Content;
use stint_wire::text::head;
use stint_wire::time::Utc;

/// Bytes kept of a message: what GetCommandInvocation shows of standard output.
const MESSAGE_LIMIT: usize = 24_000;

/// How a job ended.
pub struct Ending<'e> {
    /// The command that it came from.
    pub command: &'e str,
    /// The node's id.
    pub node: &'e str,
    /// 0 if it went well.
    pub errcode: i64,
    /// For people.
    pub message: &'e str,
}

/// Ends an invocation as its job ended, and renews the command. One that has ended otherwise,
/// say at its time-out, keeps its status; the step shows what the node said all the same. What a node says first counts.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn finish(app: &App, ending: &Ending<'_>, now: Utc) -> ApiResult<()> {
    let (status, errcode) = match ending.errcode {
        0 => ("Success", 0),
        other => ("Failed", other),
    };
    let message = head(ending.message, MESSAGE_LIMIT);
    let mut tx = app.store.begin().await?;
    let row: Option<(String, Option<i64>)> = sqlx::query_as(
        "SELECT c.content, i.acknowledged_at FROM invocation i
         JOIN command c ON c.id = i.command_id WHERE i.command_id = $1 AND i.node_id = $2",
    )
    .bind(ending.command)
    .bind(ending.node)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((content, begun)) = row else { return Ok(()) };
    let steps = Content::of(&content).steps();
    let step = steps.iter().find(|step| step.plugin == PLUGIN).map(|step| step.name.as_str());
    let (stdout, stderr) = if errcode == 0 { (message, "") } else { ("", message) };
    sqlx::query(
        "INSERT INTO invocation_step (command_id, node_id, name, position, plugin, status, code,
           output, stdout, stderr, started_at, finished_at)
         VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (command_id, node_id, name) DO NOTHING",
    )
    .bind(ending.command)
    .bind(ending.node)
    .bind(step.unwrap_or(PLUGIN))
    .bind(PLUGIN)
    .bind(status)
    .bind(errcode)
    .bind(message)
    .bind(stdout)
    .bind(stderr)
    .bind(begun.unwrap_or(now.0 as i64))
    .bind(now.0 as i64)
    .execute(&mut *tx)
    .await?;
    sqlx::query(concat!(
        "UPDATE invocation SET status = $3, status_details = $3, finished_at = $4,
           acknowledged_at = COALESCE(acknowledged_at, $4), started_at = COALESCE(started_at, $4)
         WHERE command_id = $1 AND node_id = $2 AND status IN ",
        commands::unfinished!()
    ))
    .bind(ending.command)
    .bind(ending.node)
    .bind(status)
    .bind(now.0 as i64)
    .execute(&mut *tx)
    .await?;
    commands::commit(app, tx, ending.command, now).await
}
