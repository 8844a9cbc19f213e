//! What a node is told of a session: its document and the values of its parameters.

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::tools::documents::{self, Document};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document of a session without one, which holds everybody's preferences, too.
pub const PREFERENCES: &str = "SSM-SessionManagerRunShell";

/// After how many idle minutes a session ends when nothing says (AWS's documentation).
const IDLE_MINUTES: i64 = 20;

/// The longest idle time, minutes (AWS's documentation).
const MOST_IDLE_MINUTES: i64 = 60;

/// The longest duration, minutes (the model's).
const MOST_MINUTES: i64 = 1440;

/// The session document of this name; without one the preferences.
///
/// # Errors
/// `InvalidDocument`, also for a document of another type.
pub async fn document(app: &App, name: Option<&str>) -> ApiResult<Document> {
    let document = documents::find(app, name.unwrap_or(PREFERENCES), None).await?;
    let summary = &document.summary;
    if summary.document_type == "Session" {
        return Ok(document);
    }
    Err(ApiError::new(
        "InvalidDocument",
        format!(
            "{} is a document of type {}; StartSession takes documents of type Session.",
            summary.name, summary.document_type
        ),
    ))
}

/// The values of all parameters as nodes read them: what was given, else the defaults. A value is a
/// text, as nodes fill it into texts.
///
/// # Errors
/// `ValidationException` for what the document doesn't allow.
pub fn parameters(
    document: &Document,
    given: &BTreeMap<String, Vec<String>>,
) -> ApiResult<Map<String, Value>> {
    document.content.check(given).map_err(ApiError::validation)?;
    let mut values = Map::new();
    for (name, declared) in document.content.parameters() {
        let value = match given.get(name).map(Vec::as_slice) {
            Some([one]) => json!(one),
            Some(several) => json!(several),
            None => declared.default.unwrap_or_default(),
        };
        values.insert(name.clone(), value);
    }
    Ok(values)
}

/// Idle and longest seconds of a session: what its document says, else what the preferences say;
/// the longest is 0 for no limit.
///
/// # Errors
/// `InternalServerError` when the store fails.
pub async fn limits(app: &App, document: &Document) -> ApiResult<(i64, i64)> {
    let preferences = documents::find(app, PREFERENCES, None).await?;
    let said = |name: &str, most: i64| {
        [document, &preferences].into_iter().find_map(|document| {
            minutes(document.content.value().pointer(&format!("/inputs/{name}"))?, most)
        })
    };
    let idle = said("idleSessionTimeout", MOST_IDLE_MINUTES).unwrap_or(IDLE_MINUTES);
    let longest = said("maxSessionDuration", MOST_MINUTES).unwrap_or_default();
    Ok((idle * 60, longest * 60))
}

/// Documents write them as texts; what is none, or out of its bounds, says nothing.
fn minutes(value: &Value, most: i64) -> Option<i64> {
    let minutes = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_i64()?,
    };
    (1..=most).contains(&minutes).then_some(minutes)
}

/// The text of the order.
pub fn text(document: &Document, session: &str, values: Map<String, Value>, owner: &str) -> String {
    json!({
        "DocumentName": document.summary.name,
        "DocumentContent": document.content.value(),
        "SessionId": session,
        "Parameters": values,
        "RunAsUser": "",
        "SessionOwner": owner,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_texts_or_numbers_within_their_bounds() {
        for (value, expected) in [
            (json!("20"), Some(20)),
            (json!(1), Some(1)),
            (json!("60"), Some(60)),
            (json!("61"), None),
            (json!("0"), None),
            (json!(""), None),
            (json!("soon"), None),
            (json!(null), None),
        ] {
            assert_eq!(minutes(&value, 60), expected, "{value}");
        }
    }
}
