//! What a node is to be handed now, and when something hidden comes up again.

use super::address;
use super::payload::{self, Command};
use crate::app::App;
use crate::auth::identity::NodeCaller;
use crate::commands::agent_job::{self, Place};
use crate::commands::{Ending, finish};
use crate::error::ApiResult;
use serde_json::Value;
use sqlx::{Any, Transaction};
use stint_wire::time::Utc;

/// Messages in one answer.
const BATCH: usize = 10;

/// Bytes of payload in one answer, unless a single message has more: the smallest agents read an
/// answer into memory whole.
const BATCH_BYTES: usize = 128 * 1024;

/// The answer to a look into the store.
#[derive(Debug)]
pub enum Offer {
    /// Hidden from now on, and to be sent.
    Messages(Vec<Value>),
    /// Nothing until then, unless the bell rings; `None` if nothing is hidden either.
    NothingUntil(Option<Utc>),
}

#[derive(sqlx::FromRow)]
struct Cancellation {
    message_id: String,
    command_id: String,
    requested_at: i64,
}

/// Who looks, and for what.
pub struct Look<'l> {
    /// The node's id.
    pub node: &'l str,
    /// The URL under which the node reached the hub, for links.
    pub endpoint: &'l str,
    /// The moment.
    pub now: Utc,
    /// How long what is taken is hidden from the next look, milliseconds.
    pub visibility_millis: u64,
    /// How many messages at most; more than an answer may hold count as that many.
    pub most: usize,
    /// Only what was handed out before and not acknowledged in its time.
    pub late_only: bool,
}

/// As [`Offer`], but what hides the messages has still to reach the disk.
pub enum Begun {
    /// To be sent, and hidden once this is settled.
    Messages(Vec<Value>, Hiding),
    /// See [`Offer::NothingUntil`].
    NothingUntil(Option<Utc>),
}

