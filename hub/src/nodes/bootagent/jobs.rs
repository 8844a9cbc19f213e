//! The jobs in an answer: commands that wait for the node, and those it has not answered yet.

use super::exchange::Exchange;
use super::status::Sender;
use crate::app::App;
use crate::commands::agent_job::{self, Place, Prepared};
use crate::commands::{self, Ending, delivery_seconds, finish};
use crate::error::{ApiError, ApiResult};
use crate::random;
use crate::tools::documents::attachments::Promised;
use serde_json::{Map, Value};
use sqlx::FromRow;
use stint_wire::bootagent::Job;
use stint_wire::ids;
use stint_wire::time::Utc;

mod kept;

/// Jobs in one answer (the founding agents' own limit).
const MOST: i64 = 50;

/// Bytes of jobs in one answer, unless a single one has more: the founding agents read 16 KiB.
const MOST_BYTES: usize = 12 * 1024;

#[derive(FromRow)]
struct Row {
    command_id: String,
    content: String,
    parameters: String,
    /// What was handed out before, if anything was.
    #[sqlx(flatten)]
    told: Told,
}

/// A job as it was handed out.
#[derive(FromRow)]
struct Told {
    job_id: Option<String>,
    job: Option<String>,
    hash: Option<String>,
    file_name: Option<String>,
    link_until: Option<i64>,
}

/// What the node is to do. Each job comes again with every report until its result is here: the
/// node knows it by its id, and an answer may have been lost on the way.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn offer(app: &App, exchange: &Exchange<'_>, to: &Sender) -> ApiResult<Vec<Job>> {
    let rows = waiting(app, &to.node, exchange.now).await?;
    handed(app, exchange, to, rows).await
}

