//! Jobs as they were handed out. A node goes by what it heard first under an id, so the same comes
//! again under it, whatever has become of the package or the node's tags since. Only the link is a
//! new one when the old one ends soon, for a node that never got the first answer.

use super::Told;
use crate::app::App;
use crate::commands::agent_job::{self, Place};
use crate::error::ApiResult;
use crate::tools::documents::attachments::{self, LINK_MILLIS, Promised};
use sqlx::{Any, Transaction};
use stint_wire::bootagent::Job;
use stint_wire::json;
use stint_wire::time::Utc;

/// The job that was handed out; `None` if none was, or if it can't be read.
pub fn read(told: &Told) -> Option<Job> {
    let node = json::parse(told.job.as_ref()?).ok()?;
    Job::read(&node)?.ok()
}

/// Keeps a job that is handed out now. Answers what is kept instead if there is another one for
/// this invocation.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn write(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    node: &str,
    job: &Job,
    promised: Option<&Promised>,
    now: Utc,
) -> ApiResult<Option<Told>> {
    let written = sqlx::query(
        "INSERT INTO boot_job (id, command_id, node_id, handed_out, job, hash, file_name,
           link_until)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (command_id, node_id) DO NOTHING",
    )
    .bind(&job.id)
    .bind(command)
    .bind(node)
    .bind(now.0 as i64)
    .bind(job.write())
    .bind(promised.map_or("", |promised| promised.hash.as_str()))
    .bind(promised.map_or("", |promised| promised.file_name.as_str()))
    .bind(promised.map_or(0, |promised| promised.until.0 as i64))
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() == 1 {
        return Ok(None);
    }
    let told = sqlx::query_as(
        "SELECT id AS job_id, job, hash, file_name, link_until FROM boot_job
         WHERE command_id = $1 AND node_id = $2",
    )
    .bind(command)
    .bind(node)
    .fetch_one(&mut **tx)
    .await?;
    Ok(Some(told))
}

/// The job with a new link to the same content, if the one in it has less than half of its time.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn renewed(app: &App, told: &Told, mut job: Job, place: &Place<'_>) -> ApiResult<Job> {
    let (Some(hash), Some(name), Some(until)) = (&told.hash, &told.file_name, told.link_until)
    else {
        return Ok(job);
    };
    let soon = place.now.0.saturating_add(LINK_MILLIS / 2);
    if hash.is_empty() || until.unsigned_abs() > soon {
        return Ok(job);
    }
    let promised = attachments::promise(app, hash, name, place.now).await?;
    job.url = Some(agent_job::url(app, &promised, place.endpoint));
    sqlx::query("UPDATE boot_job SET job = $2, link_until = $3 WHERE id = $1")
        .bind(&job.id)
        .bind(job.write())
        .bind(promised.until.0 as i64)
        .execute(&app.store.write)
        .await?;
    Ok(job)
}