/// What hides the messages of an offer. It holds the single writer, so nothing that may take long is to be waited for
/// before it is [settled](Hiding::settle); dropping it shows the messages again.
pub struct Hiding(Transaction<'static, Any>);

impl Hiding {
    /// Waits for the disk.
    ///
    /// # Errors
    /// Those of the database; the messages are visible then.
    pub async fn settle(self) -> ApiResult<()> {
        Ok(self.0.commit().await?)
    }
}

/// Takes what is there for the node, and hides it.
///
/// # Errors
/// Those of the database.
pub async fn take(app: &App, look: &Look<'_>) -> ApiResult<Offer> {
    Ok(match begin(app, look).await? {
        Begun::Messages(messages, hiding) => {
            hiding.settle().await?;
            Offer::Messages(messages)
        }
        Begun::NothingUntil(next) => Offer::NothingUntil(next),
    })
}

/// As [`take`], for somebody who sends while the disk is waited for: a message that a crash shows again is only offered
/// twice, as any may be.
///
/// # Errors
/// Those of the database.
pub async fn begin(app: &App, look: &Look<'_>) -> ApiResult<Begun> {
    loop {
        let found = find(app, look).await?;
        // Most looks find nothing, so the single writer is asked for only when there is something.
        let is_empty = found.cancellations.is_empty() && found.commands.is_empty();
        let taken = if is_empty { None } else { Some(hide(app, look, found).await?) };
        if let Some(Taken::Messages(messages, hiding)) = taken {
            return Ok(Begun::Messages(messages, hiding));
        }
        if !matches!(taken, Some(Taken::Ended)) {
            let next = next_visible(app, look.node, look.now).await?;
            if next.is_some() || taken.is_none() {
                return Ok(Begun::NothingUntil(next));
            }
        }
        // What was found has ended. What stands behind it is visible, and nobody rings for it.
    }
}

/// What is visible.
struct Found {
    cancellations: Vec<Cancellation>,
    commands: Vec<(Command, Value)>,
}

/// What became of that.
enum Taken {
    /// Hidden as soon as that has reached the disk, and to be sent.
    Messages(Vec<Value>, Hiding),
    /// Somebody else has just taken it.
    Elsewhere,
    /// It ended, or was acknowledged, since it was found.
    Ended,
}

async fn find(app: &App, look: &Look<'_>) -> ApiResult<Found> {
    let &Look { node, endpoint, now, .. } = look;
    let place = Place { node, endpoint, now };
    let (cancellations, first) =
        tokio::try_join!(visible_cancellations(app, look), visible_commands(app, look))?;
    let mut first = Some(first);
    loop {
        let mut visible = match first.take() {
            Some(visible) => visible,
            None => visible_commands(app, look).await?,
        };
        if !visible.is_empty() && look.keeps_order() {
            in_order(&mut visible, &handed_out(app, look).await?);
        }
        let (commands, has_ended) = prepared(app, visible, &place).await?;
        // What stood behind those that ended is visible now, and nobody rings for it.
        if !commands.is_empty() || !has_ended {
            return Ok(Found { cancellations, commands });
        }
    }
}

async fn hide(app: &App, look: &Look<'_>, found: Found) -> ApiResult<Taken> {
    let &Look { node, now, visibility_millis, most, .. } = look;
    let until = Utc(now.0.saturating_add(visibility_millis));
    let mut transaction = app.store.begin().await?;
    let mut batch = Batch { most, ..Batch::default() };
    let mut is_elsewhere = false;
    // A cancellation first: it may stop what a command behind it would wait for.
    for row in found.cancellations {
        if batch.has_room() && hide_cancellation(&mut transaction, &row, now, until).await? {
            let (id, command) = (&row.message_id, &row.command_id);
            batch.push(payload::cancel_message(id, command, node, row.requested_at));
        }
    }
    for (row, content) in found.commands {
        if !batch.has_room() {
            break;
        }
        if !hide_command(&mut transaction, &row.id, node, now, until).await? {
            // Where somebody else has just taken it, nothing may go ahead of it on a channel.
            is_elsewhere = most == 1 && is_open(&mut transaction, &row.id, node).await?;
            if is_elsewhere {
                break;
            }
            continue;
        }
        match payload::command_message(&row, &content, node) {
            Ok(message) => batch.push(message),
            // A fault of the hub; it must not keep the node from its other commands.
            Err(error) => tracing::error!(command = row.id, %error, "unreadable command"),
        }
    }
    if !batch.messages.is_empty() {
        return Ok(Taken::Messages(batch.messages, Hiding(transaction)));
    }
    transaction.commit().await?;
    Ok(if is_elsewhere { Taken::Elsewhere } else { Taken::Ended })
}

impl Look<'_> {
    /// Until when something counts as hidden that was never handed out.
    fn never_hidden(&self) -> i64 {
        if self.late_only { i64::MAX } else { 0 }
    }

    /// Whether this look has to see to the order itself: a channel does, which asks for one message at a
    /// time, and beside one nothing comes in order.
    fn keeps_order(&self) -> bool {
        self.most > 1 && !self.late_only
    }
}

/// A command that the node was handed, and that comes again unless it is acknowledged.
#[derive(sqlx::FromRow)]
struct HandedOut {
    id: String,
    requested_at: i64,
    /// Bytes.
    size: i64,
}

/// Leaves out what was asked for later than something that the node was handed and hasn't acknowledged:
/// the answer that brought it may be lost, and what comes next must not run first. Both come when that
/// shows again, in one answer. Where that has no room for both, a command that a node never takes would
/// hold the others up for ever: then they go ahead.
fn in_order(visible: &mut Vec<Command>, handed_out: &[HandedOut]) {
    let first_blocked = visible.iter().position(|row| {
        let key = (row.requested_at, &row.id);
        let before = || handed_out.iter().take_while(|it| (it.requested_at, &it.id) < key);
        // Around them there is an envelope.
        let bytes: usize = before().map(|it| it.size.unsigned_abs() as usize + 1024).sum();
        let count = before().count();
        count > 0 && count < BATCH && bytes < BATCH_BYTES
    });
    visible.truncate(first_blocked.unwrap_or(visible.len()));
}

