//! What sessions have printed: it comes from the node in pieces, and stays for a while.
//!
//! Never here: what is in it.

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::store::Store;
use stint_wire::text::{base64, from_base64};
use stint_wire::time::Utc;
use stint_wire::transcript::{MAX_PIECE, NOT_WANTED};

/// Bytes that are kept of one transcript; the rest isn't asked for.
pub const LARGEST: i64 = 16 * 1024 * 1024;

/// Bytes that are kept of all; the oldest go first.
const ALL: i64 = 2 * 1024 * 1024 * 1024;

/// Bytes from which on a row takes no more; below them the next piece is put to it. So one has 700 rows at most, however
/// small its pieces are.
const FULL_ROW: i64 = MAX_PIECE as i64;

/// How long one is kept, milliseconds: 90 days. Who was where is remembered for longer.
const KEPT_MILLIS: u64 = 90 * 24 * 3_600_000;

/// How long a link is good, milliseconds.
const LINK_MILLIS: u64 = 3_600_000;

/// A piece of a transcript.
pub struct Piece<'p> {
    /// The session's id.
    pub session: &'p str,
    /// Bytes of the whole.
    pub size: i64,
    /// The number of its first byte.
    pub offset: i64,
    /// Its bytes; at least one.
    pub bytes: &'p [u8],
}

#[derive(sqlx::FromRow)]
struct Row {
    node_id: String,
    transcript: String,
    transcript_bytes: i64,
}

/// Keeps a piece of the node `node`. Where the next one is to begin: the size, when nothing more is wanted.
///
/// # Errors
/// [`NOT_WANTED`] for a session that is unknown, whose preferences don't say so, or that is another node's: a device that
/// has registered anew doesn't go on sending what it had before.
pub async fn take(app: &App, node: &str, piece: &Piece<'_>) -> ApiResult<i64> {
    let mut tx = app.store.begin().await?;
    let row: Option<Row> =
        sqlx::query_as("SELECT node_id, transcript, transcript_bytes FROM session WHERE id = $1")
            .bind(piece.session)
            .fetch_optional(&mut *tx)
            .await?;
    let row = row
        .filter(|row| row.node_id == node && !["", "deleted"].contains(&row.transcript.as_str()));
    let row = row.ok_or_else(|| {
        ApiError::new(NOT_WANTED, format!("No transcript of {} is wanted.", piece.session))
    })?;
    if row.transcript == "whole" {
        return Ok(piece.size);
    }
    if row.transcript_bytes != piece.offset {
        return Ok(row.transcript_bytes);
    }
    let room = usize::try_from(LARGEST - piece.offset).unwrap_or_default();
    let kept = piece.bytes.get(..room.min(piece.bytes.len())).unwrap_or_default();
    // A row that is full begins before that.
    let last: Option<(i64, String)> = sqlx::query_as(
        "SELECT position, data FROM session_transcript
         WHERE session_id = $1 AND position > $2 ORDER BY position DESC LIMIT 1",
    )
    .bind(piece.session)
    .bind(piece.offset - FULL_ROW)
    .fetch_optional(&mut *tx)
    .await?;
    let (position, mut data) = match last {
        Some((at, data)) => (at, decoded(piece.session, at, &data)?),
        None => (piece.offset, Vec::new()),
    };
    data.extend(kept);
    sqlx::query(
        "INSERT INTO session_transcript (session_id, position, data) VALUES ($1, $2, $3)
         ON CONFLICT (session_id, position) DO UPDATE SET data = excluded.data",
    )
    .bind(piece.session)
    .bind(position)
    .bind(base64(&data))
    .execute(&mut *tx)
    .await?;
    let bytes = piece.offset + kept.len() as i64;
    let is_whole = bytes >= piece.size.min(LARGEST);
    sqlx::query(
        "UPDATE session SET transcript = $2, transcript_size = $3, transcript_bytes = $4
         WHERE id = $1",
    )
    .bind(piece.session)
    .bind(if is_whole { "whole" } else { "partial" })
    .bind(piece.size)
    .bind(bytes)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if is_whole {
        let (session, size) = (piece.session, piece.size);
        tracing::info!(session, node, bytes, size, "session transcript kept");
        return Ok(size);
    }
    Ok(bytes)
}

/// Some bytes of a transcript from `position` on, and where they end. `None`: there are no more.
///
/// # Errors
/// Those of the database; a row that is damaged counts as one.
pub async fn piece(
    store: &Store,
    session: &str,
    position: i64,
) -> Result<Option<(i64, Vec<u8>)>, sqlx::Error> {
    let row: Option<(i64, String)> = sqlx::query_as(
        "SELECT position, data FROM session_transcript
         WHERE session_id = $1 AND position <= $2 ORDER BY position DESC LIMIT 1",
    )
    .bind(session)
    .bind(position)
    .fetch_optional(&store.read)
    .await?;
    let Some((at, data)) = row else { return Ok(None) };
    let row = decoded(session, at, &data)?;
    // The row may have grown since its beginning was read.
    let bytes = usize::try_from(position - at).ok().and_then(|read| row.get(read..));
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    Ok(bytes.map(|bytes| (position + bytes.len() as i64, bytes.to_vec())))
}

