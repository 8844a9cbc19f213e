//! Who is logged in with a browser. A session that a log-in has opened or resumed ends with it, however that ends.

use crate::app::App;
use crate::error::ApiResult;
use crate::random;
use crate::sessions::{self, End};
use stint_wire::text::sha256_hex;
use stint_wire::time::Utc;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long a log-in lasts, milliseconds: a working day, and no browser is logged in on the next.
pub const LONGEST_MILLIS: u64 = 12 * 3600 * 1000;

/// How long a log-in lasts that nobody uses, milliseconds. Terminals say when somebody types.
pub const IDLE_MILLIS: u64 = 3600 * 1000;

/// How often its use is written down, milliseconds. By so much it may end early.
const NOTED_MILLIS: u64 = 60_000;

/// Log-ins at a time, a row each. The one that was used least lately makes room.
const MOST: i64 = 1000;

/// Characters of a token: 258 bits, so that its digest tells nothing of it.
const TOKEN_LENGTH: usize = 43;

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Login {
    /// What sessions know it by: the digest of its token.
    pub id: String,
    /// The access key.
    pub access_key: String,
    /// The [`mark`] of the secret that was shown: with another secret the key is another key.
    secret_hash: String,
    since: i64,
    used_at: i64,
}

impl Login {
    /// Whether the key's secret still is the one that was shown with this log-in's token.
    pub fn is_by(&self, token: &str, secret: &str) -> bool {
        same(&self.secret_hash, &mark(token, secret))
    }
}

/// What is kept of a secret. One that its owner has made up may be weak, so it goes with the token, which is kept
/// nowhere: nobody can try secrets by what is in the database.
fn mark(token: &str, secret: &str) -> String {
    sha256_hex(Zeroizing::new(format!("{token}\0{secret}")).as_bytes())
}

/// Whether two secrets are the same, in a time that tells nothing of them.
pub fn matches(given: &str, known: &str) -> bool {
    same(&sha256_hex(given.as_bytes()), &sha256_hex(known.as_bytes()))
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A log-in that began, or was used, at this moment or before it, is over at `now`.
fn bounds(now: Utc) -> (i64, i64) {
    let before = |millis: u64| now.0 as i64 - millis as i64;
    (before(LONGEST_MILLIS), before(IDLE_MILLIS))
}

/// Begins one for a key whose secret was shown; its token.
///
/// # Errors
/// `InternalServerError` when the store fails, or the kernel gives no randomness.
pub async fn open(app: &App, access_key: &str, secret: &str, now: Utc) -> ApiResult<String> {
    let token = random::text(TOKEN_LENGTH, random::BASE64_SAFE)?;
    let mut tx = app.store.begin().await?;
    let all: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM console_login").fetch_one(&mut *tx).await?;
    if all >= MOST {
        let oldest = "DELETE FROM console_login WHERE id = (
                        SELECT id FROM console_login ORDER BY used_at, id LIMIT 1)";
        sqlx::query(oldest).execute(&mut *tx).await?;
    }
    sqlx::query(
        "INSERT INTO console_login (id, access_key, secret_hash, since, used_at)
         VALUES ($1, $2, $3, $4, $4)",
    )
    .bind(sha256_hex(token.as_bytes()))
    .bind(access_key)
    .bind(mark(&token, secret))
    .bind(now.0 as i64)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(token)
}

/// The log-in of a token that is good, which counts as its use.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn of(app: &App, token: &str, now: Utc) -> ApiResult<Option<Login>> {
    let row: Option<Login> = sqlx::query_as("SELECT * FROM console_login WHERE id = $1")
        .bind(sha256_hex(token.as_bytes()))
        .fetch_optional(&app.store.read)
        .await?;
    let Some(login) = row else { return Ok(None) };
    let (began, used) = bounds(now);
    if login.since <= began || login.used_at <= used {
        // What is over stays over, whatever becomes of the clock.
        delete(app, &login.id).await?;
        return Ok(None);
    }
    if now.0 >= login.used_at.unsigned_abs().saturating_add(NOTED_MILLIS) {
        sqlx::query("UPDATE console_login SET used_at = $2 WHERE id = $1")
            .bind(&login.id)
            .bind(now.0 as i64)
            .execute(&app.store.write)
            .await?;
    }
    Ok(Some(login))
}

/// Ends the log-in of a token; its access key, if there was one. Its sessions are [`end_sessions`]'s.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn close(app: &App, token: &str) -> ApiResult<Option<String>> {
    delete(app, &sha256_hex(token.as_bytes())).await
}

