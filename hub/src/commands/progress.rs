//! What follows when something about a command has changed: more invocations are released, or
//! none any more, and its status is renewed.

use super::rate::{self, Decision};
use super::rollup::{State, rollup};
use super::{Options, Tally, tally, unfinished};
use crate::app::App;
use crate::error::ApiResult;
use sqlx::{Any, FromRow, Transaction};
use stint_wire::time::Utc;

/// How long after its execution timeout a silent invocation keeps its place in the rate control:
/// the agent kills the script at the timeout, and reports within seconds when it has a link.
const PLACE_GRACE_MS: i64 = 10 * 60_000;

#[derive(FromRow)]
struct Row {
    status: String,
    status_details: String,
    max_concurrency: String,
    max_errors: String,
    timeout_seconds: i64,
    options: String,
}

/// Renews a command after a timeout or a deregistration, and wakes the nodes that have
/// got work. A command that has ended, or that is not there, stays as it is.
///
/// # Errors
/// `InternalServerError` when the store fails; the minute's review tries again.
pub async fn progressed(app: &App, command_id: &str) -> ApiResult<()> {
    let tx = app.store.begin().await?;
    commit(app, tx, command_id, app.now()).await
}

/// Commits a transaction that moved an invocation, together with what follows from it for the
/// command: one wait for the disk, and no moment at which a crash could part the two.
///
/// # Errors
/// `InternalServerError` when the store fails; nothing is changed then.
pub async fn commit(
    app: &App,
    mut tx: Transaction<'static, Any>,
    command: &str,
    now: Utc,
) -> ApiResult<()> {
    let released = advance(&mut tx, command, now).await?;
    tx.commit().await?;
    for node in released {
        app.wakeups.ring(&node);
    }
    Ok(())
}

/// As [`progressed`], inside the caller's transaction. Returns the nodes to wake after it.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn advance(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    now: Utc,
) -> ApiResult<Vec<String>> {
    // Most replies change nothing about the command as a whole, and cost no write then.
    match plan(tx, command, now).await? {
        Some(plan) if plan.changes_something() => {}
        _ => return Ok(Vec::new()),
    }
    // Decides again under a lock: two hubs must not release twice for the same place.
    sqlx::query("UPDATE command SET status = status WHERE id = $1")
        .bind(command)
        .execute(&mut **tx)
        .await?;
    let Some(plan) = plan(tx, command, now).await? else { return Ok(Vec::new()) };
    let released = match plan.decision {
        Decision::Release(0) => Vec::new(),
        Decision::Release(n) => release(tx, command, n, plan.row.timeout_seconds, now).await?,
        Decision::Stop => {
            terminate(tx, command, now).await?;
            Vec::new()
        }
    };
    let state = state(&tally(tx, command).await?, &plan.row);
    sqlx::query("UPDATE command SET status = $2, status_details = $3 WHERE id = $1")
        .bind(command)
        .bind(state.status)
        .bind(state.details)
        .execute(&mut **tx)
        .await?;
    Ok(released)
}

/// What is to be done about a command.
struct Plan {
    row: Row,
    decision: Decision,
    /// The status without what the decision will change.
    state: State,
}

impl Plan {
    fn changes_something(&self) -> bool {
        let same =
            self.state.status == self.row.status && self.state.details == self.row.status_details;
        self.decision != Decision::Release(0) || !same
    }
}

/// Nothing for a command that has ended or is not there.
async fn plan(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    now: Utc,
) -> ApiResult<Option<Plan>> {
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT status, status_details, max_concurrency, max_errors, timeout_seconds, options
         FROM command WHERE id = $1 AND status IN ",
        unfinished!()
    ))
    .bind(command)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let counts = tally(tx, command).await?;
    // Where nothing is held back, nobody asks how many places there are.
    let overdue = if counts.unreleased == 0 { 0 } else { overdue(tx, command, &row, now).await? };
    let decision = rate::decide(&counts, overdue, &row.max_concurrency, &row.max_errors);
    let state = state(&counts, &row);
    Ok(Some(Plan { row, decision, state }))
}

fn state(counts: &Tally, row: &Row) -> State {
    rollup(counts, &row.max_errors, row.status == "Cancelling")
}

/// How many running invocations are past their execution timeout and the grace.
async fn overdue(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    row: &Row,
    now: Utc,
) -> ApiResult<i64> {
    // Damaged options must not keep a node's reply from being stored.
    let options: Options = serde_json::from_str(&row.options).unwrap_or_default();
    let before =
        (now.0 as i64).saturating_sub(options.execution_ms()).saturating_sub(PLACE_GRACE_MS);
    let (count,): (i64,) = sqlx::query_as(concat!(
        "SELECT COUNT(*) FROM invocation
         WHERE command_id = $1 AND acknowledged_at < $2 AND status IN ",
        unfinished!()
    ))
    .bind(command)
    .bind(before)
    .fetch_one(&mut **tx)
    .await?;
    Ok(count)
}

/// Makes the next `n` invocations deliverable. Their delivery timeout starts now.
async fn release(
    tx: &mut Transaction<'static, Any>,
    command: &str,
    n: i64,
    timeout_seconds: i64,
    now: Utc,
) -> ApiResult<Vec<String>> {
    let nodes: Vec<(String,)> = sqlx::query_as(
        "UPDATE invocation SET released_at = $2
         WHERE command_id = $1 AND node_id IN (
           SELECT node_id FROM invocation
           WHERE command_id = $1 AND released_at IS NULL AND status = 'Pending'
           ORDER BY position LIMIT $3)
         RETURNING node_id",
    )
    .bind(command)
    .bind(now.0 as i64)
    .bind(n)
    .fetch_all(&mut **tx)
    .await?;
    sqlx::query("UPDATE command SET expires_at = $2 WHERE id = $1")
        .bind(command)
        .bind((now.0 as i64).saturating_add(timeout_seconds * 1000))
        .execute(&mut **tx)
        .await?;
    Ok(nodes.into_iter().map(|(node,)| node).collect())
}

/// Ends what was never released, after too many errors.
async fn terminate(tx: &mut Transaction<'static, Any>, command: &str, now: Utc) -> ApiResult<()> {
    sqlx::query(
        "UPDATE invocation
         SET status = 'Cancelled', status_details = 'Terminated', finished_at = $2
         WHERE command_id = $1 AND released_at IS NULL AND status = 'Pending'",
    )
    .bind(command)
    .bind(now.0 as i64)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
