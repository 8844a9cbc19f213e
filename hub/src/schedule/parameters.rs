//! Parameters that expire, and the notices about them.

use crate::app::App;
use crate::error::ApiResult;
use crate::tools::parameter_store::{Due, Policies, remove};
use stint_wire::time::Utc;

/// Parameters looked at in one go; the rest has its turn a second later.
const BATCH: i64 = 100;

/// Does what policies want done by now.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn run(app: &App, now: Utc) -> ApiResult<()> {
    let due: Vec<(String,)> = sqlx::query_as(
        "SELECT name FROM parameter WHERE policy_due_at <= $1 ORDER BY policy_due_at LIMIT $2",
    )
    .bind(now.0 as i64)
    .bind(BATCH)
    .fetch_all(&app.store.read)
    .await?;
    for (name,) in due {
        one(app, &name, now).await?;
    }
    Ok(())
}

/// The row is read again: the parameter may have got a new version, or be gone.
async fn one(app: &App, name: &str, now: Utc) -> ApiResult<()> {
    let mut tx = app.store.begin().await?;
    let row: Option<(i64, String)> = sqlx::query_as(
        "SELECT v.version, v.policies FROM parameter p
         JOIN parameter_version v ON v.name = p.name AND v.version = p.latest WHERE p.name = $1",
    )
    .bind(name)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((version, policies)) = row else { return Ok(()) };
    let mut policies = Policies::from_row(&policies);
    let notices = match policies.take_due(now) {
        Due::Expired => {
            remove(&mut tx, name).await?;
            tx.commit().await?;
            tracing::info!(parameter = name, policy = "Expiration", "the parameter is deleted");
            return Ok(());
        }
        Due::Notices(notices) => notices,
    };
    sqlx::query("UPDATE parameter_version SET policies = $3 WHERE name = $1 AND version = $2")
        .bind(name)
        .bind(version)
        .bind(policies.to_row())
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE parameter SET policy_due_at = $2 WHERE name = $1")
        .bind(name)
        .bind(policies.next_due())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    for policy in notices {
        tracing::warn!(parameter = name, policy, version, "a parameter policy gives notice");
    }
    Ok(())
}
