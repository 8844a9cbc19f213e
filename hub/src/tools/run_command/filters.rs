//! The filters that ListCommands and ListCommandInvocations share.

use crate::error::{ApiError, ApiResult};
use crate::store::select::{Bound, Select};
use serde::Deserialize;
use stint_wire::time::Utc;

/// One filter of a request.
#[derive(Deserialize)]
pub struct Filter {
    key: String,
    value: String,
}

/// What each of the two operations filters.
pub struct Columns {
    /// `requested_at > ?`
    pub after: &'static str,
    /// `requested_at < ?`
    pub before: &'static str,
    /// `document_name = ?`
    pub document: &'static str,
    /// The condition for a status word, which is bound twice.
    pub status: &'static str,
    /// The words that `Status` may have.
    pub words: &'static [&'static str],
    /// The conditions for Executing and Complete, where there is such a filter.
    pub stage: Option<(&'static str, &'static str)>,
}

/// Adds the filters to a query.
///
/// # Errors
/// `InvalidFilterKey` for a key that the operation does not have, `ValidationException` for a
/// value that means nothing.
pub fn apply(mut select: Select, filters: &[Filter], columns: &Columns) -> ApiResult<Select> {
    for filter in filters {
        let value = filter.value.as_str();
        select = match (filter.key.as_str(), columns.stage) {
            ("InvokedAfter", _) => select.and(columns.after, [moment(value)?]),
            ("InvokedBefore", _) => select.and(columns.before, [moment(value)?]),
            ("DocumentName", _) => select.and(columns.document, [Bound::from(value)]),
            ("Status", _) if !columns.words.contains(&value) => {
                return Err(ApiError::validation(format!(
                    "The Status filter has no value '{value}'. Use one of {}.",
                    columns.words.join(", ")
                )));
            }
            ("Status", _) => select.and(columns.status, [Bound::from(value), Bound::from(value)]),
            ("ExecutionStage", Some((executing, complete))) => match value {
                "Executing" => select.and(executing, []),
                "Complete" => select.and(complete, []),
                _ => {
                    return Err(ApiError::validation(format!(
                        "The ExecutionStage filter has no value '{value}'. Use Executing or \
                         Complete."
                    )));
                }
            },
            (key, _) => {
                return Err(ApiError::new(
                    "InvalidFilterKey",
                    format!("The filter key '{key}' can't be used with this operation."),
                ));
            }
        };
    }
    Ok(select)
}

/// A moment in the forms that AWS's documentation shows: `2024-07-07T00:00:00Z`, `2024-07-07`.
fn moment(text: &str) -> ApiResult<Bound> {
    let parsed = Utc::parse_iso(text).or_else(|| Utc::parse_iso(&format!("{text}T00:00:00Z")));
    match parsed {
        Some(at) => Ok(Bound::Number(at.0 as i64)),
        None => Err(ApiError::validation(format!(
            "'{text}' isn't a time; write it as 2024-07-07T00:00:00Z."
        ))),
    }
}