/// The commands with their documents as this node is to have them. What it can't have ends here; whether
/// any did.
async fn prepared(
    app: &App,
    commands: Vec<Command>,
    place: &Place<'_>,
) -> ApiResult<(Vec<(Command, Value)>, bool)> {
    let (mut ready, mut has_ended) = (Vec::new(), false);
    for row in commands {
        let read = (serde_json::from_str(&row.content), serde_json::from_str(&row.parameters));
        let (Ok(content), Ok(given)) = read else {
            // A fault of the hub; it must not keep the node from its other commands.
            tracing::error!(command = row.id, "unreadable command");
            continue;
        };
        if !agent_job::has_steps(&content) {
            ready.push((row, content));
            continue;
        }
        match agent_job::prepare(app, &content, &given, place).await? {
            Ok(content) => ready.push((row, content)),
            Err(message) => {
                let ending =
                    Ending { command: &row.id, node: place.node, errcode: -1, message: &message };
                finish(app, &ending, place.now).await?;
                has_ended = true;
            }
        }
    }
    Ok((ready, has_ended))
}

#[derive(Default)]
struct Batch {
    most: usize,
    messages: Vec<Value>,
    bytes: usize,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.messages.len() < self.most.min(BATCH) && self.bytes < BATCH_BYTES
    }

    fn push(&mut self, message: Value) {
        self.bytes += message.get("Payload").and_then(Value::as_str).map_or(0, str::len);
        self.messages.push(message);
    }
}

// Always a whole batch: of those that one message is asked for, the first may turn out to be none.
async fn visible_commands(app: &App, look: &Look<'_>) -> ApiResult<Vec<Command>> {
    Ok(sqlx::query_as(
        "SELECT c.id, c.document_name, c.content, c.parameters, c.options, c.requested_at
         FROM invocation AS i JOIN command AS c ON c.id = i.command_id
         WHERE i.node_id = $1 AND i.acknowledged_at IS NULL AND i.finished_at IS NULL
           AND i.released_at IS NOT NULL AND i.status IN ('Pending', 'Delayed', 'InProgress')
           AND COALESCE(i.hidden_until, $4) <= $2 AND c.expires_at > $2
         ORDER BY i.requested_at, i.command_id LIMIT $3",
    )
    .bind(look.node)
    .bind(look.now.0 as i64)
    .bind(BATCH as i64)
    .bind(look.never_hidden())
    .fetch_all(&app.store.read)
    .await?)
}

async fn handed_out(app: &App, look: &Look<'_>) -> ApiResult<Vec<HandedOut>> {
    Ok(sqlx::query_as(
        "SELECT c.id, i.requested_at, OCTET_LENGTH(c.content) + OCTET_LENGTH(c.parameters) AS size
         FROM invocation AS i JOIN command AS c ON c.id = i.command_id
         WHERE i.node_id = $1 AND i.acknowledged_at IS NULL AND i.finished_at IS NULL
           AND i.released_at IS NOT NULL AND i.status IN ('Pending', 'Delayed', 'InProgress')
           AND i.hidden_until > $2 AND c.expires_at > $2
         ORDER BY i.requested_at, i.command_id LIMIT $3",
    )
    .bind(look.node)
    .bind(look.now.0 as i64)
    .bind(BATCH as i64)
    .fetch_all(&app.store.read)
    .await?)
}

async fn visible_cancellations(app: &App, look: &Look<'_>) -> ApiResult<Vec<Cancellation>> {
    Ok(sqlx::query_as(
        "SELECT message_id, command_id, requested_at FROM cancellation
         WHERE node_id = $1 AND acknowledged_at IS NULL
           AND COALESCE(hidden_until, $4) <= $2
         ORDER BY requested_at, message_id LIMIT $3",
    )
    .bind(look.node)
    .bind(look.now.0 as i64)
    .bind(BATCH as i64)
    .bind(look.never_hidden())
    .fetch_all(&app.store.read)
    .await?)
}

