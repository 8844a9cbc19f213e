//! The jobs in an answer: commands that wait for the node, and those it has not answered yet.

use super::exchange::Exchange;
use super::status::Sender;
use crate::app::App;
use crate::commands::agent_job::{self, Place, Prepared};
use crate::commands::{self, Ending, finish};
use crate::error::{ApiError, ApiResult};
use crate::random;
use serde_json::{Map, Value};
use sqlx::FromRow;
use stint_wire::bootagent::Job;
use stint_wire::ids;

/// Jobs in one answer (the founding agents' own limit).
const MOST: i64 = 50;

/// Bytes of jobs in one answer, unless a single one has more: the founding agents read 16 KiB.
const MOST_BYTES: usize = 12 * 1024;

#[derive(FromRow)]
struct Row {
    command_id: String,
    job_id: Option<String>,
    content: String,
    parameters: String,
}

/// What the node is to do. Each job comes again with every report until its result is here: the
/// node knows it by its id, and an answer may have been lost on the way.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn offer(app: &App, exchange: &Exchange<'_>, to: &Sender) -> ApiResult<Vec<Job>> {
    let now = exchange.now;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT c.id AS command_id, j.id AS job_id, c.content, c.parameters
         FROM invocation i JOIN command c ON c.id = i.command_id
         JOIN boot_agent b ON b.node_id = i.node_id AND b.only_this = 1
         LEFT JOIN boot_job j ON j.command_id = i.command_id AND j.node_id = i.node_id
         WHERE i.node_id = $1 AND i.finished_at IS NULL AND i.released_at IS NOT NULL
           AND i.status IN ('Pending', 'Delayed', 'InProgress')
           AND (i.acknowledged_at IS NOT NULL OR c.expires_at > $2)
         ORDER BY i.requested_at, i.command_id LIMIT $3",
    )
    .bind(&to.node)
    .bind(now.0 as i64)
    .bind(MOST)
    .fetch_all(&app.store.read)
    .await?;
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let place = Place { node: &to.node, endpoint: exchange.endpoint, now };
        match job(app, &row, &place).await? {
            Err(message) => {
                tracing::info!(command = row.command_id, node = to.node, message, "no job");
                let ending = Ending {
                    command: &row.command_id,
                    node: &to.node,
                    errcode: -1,
                    message: &message,
                };
                finish(app, &ending, now).await?;
                app.metrics.job_ended(false);
            }
            Ok(mut job) => {
                let size = job.write().len();
                if bytes > 0 && bytes + size > MOST_BYTES {
                    break;
                }
                bytes += size;
                match row.job_id {
                    Some(id) => job.id = id,
                    None => job.id = hand_out(app, &row.command_id, to, &job, exchange).await?,
                }
                jobs.push(job);
            }
        }
    }
    Ok(jobs)
}

/// The job of a command, or why there is none.
async fn job(app: &App, row: &Row, place: &Place<'_>) -> ApiResult<Result<Job, String>> {
    let content: Value = serde_json::from_str(&row.content).map_err(ApiError::internal)?;
    let given: Map<String, Value> =
        serde_json::from_str(&row.parameters).map_err(ApiError::internal)?;
    let Some(step) = agent_job::sole_step(&content) else {
        return Ok(Err(agent_job::NOT_FOR_BOOT_AGENTS.to_owned()));
    };
    let mut inputs = agent_job::inputs(&content, step, &given);
    Ok(match agent_job::resolve_package(app, &mut inputs, place).await? {
        Prepared::Refused(reason) => Err(reason),
        Prepared::Ready => agent_job::job("-", &inputs),
    })
}

/// Notes that the node gets the job: from now on it is in progress. Answers the job's id.
async fn hand_out(
    app: &App,
    command: &str,
    to: &Sender,
    job: &Job,
    exchange: &Exchange<'_>,
) -> ApiResult<String> {
    let id = ids::uuid(random::bytes()?);
    let mut tx = app.store.begin().await?;
    sqlx::query(
        "INSERT INTO boot_job (id, command_id, node_id, handed_out) VALUES ($1, $2, $3, $4)
         ON CONFLICT (command_id, node_id) DO NOTHING",
    )
    .bind(&id)
    .bind(command)
    .bind(&to.node)
    .bind(exchange.now.0 as i64)
    .execute(&mut *tx)
    .await?;
    // Another hub, or another report of the same node, may have been quicker.
    let id: String =
        sqlx::query_scalar("SELECT id FROM boot_job WHERE command_id = $1 AND node_id = $2")
            .bind(command)
            .bind(&to.node)
            .fetch_one(&mut *tx)
            .await?;
    sqlx::query(
        "UPDATE invocation SET acknowledged_at = COALESCE(acknowledged_at, $3),
           started_at = COALESCE(started_at, $3),
           status = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress' ELSE status END,
           status_details = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress'
                            ELSE status_details END
         WHERE command_id = $1 AND node_id = $2",
    )
    .bind(command)
    .bind(&to.node)
    .bind(exchange.now.0 as i64)
    .execute(&mut *tx)
    .await?;
    commands::commit(app, tx, command, exchange.now).await?;
    app.metrics.job_handed_out();
    let (action, child) = (job.action.as_str(), job.name.as_str());
    let (version, checksum) = (job.version.as_deref(), job.checksum.as_deref());
    tracing::info!(
        job = id,
        command,
        node = to.node,
        signed = to.signed,
        action,
        child,
        version,
        checksum,
        "job handed out"
    );
    Ok(id)
}

#[cfg(test)]
mod tests;