/// The commands that wait for the node, the eldest first.
async fn waiting(app: &App, node: &str, now: Utc) -> ApiResult<Vec<Row>> {
    let rows = sqlx::query_as(concat!(
        "SELECT c.id AS command_id, c.content, c.parameters, j.id AS job_id, j.job, j.hash,
           j.file_name, j.link_until
         FROM invocation i JOIN command c ON c.id = i.command_id
         JOIN boot_agent b ON b.node_id = i.node_id AND b.only_this = 1
         LEFT JOIN boot_job j ON j.command_id = i.command_id AND j.node_id = i.node_id
         WHERE i.node_id = $1 AND i.finished_at IS NULL AND i.released_at IS NOT NULL
           AND i.status IN ('Pending', 'Delayed', 'InProgress')
           AND (i.acknowledged_at IS NOT NULL OR i.released_at + 1000 * ",
        delivery_seconds!(),
        " > $2)
         ORDER BY i.requested_at, i.command_id LIMIT $3",
    ))
    .bind(node)
    .bind(now.0 as i64)
    .bind(MOST)
    .fetch_all(&app.store.read)
    .await?;
    Ok(rows)
}

/// The jobs of these commands, as far as they fit into an answer and are still wanted.
async fn handed(
    app: &App,
    exchange: &Exchange<'_>,
    to: &Sender,
    rows: Vec<Row>,
) -> ApiResult<Vec<Job>> {
    let place = Place { node: &to.node, endpoint: exchange.endpoint, now: exchange.now };
    let (mut jobs, mut bytes) = (Vec::new(), 0);
    for row in rows {
        // A job that has an id is never made anew: the node goes by what it heard first.
        let (job, made) = match kept::read(&row.told) {
            Some(job) => (job, None),
            None if row.told.job_id.is_some() => {
                tracing::error!(command = row.command_id, "an unreadable job is left out");
                continue;
            }
            None => match make(app, &row, &place).await? {
                Ok((job, promised)) => (job, Some(promised)),
                Err(message) => {
                    refuse(app, &row.command_id, &message, &place).await?;
                    continue;
                }
            },
        };
        let size = job.write().len();
        if bytes > 0 && bytes + size > MOST_BYTES {
            break;
        }
        bytes += size;
        let job = match made {
            None => Some(kept::renewed(app, &row.told, job, &place).await?),
            Some(promised) => {
                hand_out(app, &row.command_id, to, job, promised.as_ref(), exchange).await?
            }
        };
        jobs.extend(job);
    }
    still_wanted(app, &to.node, jobs).await
}

/// The job of a command and the link in it, or why there is none.
async fn make(
    app: &App,
    row: &Row,
    place: &Place<'_>,
) -> ApiResult<Result<(Job, Option<Promised>), String>> {
    let content: Value = serde_json::from_str(&row.content).map_err(ApiError::internal)?;
    let given: Map<String, Value> =
        serde_json::from_str(&row.parameters).map_err(ApiError::internal)?;
    let Some(step) = agent_job::sole_step(&content) else {
        return Ok(Err(agent_job::NOT_FOR_BOOT_AGENTS.to_owned()));
    };
    let mut inputs = agent_job::inputs(&content, step, &given);
    Ok(match agent_job::resolve_package(app, &mut inputs, place).await? {
        Prepared::Refused(reason) => Err(reason),
        Prepared::Ready(promised) => agent_job::job("-", &inputs).map(|job| (job, promised)),
    })
}

/// Ends a command on a node that can't have its job.
async fn refuse(app: &App, command: &str, message: &str, place: &Place<'_>) -> ApiResult<()> {
    let (node, now) = (place.node, place.now);
    // Another report of the node may have brought it the job a moment ago.
    let told = sqlx::query("SELECT id FROM boot_job WHERE command_id = $1 AND node_id = $2")
        .bind(command)
        .bind(node)
        .fetch_optional(&app.store.read)
        .await?;
    if told.is_some() {
        return Ok(());
    }
    tracing::info!(command, node, message, "no job");
    finish(app, &Ending { command, node, errcode: -1, message }, now).await?;
    app.metrics.job_ended(false);
    Ok(())
}

/// Notes that the node gets the job: from now on it is in progress. Answers the job with its id,
/// or nothing for one that has been cancelled or has timed out in between.
async fn hand_out(
    app: &App,
    command: &str,
    to: &Sender,
    mut job: Job,
    promised: Option<&Promised>,
    exchange: &Exchange<'_>,
) -> ApiResult<Option<Job>> {
    let mut tx = app.store.begin().await?;
    let begun = sqlx::query(
        "UPDATE invocation SET acknowledged_at = COALESCE(acknowledged_at, $3),
           started_at = COALESCE(started_at, $3),
           status = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress' ELSE status END,
           status_details = CASE WHEN status IN ('Pending', 'Delayed') THEN 'InProgress'
                            ELSE status_details END
         WHERE command_id = $1 AND node_id = $2 AND finished_at IS NULL
           AND status IN ('Pending', 'Delayed', 'InProgress')",
    )
    .bind(command)
    .bind(&to.node)
    .bind(exchange.now.0 as i64)
    .execute(&mut *tx)
    .await?;
    if begun.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(None);
    }
    job.id = ids::uuid(random::bytes()?);
    let known = kept::write(&mut tx, command, &to.node, &job, promised, exchange.now).await?;
    commands::commit(app, tx, command, exchange.now).await?;
    // Another hub, or another report of the same node, was quicker.
    if let Some(told) = known {
        return Ok(kept::read(&told));
    }
    app.metrics.job_handed_out();
    let (action, child) = (job.action.as_str(), job.name.as_str());
    let (version, checksum) = (job.version.as_deref(), job.checksum.as_deref());
    tracing::info!(
        job = job.id,
        command,
        node = to.node,
        signed = to.signed,
        action,
        child,
        version,
        checksum,
        "job handed out"
    );
    Ok(Some(job))
}

/// Those of the jobs that nobody has cancelled and no deadline has ended while the answer was
/// being made.
async fn still_wanted(app: &App, node: &str, mut jobs: Vec<Job>) -> ApiResult<Vec<Job>> {
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT j.id FROM boot_job j
         JOIN invocation i ON i.command_id = j.command_id AND i.node_id = j.node_id
         WHERE j.node_id = $1 AND i.finished_at IS NULL
           AND i.status IN ('Pending', 'Delayed', 'InProgress')",
    )
    .bind(node)
    .fetch_all(&app.store.read)
    .await?;
    jobs.retain(|job| open.contains(&job.id));
    Ok(jobs)
}

#[cfg(test)]
mod tests;