async fn next_visible(app: &App, node: &str, now: Utc) -> ApiResult<Option<Utc>> {
    let next: Option<i64> = sqlx::query_scalar(
        "SELECT MIN(hidden_until) FROM (
           SELECT hidden_until FROM invocation
           WHERE node_id = $1 AND acknowledged_at IS NULL AND finished_at IS NULL
           UNION ALL
           SELECT hidden_until FROM cancellation
           WHERE node_id = $1 AND acknowledged_at IS NULL
         ) AS waiting WHERE hidden_until > $2",
    )
    .bind(node)
    .bind(now.0 as i64)
    .fetch_one(&app.store.read)
    .await?;
    Ok(next.map(|at| Utc(at.unsigned_abs())))
}

/// Shows everything again that the node was handed and hasn't acknowledged: whatever carried it may
/// have been cut, and nothing is to overtake it.
///
/// # Errors
/// Those of the database.
pub async fn offer_again(app: &App, node: &str, now: Utc) -> ApiResult<()> {
    for sql in [
        "UPDATE invocation SET hidden_until = $1
         WHERE node_id = $2 AND acknowledged_at IS NULL AND finished_at IS NULL
           AND hidden_until > $1",
        "UPDATE cancellation SET hidden_until = $1
         WHERE node_id = $2 AND acknowledged_at IS NULL AND hidden_until > $1",
    ] {
        sqlx::query(sql).bind(now.0 as i64).bind(node).execute(&app.store.write).await?;
    }
    Ok(())
}

/// Hides a message of the node that it doesn't want before `until`.
///
/// # Errors
/// Those of the database.
pub async fn rest(app: &App, node: &NodeCaller, message: &str, until: Utc) -> ApiResult<()> {
    let id = serde_json::json!({"MessageId": message});
    let address = address::read(node, &id)?;
    let mut transaction = app.store.begin().await?;
    for (sql, id) in [
        (
            "UPDATE invocation SET hidden_until = $1
             WHERE command_id = $2 AND node_id = $3 AND acknowledged_at IS NULL",
            address.command,
        ),
        (
            "UPDATE cancellation SET hidden_until = $1
             WHERE message_id = $2 AND node_id = $3 AND acknowledged_at IS NULL",
            address.message,
        ),
    ] {
        sqlx::query(sql)
            .bind(until.0 as i64)
            .bind(id)
            .bind(&node.id)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// `false` if it was acknowledged, cancelled or handed out since it was read.
async fn hide_command(
    transaction: &mut Transaction<'static, Any>,
    command: &str,
    node: &str,
    now: Utc,
    until: Utc,
) -> ApiResult<bool> {
    let hidden = sqlx::query(
        "UPDATE invocation SET hidden_until = $1
         WHERE command_id = $2 AND node_id = $3 AND acknowledged_at IS NULL
           AND finished_at IS NULL AND (hidden_until IS NULL OR hidden_until <= $4)",
    )
    .bind(until.0 as i64)
    .bind(command)
    .bind(node)
    .bind(now.0 as i64)
    .execute(&mut **transaction)
    .await?;
    Ok(hidden.rows_affected() == 1)
}

/// Whether a command is still to be acknowledged or to end.
async fn is_open(
    transaction: &mut Transaction<'static, Any>,
    command: &str,
    node: &str,
) -> ApiResult<bool> {
    let open: Option<i64> = sqlx::query_scalar(
        "SELECT position FROM invocation
         WHERE command_id = $1 AND node_id = $2 AND acknowledged_at IS NULL AND finished_at IS NULL",
    )
    .bind(command)
    .bind(node)
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(open.is_some())
}

async fn hide_cancellation(
    transaction: &mut Transaction<'static, Any>,
    row: &Cancellation,
    now: Utc,
    until: Utc,
) -> ApiResult<bool> {
    let hidden = sqlx::query(
        "UPDATE cancellation SET hidden_until = $1
         WHERE message_id = $2 AND acknowledged_at IS NULL
           AND (hidden_until IS NULL OR hidden_until <= $3)",
    )
    .bind(until.0 as i64)
    .bind(&row.message_id)
    .bind(now.0 as i64)
    .execute(&mut **transaction)
    .await?;
    Ok(hidden.rows_affected() == 1)
}

#[cfg(test)]
mod tests;
