//! The table of sessions.

use super::relay::Used;
use crate::app::App;
use crate::error::ApiResult;
use sqlx::FromRow;
use stint_wire::text;
use stint_wire::time::Utc;
use subtle::ConstantTimeEq;

/// How long a client's token is good, milliseconds. The AWS CLI looks for the plugin first.
pub const TOKEN_MILLIS: u64 = 60_000;

/// How long a node is still told that a session has ended, milliseconds. No session goes on for longer
/// without a server.
const TELL_MILLIS: u64 = 24 * 3600 * 1000;

/// A session that is to be opened.
pub struct Draft<'d> {
    /// Its id.
    pub id: &'d str,
    /// The node's.
    pub node: &'d str,
    /// The key that wants it.
    pub access_key: &'d str,
    /// The same as an ARN.
    pub owner: &'d str,
    /// Why, if the operator said so.
    pub reason: &'d str,
    /// The document's name.
    pub document: &'d str,
    /// What the node is told: JSON.
    pub content: &'d str,
    /// After how many idle seconds it ends.
    pub idle_seconds: i64,
    /// After how many seconds it ends in any case; 0 for never.
    pub longest_seconds: i64,
    /// Whether the hub keeps what it prints.
    pub transcript: bool,
    /// Where in S3 the node puts that; empty for nowhere.
    pub output_url: &'d str,
}

/// A row.
#[derive(Clone, Debug, FromRow)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// The node's.
    pub node_id: String,
    /// The key that opened it.
    pub access_key: String,
    /// The same as an ARN.
    pub owner: String,
    /// Why, if the operator said so.
    pub reason: String,
    /// The document's name.
    pub document_name: String,
    /// What the node is told: JSON.
    pub content: String,
    /// A word of the service.
    pub status: String,
    /// Why it ended, for people.
    pub details: String,
    /// Milliseconds since 1970, as all that follow.
    pub requested_at: i64,
    /// When the node was told first.
    pub offered_at: Option<i64>,
    /// When its end was wanted.
    pub end_wanted_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// After how many seconds it ends in any case; 0 for never.
    pub longest_seconds: i64,
    /// Bytes from the client to the node.
    pub bytes_in: i64,
    /// Bytes from the node to the client.
    pub bytes_out: i64,
    /// What the hub has of what it printed: empty if it isn't wanted, `wanted`, `partial`, `whole`, `deleted`.
    pub transcript: String,
    /// Where in S3 that is; empty for nowhere.
    pub output_url: String,
}

/// How a session is to end.
pub struct End<'e> {
    /// For people; clients show it.
    pub details: &'e str,
}

/// Keeps a new session, unless `limit` are open on its node. Whether it is kept. Many may be wanted at once, so whoever
/// counts has the node's row until it is kept: where a database has several writers, two would count the same.
///
/// # Errors
/// `InternalServerError` when the store fails, as everywhere here.
pub async fn insert(app: &App, draft: &Draft<'_>, limit: i64, now: Utc) -> ApiResult<bool> {
    let mut transaction = app.store.begin().await?;
    let mine = sqlx::query("UPDATE node SET name = name WHERE id = $1").bind(draft.node);
    mine.execute(&mut *transaction).await?;
    let inserted = sqlx::query(
        "INSERT INTO session (id, node_id, access_key, owner, reason, document_name, content,
           status, details, requested_at, used_at, idle_seconds, longest_seconds, transcript,
           output_url)
         SELECT $1, $2, $3, $4, $5, $6, $7, 'Connecting', '', $8, $8, $9, $10, $11, $12
         WHERE (SELECT COUNT(*) FROM session WHERE node_id = $2 AND ended_at IS NULL) < $13",
    )
    .bind(draft.id)
    .bind(draft.node)
    .bind(draft.access_key)
    .bind(draft.owner)
    .bind(draft.reason)
    .bind(draft.document)
    .bind(draft.content)
    .bind(now.0 as i64)
    .bind(draft.idle_seconds)
    .bind(draft.longest_seconds)
    .bind(if draft.transcript { "wanted" } else { "" })
    .bind(draft.output_url)
    .bind(limit)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(inserted.rows_affected() == 1)
}