fn decoded(session: &str, at: i64, data: &str) -> Result<Vec<u8>, sqlx::Error> {
    from_base64(data).ok_or_else(|| {
        sqlx::Error::Decode(format!("the transcript of {session} is damaged at byte {at}").into())
    })
}

/// Deletes what is too old, and the oldest of what is too much.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn prune(app: &App, now: Utc) -> ApiResult<()> {
    prune_to(app, now, ALL).await
}

async fn prune_to(app: &App, now: Utc, most: i64) -> ApiResult<()> {
    let oldest = now.0.saturating_sub(KEPT_MILLIS) as i64;
    let kept: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT id, requested_at, transcript_bytes FROM session
         WHERE transcript_bytes > 0 ORDER BY requested_at DESC, id DESC",
    )
    .fetch_all(&app.store.read)
    .await?;
    let mut sum = 0;
    for (id, requested_at, bytes) in kept {
        sum += bytes;
        if sum <= most && requested_at >= oldest {
            continue;
        }
        let mut tx = app.store.begin().await?;
        for statement in [
            "DELETE FROM session_transcript WHERE session_id = $1",
            "UPDATE session SET transcript = 'deleted', transcript_bytes = 0 WHERE id = $1",
        ] {
            sqlx::query(statement).bind(&id).execute(&mut *tx).await?;
        }
        tx.commit().await?;
    }
    // Of sessions that nobody remembers.
    sqlx::query(
        "DELETE FROM session_transcript WHERE NOT EXISTS (
           SELECT 1 FROM session WHERE session.id = session_transcript.session_id)",
    )
    .execute(&app.store.write)
    .await?;
    Ok(())
}

/// The path and query of a link to a transcript: whoever has it may read that one for an hour.
///
/// # Errors
/// `InternalServerError` when there is no randomness.
pub fn link(app: &App, session: &str, now: Utc) -> ApiResult<String> {
    let until = now.0.saturating_add(LINK_MILLIS).to_string();
    let token = app.seal.seal(&place(session), &until)?;
    // The signs of base64 that a URL gives a meaning.
    let token = token.replace('+', "-").replace('/', "_").replace('=', "~");
    Ok(format!("/transcripts/{session}?token={token}"))
}

/// Whether a link's token is good for this session now.
pub fn accepts(app: &App, session: &str, token: &str, now: Utc) -> bool {
    let token = token.replace('-', "+").replace('_', "/").replace('~', "=");
    let until = app.seal.open(&place(session), &token).ok();
    until.and_then(|until| until.parse::<u64>().ok()).is_some_and(|until| now.0 < until)
}

