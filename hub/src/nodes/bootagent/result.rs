//! POST /agent/job/result: what became of jobs.

use super::exchange::{Exchange, Said};
use super::refusal::{MALFORMED, Refusal};
use super::{members, status};
use crate::app::App;
use crate::commands::{Ending, finish};
use stint_wire::bootagent::JobResult;
use stint_wire::bootagent::status::read_results;

/// Results in one request; a node keeps no more.
const MOST: usize = 1000;

/// Takes the results. The same one again changes nothing, and one of a job that the hub doesn't
/// know is taken too: the node would bring it for ever.
///
/// # Errors
/// The refusal that the node is to hear; it then brings the same results again.
pub async fn answer(app: &App, exchange: &Exchange<'_>) -> Result<Said, Refusal> {
    // The founding page's results name no agent: the job's id is all there is to know it by.
    let node = match exchange.claim {
        Some(_) => Some(status::proved(app, exchange).await?),
        None => None,
    };
    let results = read_results(exchange.body)
        .map(members::of_results)
        .map_err(|error| Refusal::new(MALFORMED, format!("The body has no results: {error}.")))?;
    for result in results.iter().take(MOST) {
        take(app, exchange, node.as_deref(), result).await?;
    }
    let body = r#"{"errcode":0}"#.to_owned();
    Ok(Said { node: node.unwrap_or_default(), body })
}

async fn take(
    app: &App,
    exchange: &Exchange<'_>,
    sender: Option<&str>,
    result: &JobResult,
) -> Result<(), Refusal> {
    let job: Option<(String, String)> = sqlx::query_as(
        "SELECT j.command_id, j.node_id FROM boot_job j JOIN boot_agent b ON b.node_id = j.node_id
         WHERE j.id = $1 AND (j.node_id = $2 OR ($2 = '' AND b.signed = 0))",
    )
    .bind(&result.id)
    .bind(sender.unwrap_or_default())
    .fetch_optional(&app.store.read)
    .await?;
    let Some((command, node)) = job else {
        tracing::warn!(job = result.id, node = sender, "the result of a job that nobody knows");
        return Ok(());
    };
    let (errcode, message) = (i64::from(result.errcode), result.message.as_str());
    let ending = Ending { command: &command, node: &node, errcode, message };
    finish(app, &ending, exchange.now).await?;
    app.metrics.job_ended(errcode == 0);
    let message = members::logged(message);
    tracing::info!(job = result.id, command, node, errcode, message, "job ended");
    Ok(())
}