async fn delete(app: &App, id: &str) -> ApiResult<Option<String>> {
    let sql = "DELETE FROM console_login WHERE id = $1 RETURNING access_key";
    Ok(sqlx::query_scalar(sql).bind(id).fetch_optional(&app.store.write).await?)
}

/// Ends the open sessions of log-ins that are over. It goes by what is in the store, so that a session whose log-in has
/// ended while no hub ran ends with the next one's start.
///
/// # Errors
/// `InternalServerError` when the store fails; the sessions after the one that couldn't be ended have been ended.
pub async fn end_sessions(app: &App, now: Utc) -> ApiResult<()> {
    let (began, used) = bounds(now);
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM session
         WHERE ended_at IS NULL AND end_wanted_at IS NULL AND login <> '' AND NOT EXISTS (
           SELECT 1 FROM console_login l
           WHERE l.id = session.login AND l.since > $1 AND l.used_at > $2)",
    )
    .bind(began)
    .bind(used)
    .fetch_all(&app.store.read)
    .await?;
    let (end, mut done) =
        (End { details: "The log-in of the session's browser has ended." }, Ok(()));
    for id in left {
        done = sessions::stop(app, &id, &end, now).await.and(done);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    async fn good(app: &App, token: &str, now: u64) -> bool {
        of(app, token, Utc(now)).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_log_in_is_good_until_it_is_idle_too_old_or_closed() {
        let (app, _dir) = testing::app().await;
        let token = open(&app, "AKIA1", "secret", Utc(0)).await.unwrap();
        assert!(token.len() == TOKEN_LENGTH && !good(&app, "other", 0).await);
        let mut now = 0;
        while now + IDLE_MILLIS - 1 < LONGEST_MILLIS {
            now += IDLE_MILLIS - 1;
            assert!(good(&app, &token, now).await, "{now}");
        }
        assert!(!good(&app, &token, LONGEST_MILLIS).await);
        let token = open(&app, "AKIA1", "secret", Utc(0)).await.unwrap();
        assert!(!good(&app, &token, IDLE_MILLIS).await);
        assert!(!good(&app, &token, 0).await, "what is over stays over");
        let token = open(&app, "AKIA1", "secret", Utc(0)).await.unwrap();
        assert_eq!(close(&app, &token).await.unwrap().as_deref(), Some("AKIA1"));
        assert!(close(&app, &token).await.unwrap().is_none() && !good(&app, &token, 0).await);
    }

    #[tokio::test]
    async fn a_key_with_another_secret_is_another_key() {
        let (app, _dir) = testing::app().await;
        let token = open(&app, "AKIA1", "secret", Utc(0)).await.unwrap();
        let login = of(&app, &token, Utc(0)).await.unwrap().unwrap();
        let is_by = |secret| login.is_by(&token, secret);
        assert!(is_by("secret") && !is_by("Secret") && !is_by(""));
        assert!(matches("a", "a") && !matches("a", "") && !matches("", "a"));
    }

    #[tokio::test]
    async fn what_is_kept_of_a_secret_tells_nothing_without_the_token() {
        let (app, _dir) = testing::app().await;
        for _ in 0..2 {
            open(&app, "AKIA1", "secret", Utc(0)).await.unwrap();
        }
        let kept: Vec<String> = sqlx::query_scalar(
            "SELECT secret_hash FROM console_login UNION SELECT id FROM console_login",
        )
        .fetch_all(&app.store.read)
        .await
        .unwrap();
        // The same secret is not the same there, nor anything that only has it in it.
        assert_eq!(kept.len(), 4);
        for id in &kept {
            assert!(!kept.contains(&mark(id, "secret")) && *id != sha256_hex(b"secret"));
        }
    }

    #[tokio::test]
    async fn the_one_that_was_used_least_lately_makes_room() {
        let (app, _dir) = testing::app().await;
        let first = open(&app, "AKIA0", "s", Utc(1)).await.unwrap();
        let second = open(&app, "AKIA1", "s", Utc(2)).await.unwrap();
        let more = "WITH RECURSIVE n (i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
                    INSERT INTO console_login (id, access_key, secret_hash, since, used_at)
                    SELECT 'login-' || i, 'k', 's', 3, 3 FROM n";
        sqlx::query(more).bind(MOST).execute(&app.store.write).await.unwrap();
        assert!(good(&app, &first, 3 + NOTED_MILLIS).await);
        open(&app, "AKIAX", "s", Utc(5)).await.unwrap();
        assert!(!good(&app, &second, 5).await && good(&app, &first, 5).await);
    }
}
