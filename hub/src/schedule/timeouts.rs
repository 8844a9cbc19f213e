//! Invocations that a node never took, or never finished.

use crate::app::App;
use crate::commands::{Options, delivery_seconds, progressed};
use crate::error::ApiResult;
use sqlx::FromRow;
use std::collections::BTreeSet;
use stint_wire::time::Utc;

/// How long after its execution timeout a silent invocation is given up. A device that is
/// switched off over a long weekend still reports what it did; amazon-ssm-agent itself forgets a
/// document 48 hours after it was sent, so this is a day more.
const SILENCE_MS: i64 = 72 * 3_600_000;

#[derive(FromRow)]
struct Running {
    command_id: String,
    node_id: String,
    status: String,
    acknowledged_at: i64,
    options: String,
}

/// Ends what is past its deadline, and renews the commands it belongs to.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn run(app: &App, now: Utc) -> ApiResult<()> {
    let mut changed = undelivered(app, now).await?;
    changed.extend(silent(app, now).await?);
    for command in changed {
        progressed(app, &command).await?;
    }
    Ok(())
}

/// Released, and not acknowledged within the delivery timeout.
async fn undelivered(app: &App, now: Utc) -> ApiResult<BTreeSet<String>> {
    let late: Vec<(String, String)> = sqlx::query_as(concat!(
        "SELECT i.command_id, i.node_id FROM invocation i JOIN command c ON c.id = i.command_id
         LEFT JOIN boot_agent b ON b.node_id = i.node_id
         WHERE i.status IN ('Pending', 'Delayed') AND i.acknowledged_at IS NULL
           AND i.released_at + 1000 * ",
        delivery_seconds!(),
        " <= $1",
    ))
    .bind(now.0 as i64)
    .fetch_all(&app.store.read)
    .await?;
    let mut changed = BTreeSet::new();
    for (command, node) in late {
        // Asks again: the node may have acknowledged it since.
        sqlx::query(
            "UPDATE invocation
             SET status = 'TimedOut', status_details = 'DeliveryTimedOut', finished_at = $3
             WHERE command_id = $1 AND node_id = $2 AND acknowledged_at IS NULL
               AND status IN ('Pending', 'Delayed')",
        )
        .bind(&command)
        .bind(&node)
        .bind(now.0 as i64)
        .execute(&app.store.write)
        .await?;
        changed.insert(command);
    }
    Ok(changed)
}

/// Acknowledged, and silent for so long that nobody will report any more.
async fn silent(app: &App, now: Utc) -> ApiResult<BTreeSet<String>> {
    let candidates: Vec<Running> = sqlx::query_as(
        "SELECT i.command_id, i.node_id, i.status, i.acknowledged_at, c.options
         FROM invocation i JOIN command c ON c.id = i.command_id
         WHERE i.status IN ('InProgress', 'Cancelling') AND i.acknowledged_at < $1",
    )
    .bind((now.0 as i64).saturating_sub(SILENCE_MS))
    .fetch_all(&app.store.read)
    .await?;
    let mut changed = BTreeSet::new();
    for row in candidates {
        let Some((status, details)) = end_of_silence(&row, now) else { continue };
        sqlx::query(
            "UPDATE invocation
             SET status = $3, status_details = $4, finished_at = $5, trace = $6
             WHERE command_id = $1 AND node_id = $2 AND status IN ('InProgress', 'Cancelling')",
        )
        .bind(&row.command_id)
        .bind(&row.node_id)
        .bind(status)
        .bind(details)
        .bind(now.0 as i64)
        .bind("The node has not reported how the command ended.")
        .execute(&app.store.write)
        .await?;
        changed.insert(row.command_id);
    }
    Ok(changed)
}

/// How an invocation ends that the node does not report, if it has to end.
fn end_of_silence(row: &Running, now: Utc) -> Option<(&'static str, &'static str)> {
    let options: Options = serde_json::from_str(&row.options).unwrap_or_default();
    let end = row.acknowledged_at.saturating_add(options.execution_ms()).saturating_add(SILENCE_MS);
    (end <= now.0 as i64).then_some(match row.status.as_str() {
        "Cancelling" => ("Cancelled", "Cancelled"),
        _ => ("TimedOut", "ExecutionTimedOut"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_three_days_after_its_execution_timeout_to_come_back() {
        let row = |status: &str| Running {
            command_id: String::new(),
            node_id: String::new(),
            status: status.to_owned(),
            acknowledged_at: 1_000_000,
            options: r#"{"ExecutionSeconds": 3600}"#.to_owned(),
        };
        let deadline = 1_000_000 + 3_600_000 + 72 * 3_600_000;
        for (status, now, expected) in [
            ("InProgress", deadline - 1, None),
            ("InProgress", deadline, Some(("TimedOut", "ExecutionTimedOut"))),
            ("Cancelling", deadline, Some(("Cancelled", "Cancelled"))),
        ] {
            assert_eq!(end_of_silence(&row(status), Utc(now)), expected);
        }
    }
}
