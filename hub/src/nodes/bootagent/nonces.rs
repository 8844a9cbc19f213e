//! Nonces of signed requests: a request is answered once. They are in the store, so that this
//! holds for several hubs together.

use super::refusal::{Refusal, TOO_OFTEN, UNPROVED};
use crate::app::App;
use crate::error::ApiResult;
use stint_wire::bootagent::sign::MAX_AGE;
use stint_wire::time::Utc;

/// How long a nonce is kept: a request's time may be [`MAX_AGE`] before or after the hub's.
const KEPT_MS: u64 = 2 * MAX_AGE * 1000 + 60_000;

/// Signed requests of one node in that time. The shortest step is a minute; results and retries
/// come in between.
const MOST: i64 = 1000;

/// Notes a nonce.
///
/// # Errors
/// The refusal of one that was noted before, and of a node with too many.
pub async fn first_time(app: &App, node: &str, nonce: &str, now: Utc) -> Result<(), Refusal> {
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM nonce_seen WHERE node_id = $1")
        .bind(node)
        .fetch_one(&app.store.read)
        .await?;
    if count >= MOST {
        return Err(Refusal::new(TOO_OFTEN, "The node asks too often; wait ten minutes."));
    }
    let noted = sqlx::query(
        "INSERT INTO nonce_seen (node_id, nonce, seen_at) VALUES ($1, $2, $3)
         ON CONFLICT (node_id, nonce) DO NOTHING",
    )
    .bind(node)
    .bind(nonce)
    .bind(now.0 as i64)
    .execute(&app.store.write)
    .await?;
    match noted.rows_affected() {
        1 => Ok(()),
        _ => Err(Refusal::new(UNPROVED, "The request has been here before.")),
    }
}

/// Forgets nonces of requests that would be too old by now.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn forget_old(app: &App, now: Utc) -> ApiResult<()> {
    sqlx::query("DELETE FROM nonce_seen WHERE seen_at < $1")
        .bind(now.0.saturating_sub(KEPT_MS) as i64)
        .execute(&app.store.write)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[tokio::test]
    async fn a_nonce_is_good_once_for_as_long_as_a_request_may_be_old() {
        let (app, _dir) = testing::app().await;
        let now = Utc(10_000_000);
        first_time(&app, "mi-1", "n", now).await.unwrap();
        first_time(&app, "mi-2", "n", now).await.unwrap();
        assert_eq!(first_time(&app, "mi-1", "n", now).await.unwrap_err().errcode, UNPROVED);
        forget_old(&app, Utc(now.0 + 2 * MAX_AGE * 1000)).await.unwrap();
        assert!(first_time(&app, "mi-1", "n", now).await.is_err());
        forget_old(&app, Utc(now.0 + KEPT_MS + 1)).await.unwrap();
        first_time(&app, "mi-1", "n", now).await.unwrap();
    }

    #[tokio::test]
    async fn no_node_fills_the_table() {
        let (app, _dir) = testing::app().await;
        sqlx::query("PRAGMA synchronous = OFF").execute(&app.store.write).await.unwrap();
        for n in 0..MOST {
            first_time(&app, "mi-1", &n.to_string(), Utc(1)).await.unwrap();
        }
        assert_eq!(first_time(&app, "mi-1", "x", Utc(1)).await.unwrap_err().errcode, TOO_OFTEN);
        first_time(&app, "mi-2", "x", Utc(1)).await.unwrap();
    }
}
