//! What ends sessions by itself: idle and maximum time, and ends that don't come.

use super::{End, over, stop};
use crate::app::App;
use crate::error::ApiResult;
use stint_wire::time::Utc;

/// Sessions that are open on a node at a time. Each is a process there.
pub const PER_NODE: i64 = 16;

/// How long a node may take to start one that it has been told of, milliseconds: a loaded device on a slow radio.
const START_MILLIS: u64 = 30_000;

/// How long one may wait to be told, milliseconds: nodes start one at a time, and so long all others take
/// together at most.
const TURN_MILLIS: u64 = START_MILLIS * PER_NODE as u64;

/// How long a node may take to end one, milliseconds. A shell that ignores its hang-up is killed
/// long before.
const END_MILLIS: u64 = 30_000;

/// How often what went through is written down, milliseconds.
const FLUSH_MILLIS: u64 = 10_000;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    status: String,
    joined_at: Option<i64>,
    requested_at: i64,
    offered_at: Option<i64>,
    used_at: i64,
    end_wanted_at: Option<i64>,
    idle_seconds: i64,
    longest_seconds: i64,
    /// How many access keys of that name there are.
    keys: i64,
}

/// What a session is due for.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    NotStarted,
    Revoked,
    Idle,
    TooLong,
    NotEnded,
}

/// Ends what is due, and writes down what went through the others.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn enforce(app: &App, now: Utc) -> ApiResult<()> {
    let open: Vec<Row> = sqlx::query_as(
        "SELECT id, status, joined_at, requested_at, offered_at, used_at, end_wanted_at, idle_seconds,
           longest_seconds,
           (SELECT COUNT(*) FROM access_key k WHERE k.id = session.access_key) AS keys
         FROM session WHERE ended_at IS NULL",
    )
    .fetch_all(&app.store.read)
    .await?;
    let mut done = Ok(());
    for row in &open {
        // One that can't be ended now holds up no other.
        done = done.and(keep_within(app, row, now).await);
    }
    // A relay that nobody is at any more, of a session that is over.
    for id in app.sessions.ids() {
        let open = open.iter().any(|row| row.id == id);
        let empty = app.sessions.of(&id).is_none_or(|relay| relay.is_empty());
        if !open && empty && super::find(app, &id).await?.is_none_or(|s| s.ended_at.is_some()) {
            app.sessions.forget(&id);
        }
    }
    done
}

async fn keep_within(app: &App, row: &Row, now: Utc) -> ApiResult<()> {
    let used = app.sessions.of(&row.id).map_or(Utc(0), |relay| relay.used_at());
    if used.0 > row.used_at.unsigned_abs().saturating_add(FLUSH_MILLIS) {
        super::flush(app, &row.id).await?;
    }
    let details = match due(row, used, now) {
        Due::Nothing => return Ok(()),
        Due::NotStarted => {
            let details = "The node did not start the session.";
            return over(app, &row.id, "Failed", details, true, now).await;
        }
        Due::NotEnded => return over(app, &row.id, "Terminated", "", true, now).await,
        Due::Revoked => "The access key that opened the session was deleted.",
        Due::Idle => "The session was idle for too long.",
        Due::TooLong => "The session has reached its maximum duration.",
    };
    stop(app, &row.id, &End { details }, now).await
}

fn due(row: &Row, used: Utc, now: Utc) -> Due {
    let past = |from: i64, millis: u64| now.0 >= from.unsigned_abs().saturating_add(millis);
    let seconds = |seconds: i64| seconds.unsigned_abs().saturating_mul(1000);
    if let Some(wanted) = row.end_wanted_at {
        return if past(wanted, END_MILLIS) { Due::NotEnded } else { Due::Nothing };
    }
    if row.keys == 0 {
        return Due::Revoked;
    }
    if row.joined_at.is_none() && row.status == "Connecting" {
        let late = match row.offered_at {
            Some(at) => past(at, START_MILLIS),
            None => past(row.requested_at, TURN_MILLIS),
        };
        return if late { Due::NotStarted } else { Due::Nothing };
    }
    let used = row.used_at.max(used.0 as i64);
    if past(used, seconds(row.idle_seconds)) {
        return Due::Idle;
    }
    if row.longest_seconds > 0 && past(row.requested_at, seconds(row.longest_seconds)) {
        return Due::TooLong;
    }
    Due::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_kept_to_the_millisecond() {
        let row = |change: fn(&mut Row)| {
            let mut row = Row {
                id: "s".to_owned(),
                status: "Connected".to_owned(),
                joined_at: Some(1),
                requested_at: 0,
                offered_at: Some(1),
                used_at: 1_000_000,
                end_wanted_at: None,
                idle_seconds: 60,
                longest_seconds: 0,
                keys: 1,
            };
            change(&mut row);
            row
        };
        let starting = |offered_at: Option<i64>| Row {
            status: "Connecting".to_owned(),
            joined_at: None,
            offered_at,
            ..row(|_| {})
        };
        for (row, used, now, expected) in [
            (row(|_| {}), 0, 1_059_999, Due::Nothing),
            (row(|_| {}), 0, 1_060_000, Due::Idle),
            (row(|_| {}), 1_000_001, 1_060_000, Due::Nothing),
            (row(|r| r.keys = 0), 0, 1, Due::Revoked),
            (row(|r| r.longest_seconds = 1050), 0, 1_049_999, Due::Nothing),
            (row(|r| r.longest_seconds = 1050), 0, 1_050_000, Due::TooLong),
            (row(|r| r.end_wanted_at = Some(2_000_000)), 0, 2_029_999, Due::Nothing),
            (row(|r| r.end_wanted_at = Some(2_000_000)), 0, 2_030_000, Due::NotEnded),
            (starting(Some(100_000)), 0, 129_999, Due::Nothing),
            (starting(Some(100_000)), 0, 130_000, Due::NotStarted),
            // Its turn comes when those ahead of it have started, or have failed.
            (starting(None), 0, 479_999, Due::Nothing),
            (starting(None), 0, 480_000, Due::NotStarted),
        ] {
            assert_eq!(due(&row, Utc(used), Utc(now)), expected, "{now}");
        }
    }
}