/// The session of this id.
///
/// # Errors
/// As [`insert`].
pub async fn find(app: &App, id: &str) -> ApiResult<Option<Session>> {
    Ok(sqlx::query_as("SELECT * FROM session WHERE id = $1")
        .bind(id)
        .fetch_optional(&app.store.read)
        .await?)
}

/// The oldest session that the node hasn't joined yet. There is one at a time: amazon-ssm-agent's
/// control channel doesn't survive a burst of them.
///
/// # Errors
/// As [`insert`].
pub async fn next_to_start(app: &App, node: &str) -> ApiResult<Option<Session>> {
    Ok(sqlx::query_as(
        "SELECT * FROM session WHERE node_id = $1 AND ended_at IS NULL
           AND status = 'Connecting' AND joined_at IS NULL AND end_wanted_at IS NULL
         ORDER BY requested_at, id LIMIT 1",
    )
    .bind(node)
    .fetch_optional(&app.store.read)
    .await?)
}

/// Notes that the node has been told to start a session. The first time counts.
///
/// # Errors
/// As [`insert`].
pub async fn told_start(app: &App, id: &str, now: Utc) -> ApiResult<()> {
    let sql = "UPDATE session SET offered_at = $2 WHERE id = $1 AND offered_at IS NULL";
    sqlx::query(sql).bind(id).bind(now.0 as i64).execute(&app.store.write).await?;
    Ok(())
}

/// What [`closing`] asks.
pub const CLOSING: &str = "SELECT * FROM session WHERE node_id = $1 AND end_told_at IS NULL
    AND ((ended_at IS NULL AND end_wanted_at IS NOT NULL)
      OR (ended_at > $2 AND offered_at IS NOT NULL))
    ORDER BY requested_at, id";

/// The sessions of a node whose end it hasn't been told. One that was away when a session was given up is
/// told when it comes back: the shell may still be there.
///
/// # Errors
/// As [`insert`].
pub async fn closing(app: &App, node: &str, now: Utc) -> ApiResult<Vec<Session>> {
    Ok(sqlx::query_as(CLOSING)
        .bind(node)
        .bind(now.0.saturating_sub(TELL_MILLIS) as i64)
        .fetch_all(&app.store.read)
        .await?)
}

/// Notes that the node has been told that a session is to end.
///
/// # Errors
/// As [`insert`].
pub async fn told_end(app: &App, id: &str, now: Utc) -> ApiResult<()> {
    let sql = "UPDATE session SET end_told_at = $2 WHERE id = $1";
    sqlx::query(sql).bind(id).bind(now.0 as i64).execute(&app.store.write).await?;
    Ok(())
}

/// Notes that the node's end is here.
///
/// # Errors
/// As [`insert`].
pub async fn joined(app: &App, id: &str, now: Utc) -> ApiResult<()> {
    let sql = "UPDATE session SET joined_at = COALESCE(joined_at, $2) WHERE id = $1";
    sqlx::query(sql).bind(id).bind(now.0 as i64).execute(&app.store.write).await?;
    Ok(())
}

/// Changes the status of a session whose end nobody wants yet.
///
/// # Errors
/// As [`insert`].
pub async fn set_status(app: &App, id: &str, status: &str) -> ApiResult<()> {
    sqlx::query(
        "UPDATE session SET status = $2
         WHERE id = $1 AND end_wanted_at IS NULL AND ended_at IS NULL AND status <> $2",
    )
    .bind(id)
    .bind(status)
    .execute(&app.store.write)
    .await?;
    Ok(())
}

