//! Sessions: what the operator's side, the channels and the schedule share about them.
//!
//! The table says who may be where and what has ended; a [`relay`] only carries messages between the
//! two ends while both are here.
//!
//! Never here: a request, or what goes through a session.

pub mod limits;
pub mod relay;
mod table;
pub mod transcripts;

pub use limits::enforce;
pub use relay::Live;
#[cfg(test)]
pub use table::CLOSING;
pub use table::{
    Draft, End, Session, TOKEN_MILLIS, closing, end, find, give_token, insert, joined,
    next_to_start, set_status, told_end, told_start, use_token,
};

use crate::app::App;
use crate::error::ApiResult;
use relay::Ending;
use stint_wire::time::Utc;

/// Ends a session that is open: at once if the node doesn't know of it, else when the node says so.
/// The client is let go with `end.details`.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn stop(app: &App, id: &str, end: &End<'_>, now: Utc) -> ApiResult<()> {
    let Some((node, offered_at)) = table::end(app, id, end, now).await? else { return Ok(()) };
    // A node that was never told has nothing to say about it.
    if offered_at.is_none() {
        return over(app, id, "Terminated", end.details, true, now).await;
    }
    let output = end.details.to_owned();
    app.sessions.end(id, Ending { output, tells_agent: true });
    app.wakeups.ring(&node);
    Ok(())
}

/// Notes that a session is over, for good, and says so in the log. `tells_agent`: it doesn't know.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn over(
    app: &App,
    id: &str,
    status: &str,
    details: &str,
    tells_agent: bool,
    now: Utc,
) -> ApiResult<()> {
    flush(app, id).await?;
    let finished = table::finish(app, id, status, details, now).await?;
    if let Some(session) = &finished {
        tracing::info!(
            session = id,
            node = session.node_id,
            owner = session.owner,
            document = session.document_name,
            reason = session.reason,
            status = session.status,
            details = session.details,
            seconds = (now.0 as i64 - session.requested_at) / 1000,
            bytes_in = session.bytes_in,
            bytes_out = session.bytes_out,
            transcript = session.transcript,
            output_url = session.output_url,
            "session ended"
        );
    }
    // After the table, where an end that comes just now looks first.
    app.sessions.end(id, Ending { output: details.to_owned(), tells_agent });
    if let Some(session) = finished {
        // The next one may start.
        app.wakeups.ring(&session.node_id);
    }
    Ok(())
}

/// Ends all sessions of a node that is no node of this hub any more.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn forsake(app: &App, node: &str, now: Utc) -> ApiResult<()> {
    let open: Vec<String> =
        sqlx::query_scalar("SELECT id FROM session WHERE node_id = $1 AND ended_at IS NULL")
            .bind(node)
            .fetch_all(&app.store.read)
            .await?;
    for id in open {
        over(app, &id, "Terminated", "The node was deregistered.", true, now).await?;
    }
    Ok(())
}

/// Writes down what has gone through a session since the last time.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn flush(app: &App, id: &str) -> ApiResult<()> {
    let Some(relay) = app.sessions.of(id) else { return Ok(()) };
    let used = relay.take_used();
    if used.at.0 == 0 {
        return Ok(());
    }
    table::note_use(app, id, &used).await
}
