//! How many of a command's invocations are where.

use super::is_finished;
use crate::app::App;
use crate::error::ApiResult;
use crate::store::select::Select;
use sqlx::{Any, FromRow, Transaction};
use std::collections::HashMap;

/// The counts. Every invocation is in exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Held back by rate control.
    pub unreleased: i64,
    /// Released, and not yet acknowledged by the node.
    pub waiting: i64,
    /// Acknowledged, and not ended.
    pub running: i64,
    /// Ended well.
    pub success: i64,
    /// Ended with an error.
    pub failed: i64,
    /// Took too long.
    pub execution_timed_out: i64,
    /// Never reached the node.
    pub delivery_timed_out: i64,
    /// Cancelled by an operator.
    pub cancelled: i64,
    /// Held back for good, because of errors elsewhere.
    pub terminated: i64,
    /// The node has been deregistered.
    pub undeliverable: i64,
    /// The node can't run such documents. Counts against no limit (AWS's documentation).
    pub invalid_platform: i64,
}

/// One group of invocations.
#[derive(FromRow)]
struct Group {
    command_id: String,
    status: String,
    status_details: String,
    stage: i64,
    n: i64,
}

/// 0 when held back, 1 when released, 2 when acknowledged, as SQL.
macro_rules! stage {
    () => {
        "CASE WHEN released_at IS NULL THEN 0 WHEN acknowledged_at IS NULL THEN 1 ELSE 2 END"
    };
}

/// The columns and the table of groups.
macro_rules! groups {
    () => {
        concat!(
            "SELECT command_id, status, status_details, COUNT(*) AS n, CAST(",
            stage!(),
            " AS BIGINT) AS stage FROM invocation"
        )
    };
}

/// What follows the conditions.
macro_rules! grouped {
    () => {
        concat!("GROUP BY command_id, status, status_details, ", stage!())
    };
}

/// The counts of one command, inside a transaction.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn tally(tx: &mut Transaction<'static, Any>, command: &str) -> ApiResult<Tally> {
    let groups: Vec<Group> =
        sqlx::query_as(concat!(groups!(), " WHERE command_id = $1 ", grouped!()))
            .bind(command)
            .fetch_all(&mut **tx)
            .await?;
    let mut tally = Tally::default();
    for group in &groups {
        tally.add(group);
    }
    Ok(tally)
}

/// The counts of several commands. A command without nodes is not in the answer.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn tallies<'c>(
    app: &App,
    commands: impl IntoIterator<Item = &'c String>,
) -> ApiResult<HashMap<String, Tally>> {
    let groups: Vec<Group> = Select::new(groups!())
        .and_in("command_id", commands)
        .rows(grouped!(), None, &app.store.read)
        .await?;
    let mut tallies: HashMap<String, Tally> = HashMap::new();
    for group in &groups {
        tallies.entry(group.command_id.clone()).or_default().add(group);
    }
    Ok(tallies)
}

impl Tally {
    fn add(&mut self, group: &Group) {
        let count = match (group.status.as_str(), group.status_details.as_str(), group.stage) {
            (status, _, 0) if !is_finished(status) => &mut self.unreleased,
            (status, _, 1) if !is_finished(status) => &mut self.waiting,
            (status, _, _) if !is_finished(status) => &mut self.running,
            ("Success", _, _) => &mut self.success,
            ("TimedOut", "DeliveryTimedOut", _) => &mut self.delivery_timed_out,
            ("TimedOut", _, _) => &mut self.execution_timed_out,
            ("Cancelled", "Terminated", _) => &mut self.terminated,
            ("Cancelled", _, _) => &mut self.cancelled,
            (_, "Undeliverable", _) => &mut self.undeliverable,
            (_, "InvalidPlatform", _) => &mut self.invalid_platform,
            _ => &mut self.failed,
        };
        *count += group.n;
    }

    /// All invocations.
    pub fn total(&self) -> i64 {
        self.unfinished() + self.completed()
    }

    /// Those that have not ended.
    pub fn unfinished(&self) -> i64 {
        self.unreleased + self.waiting + self.running
    }

    /// CompletedCount of the model: those that have ended, well or not.
    pub fn completed(&self) -> i64 {
        self.success
            + self.errors()
            + self.delivery_timed_out
            + self.cancelled
            + self.terminated
            + self.undeliverable
            + self.invalid_platform
    }

    /// ErrorCount of the model, and what counts against MaxErrors.
    pub fn errors(&self) -> i64 {
        self.failed + self.execution_timed_out
    }
}