/// Notes that a session is to end. The node's id and when that was told of it, unless the session has ended or somebody
/// wanted its end before.
///
/// # Errors
/// As [`insert`].
pub async fn end(
    app: &App,
    id: &str,
    end: &End<'_>,
    now: Utc,
) -> ApiResult<Option<(String, Option<i64>)>> {
    Ok(sqlx::query_as(
        "UPDATE session SET status = 'Terminating', details = $2, end_wanted_at = $3
         WHERE id = $1 AND end_wanted_at IS NULL AND ended_at IS NULL
         RETURNING node_id, offered_at",
    )
    .bind(id)
    .bind(end.details)
    .bind(now.0 as i64)
    .fetch_optional(&app.store.write)
    .await?)
}

/// Notes that a session has ended. What somebody wanted first stays as its reason; what the node was
/// told goes, as secrets may be among its parameters. The row, unless it had ended before.
///
/// # Errors
/// As [`insert`].
pub async fn finish(
    app: &App,
    id: &str,
    status: &str,
    details: &str,
    now: Utc,
) -> ApiResult<Option<Session>> {
    Ok(sqlx::query_as(
        "UPDATE session SET status = $2, ended_at = $4, content = '{}',
           details = CASE WHEN details = '' THEN $3 ELSE details END
         WHERE id = $1 AND ended_at IS NULL RETURNING *",
    )
    .bind(id)
    .bind(status)
    .bind(details)
    .bind(now.0 as i64)
    .fetch_optional(&app.store.write)
    .await?)
}

/// Notes what went through.
///
/// # Errors
/// As [`insert`].
pub async fn note_use(app: &App, id: &str, used: &Used) -> ApiResult<()> {
    sqlx::query(
        "UPDATE session SET used_at = $2, bytes_in = bytes_in + $3, bytes_out = bytes_out + $4
         WHERE id = $1",
    )
    .bind(id)
    .bind(used.at.0 as i64)
    .bind(used.bytes_in as i64)
    .bind(used.bytes_out as i64)
    .execute(&app.store.write)
    .await?;
    Ok(())
}

/// Makes the token with which a client may come once, within a minute. An older one is worth nothing. If a browser gets it, the
/// session ends with that log-in.
///
/// # Errors
/// As [`insert`], and when there is no randomness.
pub async fn give_token(app: &App, id: &str, login: &str, now: Utc) -> ApiResult<String> {
    let token = crate::random::text(64, crate::random::BASE64_SAFE)?;
    sqlx::query(
        "UPDATE session SET token_hash = $2, token_until = $3,
           login = CASE WHEN $4 = '' THEN login ELSE $4 END
         WHERE id = $1",
    )
    .bind(id)
    .bind(text::sha256_hex(token.as_bytes()))
    .bind(now.0.saturating_add(TOKEN_MILLIS) as i64)
    .bind(login)
    .execute(&app.store.write)
    .await?;
    Ok(token)
}

/// Whether this is the client's token of the session. It is worth nothing afterwards.
///
/// # Errors
/// As [`insert`].
pub async fn use_token(app: &App, id: &str, token: &str, now: Utc) -> ApiResult<bool> {
    let row: Option<(Option<String>, Option<i64>)> =
        sqlx::query_as("SELECT token_hash, token_until FROM session WHERE id = $1")
            .bind(id)
            .fetch_optional(&app.store.read)
            .await?;
    let Some((Some(kept), Some(until))) = row else { return Ok(false) };
    let given = text::sha256_hex(token.as_bytes());
    let good: bool = given.as_bytes().ct_eq(kept.as_bytes()).into();
    if !good || now.0 as i64 >= until {
        return Ok(false);
    }
    // Of two that come with it at once, one is first.
    let used =
        sqlx::query("UPDATE session SET token_hash = NULL WHERE id = $1 AND token_hash = $2")
            .bind(id)
            .bind(&kept)
            .execute(&app.store.write)
            .await?;
    Ok(used.rows_affected() == 1)
}
