//! CreateActivation.

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::random;
use crate::tools::{tags, uuid};
use serde::Deserialize;
use serde_json::{Value, json};
use stint_wire::{text, time::Utc};

/// How long an activation lasts when the operator names no end (the service's documentation).
const DEFAULT_LIFE_MS: u64 = 24 * 3_600_000;

/// The furthest end that the operator may name (the service's documentation).
const LONGEST_LIFE_MS: u64 = 30 * 24 * 3_600_000;

/// How much the operator's clock may be ahead of the hub's before "in 30 days" is refused.
const CLOCK_SLACK_MS: u64 = 5 * 60_000;

/// The model's least length of a code, and 100 bits.
const CODE_LENGTH: usize = 20;

/// CreateActivation's input. `RegistrationMetadata` is "reserved for internal use" by AWS.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Create {
    description: Option<String>,
    default_instance_name: Option<String>,
    iam_role: String,
    registration_limit: Option<i64>,
    expiration_date: Option<f64>,
    tags: Option<Vec<tags::Tag>>,
}

/// CreateActivation: a new id and code. The code is in this answer and nowhere else.
///
/// # Errors
/// `InvalidParameters` for an end in the past or too far ahead, or for tags that break the rules.
pub async fn create(app: &App, input: Create) -> ApiResult<Value> {
    let now = app.now();
    let expires_at = expiry(input.expiration_date, now).map_err(invalid)?;
    let tags = input.tags.unwrap_or_default();
    tags::check(&tags).map_err(invalid)?;
    if tags.len() > tags::MOST_TAGS {
        return Err(invalid(format!(
            "An activation can have {} tags, not {}.",
            tags::MOST_TAGS,
            tags.len()
        )));
    }
    let (id, code) = (uuid()?, random::text(CODE_LENGTH, random::BASE32)?);
    let mut tx = app.store.begin().await?;
    sqlx::query(
        "INSERT INTO activation (id, code_hash, description, default_name, iam_role,
           registration_limit, registrations_count, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)",
    )
    .bind(&id)
    .bind(text::sha256_hex(code.as_bytes()))
    .bind(input.description)
    .bind(input.default_instance_name)
    .bind(input.iam_role)
    .bind(input.registration_limit.unwrap_or(1))
    .bind(expires_at.0 as i64)
    .bind(now.0 as i64)
    .execute(&mut *tx)
    .await?;
    tags::put(&mut tx, tags::ACTIVATION, &id, &tags).await?;
    tx.commit().await?;
    Ok(json!({"ActivationId": id, "ActivationCode": code}))
}

fn invalid(message: String) -> ApiError {
    ApiError::new("InvalidParameters", message)
}

/// When the activation ends.
fn expiry(wanted: Option<f64>, now: Utc) -> Result<Utc, String> {
    let Some(seconds) = wanted else { return Ok(Utc(now.0 + DEFAULT_LIFE_MS)) };
    // Out of range becomes 0 or the greatest number, and both are refused below.
    let wanted = Utc((seconds * 1000.0) as u64);
    if wanted <= now {
        return Err("The ExpirationDate is in the past; name a moment in the next 30 days.".into());
    }
    if wanted.0 > now.0 + LONGEST_LIFE_MS + CLOCK_SLACK_MS {
        return Err("The ExpirationDate is more than 30 days ahead; name an earlier moment.".into());
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_activation_ends_within_thirty_days_and_after_one_by_default() {
        let now = Utc(1_795_335_599_123);
        let day = 86_400.0;
        let at = now.0 as f64 / 1000.0;
        assert_eq!(expiry(None, now), Ok(Utc(now.0 + 86_400_000)));
        assert_eq!(expiry(Some(1_795_400_000.0), now), Ok(Utc(1_795_400_000_000)));
        assert!(expiry(Some(at + 30.0 * day), now).is_ok());
        for refused in [at, at - day, at + 30.1 * day, f64::MAX, -1.0, f64::NAN] {
            assert!(expiry(Some(refused), now).is_err(), "{refused}");
        }
    }
}