fn place(session: &str) -> String {
    format!("transcript/{session}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    async fn session(app: &App, id: &str, at: i64, transcript: &str) {
        sqlx::query(
            "INSERT INTO session (id, node_id, access_key, owner, reason, document_name, content,
               status, details, requested_at, used_at, idle_seconds, longest_seconds, transcript)
             VALUES ($1, 'mi-1', 'k', 'o', '', 'd', '{}', 'Terminated', '', $2, $2, 1, 0, $3)",
        )
        .bind(id)
        .bind(at)
        .bind(transcript)
        .execute(&app.store.write)
        .await
        .unwrap();
    }

    fn of<'p>(session: &'p str, size: i64, offset: i64, bytes: &'p [u8]) -> Piece<'p> {
        Piece { session, size, offset, bytes }
    }

    async fn text(app: &App, id: &str) -> Vec<u8> {
        let (mut text, mut position) = (Vec::new(), 0);
        while let Some((next, bytes)) = piece(&app.store, id, position).await.unwrap() {
            text.extend(bytes);
            position = next;
        }
        text
    }

    async fn state(app: &App, id: &str) -> (String, i64, i64) {
        let sql = "SELECT transcript, transcript_size, transcript_bytes FROM session WHERE id = $1";
        sqlx::query_as(sql).bind(id).fetch_one(&app.store.read).await.unwrap()
    }

    #[tokio::test]
    async fn a_transcript_goes_on_where_it_was_and_nothing_is_kept_twice() {
        let (app, _dir) = testing::app().await;
        session(&app, "s", 1, "wanted").await;
        for (offset, bytes, next) in [
            (0, &b"ab\xff"[..], 3),
            // Its answer was lost.
            (0, b"ab\xff", 3),
            (5, b"z", 3),
            (3, b"cd", 5),
            // Another sender begins anew.
            (0, b"ab\xff", 5),
            (5, b"efg", 8),
            (0, b"ab\xff", 8),
        ] {
            assert_eq!(take(&app, "mi-1", &of("s", 8, offset, bytes)).await.unwrap(), next);
        }
        assert_eq!(text(&app, "s").await, b"ab\xffcdefg");
        assert_eq!(state(&app, "s").await, ("whole".to_owned(), 8, 8));
    }

    #[tokio::test]
    async fn small_pieces_share_rows_and_a_reader_who_is_in_between_misses_nothing() {
        let (app, _dir) = testing::app().await;
        session(&app, "s", 1, "wanted").await;
        let whole: Vec<u8> = (0..3 * FULL_ROW + 5).map(|n| (n % 251) as u8).collect();
        let (mut offset, mut read, mut position) = (0, Vec::new(), 0);
        // Keystrokes, and pieces that end just before, at and behind the end of a row.
        let sizes = [1, 1, FULL_ROW - 3, 1, 1, FULL_ROW - 1, 2, FULL_ROW - 1, 4];
        for (number, size) in sizes.into_iter().enumerate() {
            let bytes = &whole[offset as usize..][..size as usize];
            let of = of("s", whole.len() as i64, offset, bytes);
            offset = take(&app, "mi-1", &of).await.unwrap();
            if number % 2 == 0 {
                while let Some((next, bytes)) = piece(&app.store, "s", position).await.unwrap() {
                    (position, _) = (next, read.extend(bytes));
                }
                assert_eq!(read, whole[..offset as usize], "{number}");
            }
        }
        assert_eq!(read, whole);
        let rows = sqlx::query_as("SELECT COUNT(*), MAX(position) FROM session_transcript");
        let rows: (i64, i64) = rows.fetch_one(&app.store.read).await.unwrap();
        assert_eq!(rows, (4, 3 * FULL_ROW + 1));
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_taken_and_only_from_the_session_s_node() {
        let (app, _dir) = testing::app().await;
        session(&app, "s", 1, "wanted").await;
        session(&app, "t", 1, "").await;
        for (node, id, code) in [
            ("mi-2", "s", NOT_WANTED),
            ("mi-1", "t", NOT_WANTED),
            ("mi-1", "never-was", NOT_WANTED),
        ] {
            assert_eq!(take(&app, node, &of(id, 1, 0, b"x")).await.unwrap_err().code, code);
        }
        assert_eq!(text(&app, "s").await, b"");
    }

    #[tokio::test]
    async fn of_a_transcript_that_is_too_long_the_beginning_is_kept() {
        let (app, _dir) = testing::app().await;
        session(&app, "s", 1, "wanted").await;
        let (size, half) = (3 * LARGEST, vec![b'x'; LARGEST as usize / 2 + 1]);
        let first = take(&app, "mi-1", &of("s", size, 0, &half)).await.unwrap();
        assert_eq!(first, half.len() as i64);
        assert_eq!(take(&app, "mi-1", &of("s", size, first, &half)).await.unwrap(), size);
        assert_eq!(state(&app, "s").await, ("whole".to_owned(), size, LARGEST));
        assert_eq!(text(&app, "s").await.len() as i64, LARGEST);
    }

    #[tokio::test]
    async fn the_old_and_the_superfluous_are_deleted_and_not_taken_again() {
        let (app, _dir) = testing::app().await;
        for (id, at) in [("old", 1000), ("older", 2000), ("new", 3000), ("newest", 4000)] {
            session(&app, id, at, "wanted").await;
            take(&app, "mi-1", &of(id, 2, 0, b"xy")).await.unwrap();
        }
        prune_to(&app, Utc(KEPT_MILLIS + 1500), 4).await.unwrap();
        for (id, kept) in [("old", false), ("older", false), ("new", true), ("newest", true)] {
            assert_eq!(text(&app, id).await.is_empty(), !kept, "{id}");
        }
        prune_to(&app, Utc(KEPT_MILLIS + 3500), 4).await.unwrap();
        assert_eq!(state(&app, "new").await, ("deleted".to_owned(), 2, 0));
        let again = take(&app, "mi-1", &of("new", 2, 0, b"xy")).await;
        assert_eq!(again.unwrap_err().code, NOT_WANTED);
        sqlx::query("DELETE FROM session").execute(&app.store.write).await.unwrap();
        prune(&app, Utc(1)).await.unwrap();
        assert_eq!(text(&app, "newest").await, b"");
    }

    #[tokio::test]
    async fn a_link_is_good_for_its_session_and_its_hour() {
        let (app, _dir) = testing::app().await;
        let link = link(&app, "s", Utc(5)).unwrap();
        let token = link.strip_prefix("/transcripts/s?token=").unwrap();
        let late = Utc(5 + LINK_MILLIS);
        assert!(accepts(&app, "s", token, Utc(late.0 - 1)));
        for (session, token, now) in
            [("s", token, late), ("t", token, Utc(6)), ("s", "", Utc(6)), ("s", "x", Utc(6))]
        {
            assert!(!accepts(&app, session, token, now));
        }
    }
}
