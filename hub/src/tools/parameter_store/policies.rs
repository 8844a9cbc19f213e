//! Parameter policies: a parameter that expires, and notices about it.
//!
//! Everything here is a function of text and `now`; [`crate::schedule`] carries it out.

use crate::error::{ApiError, ApiResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stint_wire::time::Utc;

/// Policies of one parameter.
const MOST_POLICIES: usize = 10;
const VERSION: &str = "1.0";
const HOUR_MS: i64 = 3_600_000;

const EXPIRATION: &str = "Expiration";
const EXPIRATION_NOTIFICATION: &str = "ExpirationNotification";
const NO_CHANGE_NOTIFICATION: &str = "NoChangeNotification";

const PENDING: &str = "Pending";
const FINISHED: &str = "Finished";

/// The policies of a version, as its row has them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Policies(Vec<Policy>);

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Policy {
    kind: String,
    /// As the operator wrote it.
    text: String,
    status: String,
    /// Milliseconds since 1970.
    due_at: i64,
    /// What a NoChangeNotification waits for, milliseconds; 0 for the others.
    #[serde(default)]
    after: i64,
}

/// What has become due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// The parameter's time is over.
    Expired,
    /// These notices are to be given.
    Notices(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written {
    #[serde(rename = "Type")]
    kind: Option<String>,
    version: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl Policies {
    /// Reads the Policies member of a request: a JSON list, where `{}` also means none.
    ///
    /// # Errors
    /// `InvalidPolicyTypeException`, `InvalidPolicyAttributeException`,
    /// `PoliciesLimitExceededException`, `IncompatiblePolicyException`.
    pub fn parse(text: &str, now: Utc) -> ApiResult<Policies> {
        let items = match serde_json::from_str(text) {
            Ok(Value::Array(items)) => items,
            Ok(Value::Object(empty)) if empty.is_empty() => Vec::new(),
            _ => return Err(attribute("Policies has to be a JSON list of policies".to_owned())),
        };
        if items.len() > MOST_POLICIES {
            return Err(ApiError::new(
                "PoliciesLimitExceededException",
                format!("{} policies are too many; the most is {MOST_POLICIES}.", items.len()),
            ));
        }
        let expires = items.iter().find(|item| item["Type"] == EXPIRATION);
        let expires = expires.map(|item| expiration(&read(item)?, now)).transpose()?;
        let policies: ApiResult<Vec<Policy>> =
            items.iter().map(|item| one(item, expires, now)).collect();
        let policies = policies?;
        if policies.iter().filter(|p| p.kind == EXPIRATION).count() > 1 {
            return Err(incompatible("a parameter can expire once"));
        }
        Ok(Policies(policies))
    }

    /// What a row has. Rows are written by [`Policies::to_row`]; another is taken for none.
    pub fn from_row(text: &str) -> Policies {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// For a row.
    pub fn to_row(&self) -> String {
        json!(self.0).to_string()
    }

    /// As answers show them.
    pub fn shown(&self) -> Value {
        let show = |p: &Policy| json!({"PolicyText": p.text, "PolicyType": p.kind, "PolicyStatus": p.status});
        Value::from_iter(self.0.iter().map(show))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they go on for a new version: what waits for a change starts again.
    pub fn renewed(mut self, now: Utc) -> Policies {
        for policy in self.0.iter_mut().filter(|p| p.kind == NO_CHANGE_NOTIFICATION) {
            policy.due_at = millis(now).saturating_add(policy.after);
            policy.status = PENDING.to_owned();
        }
        self
    }

    /// When the next of them wants something done.
    pub fn next_due(&self) -> Option<i64> {
        self.0.iter().filter(|p| p.status == PENDING).map(|p| p.due_at).min()
    }

    /// Takes what has become due.
    pub fn take_due(&mut self, now: Utc) -> Due {
        let mut notices = Vec::new();
        for policy in &mut self.0 {
            if policy.status != PENDING || policy.due_at > millis(now) {
                continue;
            }
            if policy.kind == EXPIRATION {
                return Due::Expired;
            }
            policy.status = FINISHED.to_owned();
            notices.push(policy.kind.clone());
        }
        Due::Notices(notices)
    }
}

fn read(item: &Value) -> ApiResult<Written> {
    serde_json::from_value(item.clone()).map_err(|e| attribute(format!("a policy is none: {e}")))
}

fn one(item: &Value, expires: Option<i64>, now: Utc) -> ApiResult<Policy> {
    let written = read(item)?;
    let kind = written.kind.clone().unwrap_or_default();
    if written.version.as_deref() != Some(VERSION) {
        return Err(attribute(format!("the version of a {kind} policy has to be {VERSION}")));
    }
    let (due_at, after) = match kind.as_str() {
        EXPIRATION => (expiration(&written, now)?, 0),
        EXPIRATION_NOTIFICATION => {
            let Some(expires) = expires else {
                return Err(incompatible("an ExpirationNotification needs an Expiration"));
            };
            (expires.saturating_sub(span(&written, "Before")?), 0)
        }
        NO_CHANGE_NOTIFICATION => {
            let after = span(&written, "After")?;
            (millis(now).saturating_add(after), after)
        }
        _ => {
            return Err(ApiError::new(
                "InvalidPolicyTypeException",
                format!(
                    "The policy type '{kind}' isn't supported. Use {EXPIRATION}, \
                     {EXPIRATION_NOTIFICATION} or {NO_CHANGE_NOTIFICATION}."
                ),
            ));
        }
    };
    Ok(Policy { kind, text: item.to_string(), status: PENDING.to_owned(), due_at, after })
}

fn expiration(written: &Written, now: Utc) -> ApiResult<i64> {
    only(written, &["Timestamp"])?;
    let text = written.attributes.get("Timestamp").and_then(Value::as_str).unwrap_or_default();
    match timestamp(text) {
        Some(at) if at > millis(now) => Ok(at),
        Some(_) => Err(attribute(format!("the Timestamp {text} of an Expiration is in the past"))),
        None => Err(attribute(format!(
            "the Timestamp '{text}' of an Expiration is no time such as 2026-12-24T18:00:00.000Z"
        ))),
    }
}

/// ISO 8601 with `Z`, or with an offset such as `+01:00`.
fn timestamp(text: &str) -> Option<i64> {
    if let Some(utc) = Utc::parse_iso(text) {
        return Some(millis(utc));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let local = millis(Utc::parse_iso(&format!("{local}Z"))?);
    let sign = match offset.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(())?;
    local.checked_sub(sign * (i64::from(hours) * HOUR_MS + i64::from(minutes) * 60_000))
}

/// A number of days or hours, in milliseconds.
fn span(written: &Written, name: &str) -> ApiResult<i64> {
    only(written, &[name, "Unit"])?;
    let number = match written.attributes.get(name) {
        Some(Value::String(text)) => text.parse().ok(),
        Some(Value::Number(number)) => number.as_i64(),
        _ => None,
    };
    let unit = match written.attributes.get("Unit").and_then(Value::as_str) {
        Some("Days") => Some(24 * HOUR_MS),
        Some("Hours") => Some(HOUR_MS),
        _ => None,
    };
    number
        .zip(unit)
        .filter(|(number, _)| *number > 0)
        .and_then(|(number, unit): (i64, i64)| number.checked_mul(unit))
        .ok_or_else(|| {
            attribute(format!("{name} has to be a whole number above 0, and Unit Days or Hours"))
        })
}

fn only(written: &Written, known: &[&str]) -> ApiResult<()> {
    match written.attributes.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(attribute(format!("the attribute {name} isn't known here"))),
        None => Ok(()),
    }
}

fn millis(at: Utc) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn attribute(what: String) -> ApiError {
    ApiError::new("InvalidPolicyAttributeException", format!("The policies aren't valid: {what}."))
}

fn incompatible(what: &str) -> ApiError {
    ApiError::new("IncompatiblePolicyException", format!("The policies don't go together: {what}."))
}

#[cfg(test)]
mod tests;
