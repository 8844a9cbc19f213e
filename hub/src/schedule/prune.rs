//! Deletes what nobody will ask for again, so that the store stays small.

use crate::app::App;
use crate::console::logins;
use crate::error::ApiResult;
use crate::sessions::transcripts;
use stint_wire::time::Utc;

const DAY_MS: u64 = 24 * 3_600_000;

/// How long commands and their output are kept (AWS's documentation: 30 days).
const COMMANDS_MS: u64 = 30 * DAY_MS;

/// How long the ids of replies are kept. amazon-ssm-agent repeats a reply for 2 hours; stint keeps
/// its own until they are accepted, and a device may be away for weeks.
const REPLIES_MS: u64 = 30 * DAY_MS;

/// How long expired credentials of nodes are kept: a late request then hears "expired" instead of
/// "unknown", and renews its credentials.
const CREDENTIALS_MS: u64 = DAY_MS;

/// How long a wish to cancel waits for a node after the invocation has ended.
const CANCELLATIONS_MS: u64 = DAY_MS;

/// How long what happened to child agents is kept.
const EVENTS_MS: u64 = 30 * DAY_MS;

/// How long sessions that have ended are remembered: they say who was where.
const SESSIONS_MS: u64 = 400 * DAY_MS;

/// How long audit logs of nodes that are gone are kept. Those of nodes that are there are bounded by their number.
const AUDIT_MS: u64 = 365 * DAY_MS;

/// The nodes of which there are lines are found by one step through an index each: lines of nodes that are there, by
/// far the most, aren't looked at while everybody who writes waits.
pub(super) const AUDIT_OF_NODES_GONE: &str = "
    WITH RECURSIVE log (node) AS (
      SELECT MIN(node_id) FROM audit_record
      UNION ALL
      SELECT (SELECT MIN(node_id) FROM audit_record WHERE node_id > log.node) FROM log
      WHERE log.node IS NOT NULL)
    DELETE FROM audit_record WHERE received_at < $1 AND node_id IN (
      SELECT node FROM log WHERE NOT EXISTS (SELECT 1 FROM node n WHERE n.id = log.node))";

/// Deletes what is old.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn run(app: &App, now: Utc) -> ApiResult<()> {
    for (statement, keep) in [
        // Invocations, steps and cancellations go with their command.
        (
            "DELETE FROM command
             WHERE requested_at < $1 AND status NOT IN ('Pending', 'InProgress', 'Cancelling')",
            COMMANDS_MS,
        ),
        ("DELETE FROM console_login WHERE since < $1", logins::LONGEST_MILLIS),
        ("DELETE FROM child_event WHERE received_at < $1", EVENTS_MS),
        ("DELETE FROM session WHERE ended_at < $1", SESSIONS_MS),
        (AUDIT_OF_NODES_GONE, AUDIT_MS),
        // Nobody can follow an order whose activation an operator has deleted.
        (
            "DELETE FROM reidentification WHERE created_at < $1 AND NOT EXISTS (
               SELECT 1 FROM activation WHERE activation.id = reidentification.activation_id)",
            0,
        ),
        ("DELETE FROM promised_content WHERE until < $1", 0),
        ("DELETE FROM reply_seen WHERE seen_at < $1", REPLIES_MS),
        ("DELETE FROM node_credential WHERE expires_at < $1", CREDENTIALS_MS),
        (
            "DELETE FROM cancellation WHERE requested_at < $1 AND EXISTS (
               SELECT 1 FROM invocation i
               WHERE i.command_id = cancellation.command_id AND i.node_id = cancellation.node_id
                 AND i.finished_at IS NOT NULL)",
            CANCELLATIONS_MS,
        ),
    ] {
        sqlx::query(statement)
            .bind(now.0.saturating_sub(keep) as i64)
            .execute(&app.store.write)
            .await?;
    }
    transcripts::prune(app, now).await
}
