//! Writing versions: what the newest one says, room for the next, and the next.

use super::policies::Policies;
use super::secure;
use crate::app::{App, Caller};
use crate::error::{ApiError, ApiResult};
use sqlx::{Any, Transaction};
use stint_wire::time::Utc;

/// The versions that a parameter keeps.
const MOST_VERSIONS: i64 = 100;

/// What the newest version says, as far as a new one takes it over.
#[derive(sqlx::FromRow)]
pub struct Before {
    /// String, StringList or SecureString.
    pub parameter_type: String,
    /// Standard or Advanced.
    pub tier: String,
    /// `text` and others.
    pub data_type: String,
    /// Its number.
    pub latest: i64,
    /// What the operator said.
    pub description: Option<String>,
    /// The regular expression that values have to match.
    pub allowed_pattern: Option<String>,
    /// See [`Policies`].
    pub policies: String,
}

/// What is going to be written.
pub struct New<'a> {
    /// The parameter's name.
    pub name: &'a str,
    /// From 1.
    pub version: i64,
    /// String, StringList or SecureString.
    pub parameter_type: &'a str,
    /// In the clear; [`write`] seals it if there is a key.
    pub value: &'a str,
    /// Of a SecureString, and of nothing else.
    pub key_id: Option<&'a str>,
    /// Standard or Advanced.
    pub tier: &'a str,
    /// `text` and others.
    pub data_type: &'a str,
    /// What the operator said.
    pub description: Option<&'a str>,
    /// The regular expression that values have to match.
    pub allowed_pattern: Option<&'a str>,
    /// See [`Policies`].
    pub policies: Policies,
}

/// The newest version; `None` if there is no such parameter.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn before(tx: &mut Transaction<'static, Any>, name: &str) -> ApiResult<Option<Before>> {
    let row = sqlx::query_as(
        "SELECT p.parameter_type AS parameter_type, p.tier AS tier, p.data_type AS data_type,
           p.latest AS latest, v.description AS description,
           v.allowed_pattern AS allowed_pattern, v.policies AS policies
         FROM parameter p JOIN parameter_version v ON v.name = p.name AND v.version = p.latest
         WHERE p.name = $1",
    )
    .bind(name)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row)
}

/// Makes room for a version: the oldest goes when there are too many, unless it has a label.
///
/// # Errors
/// `ParameterMaxVersionLimitExceeded` when it has.
pub async fn make_room(
    tx: &mut Transaction<'static, Any>,
    name: &str,
    version: i64,
) -> ApiResult<()> {
    let oldest = version - MOST_VERSIONS;
    let labels: Vec<(String,)> = sqlx::query_as(
        "SELECT label FROM parameter_label WHERE name = $1 AND version <= $2 ORDER BY label",
    )
    .bind(name)
    .bind(oldest)
    .fetch_all(&mut **tx)
    .await?;
    if let Some((label,)) = labels.first() {
        return Err(ApiError::new(
            "ParameterMaxVersionLimitExceeded",
            format!(
                "{name} has {MOST_VERSIONS} versions, and the oldest, version {oldest}, can't be \
                 deleted because it has the label {label}. Move the label to another version first."
            ),
        ));
    }
    sqlx::query("DELETE FROM parameter_version WHERE name = $1 AND version <= $2")
        .bind(name)
        .bind(oldest)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes a version, which is the newest from then on.
///
/// # Errors
/// `InternalServerError` when the store fails or there is no randomness to seal with.
pub async fn write(
    app: &App,
    caller: &Caller,
    tx: &mut Transaction<'static, Any>,
    new: &New<'_>,
    now: Utc,
) -> ApiResult<()> {
    sqlx::query(
        "INSERT INTO parameter (name, parameter_type, tier, data_type, latest, policy_due_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (name) DO UPDATE SET tier = excluded.tier, data_type = excluded.data_type,
           latest = excluded.latest, policy_due_at = excluded.policy_due_at",
    )
    .bind(new.name)
    .bind(new.parameter_type)
    .bind(new.tier)
    .bind(new.data_type)
    .bind(new.version)
    .bind(new.policies.next_due())
    .execute(&mut **tx)
    .await?;
    let value = match new.key_id {
        Some(key) => secure::seal(app, new.name, new.version, key, new.value)?,
        None => new.value.to_owned(),
    };
    sqlx::query(
        "INSERT INTO parameter_version (name, version, value, key_id, tier, data_type,
           description, allowed_pattern, policies, modified_at, modified_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(new.name)
    .bind(new.version)
    .bind(value)
    .bind(new.key_id)
    .bind(new.tier)
    .bind(new.data_type)
    .bind(new.description)
    .bind(new.allowed_pattern)
    .bind(new.policies.to_row())
    .bind(now.0 as i64)
    .bind(format!("arn:aws:iam::{}:user/{}", app.account_id, caller.access_key))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
