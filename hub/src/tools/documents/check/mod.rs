//! Whether a document is what its type says: every problem, each with its place.
//!
//! Never here: what a document does. The rules are those of the documents' schemas, and where the
//! agents take less than a schema allows, theirs.

mod automation;
mod calendar;
mod command;
mod package;
mod parameters;
mod plugins;
mod problems;
mod session;

pub use problems::Problems;
pub use session::{MOST_IDLE_MINUTES, MOST_MINUTES, minutes};

use super::format::Format;
use crate::error::{ApiError, ApiResult};
use serde_json::Value;

/// The most bytes of a document (AWS's documentation).
pub const MOST_BYTES: usize = 64 * 1024;

/// Problems listed in one message.
const LISTED: usize = 20;

/// Reads a document of type `kind` and checks it. Returns its value, null for text.
///
/// # Errors
/// `MaxDocumentSizeExceeded`, `InvalidDocumentSchemaVersion` for a schema that documents of this
/// type don't have, `InvalidDocumentContent` with all other problems.
pub fn check(kind: &str, format: Format, text: &str) -> ApiResult<Value> {
    if text.len() > MOST_BYTES {
        return Err(ApiError::new(
            "MaxDocumentSizeExceeded",
            format!("The document has {} bytes; the most is {MOST_BYTES}.", text.len()),
        ));
    }
    let invalid = |what: String| ApiError::new("InvalidDocumentContent", what);
    if (kind == "ChangeCalendar") != (format == Format::Text) {
        return Err(invalid(if kind == "ChangeCalendar" {
            "A document of type ChangeCalendar is an iCalendar text; say DocumentFormat TEXT."
                .to_owned()
        } else {
            format!("A document of type {kind} is written in JSON or YAML, not as TEXT.")
        }));
    }
    let value = format.read(text).map_err(invalid)?;
    let mut problems = Problems::default();
    match kind {
        "ChangeCalendar" => calendar::check(text, &mut problems),
        _ if !value.is_object() => problems.add("the document", "has to be an object"),
        _ => {
            schema(kind, &value)?;
            match kind {
                "Command" => command::check(&value, &mut problems),
                "Automation" | "Automation.ChangeTemplate" => {
                    automation::check(&value, &mut problems);
                }
                "Session" => session::check(&value, &mut problems),
                "Package" => package::check(&value, &mut problems),
                // The tools that use the other types read them; here they are well formed.
                _ => {}
            }
        }
    }
    problems.sentence(LISTED).map_or(Ok(value), |sentence| Err(invalid(sentence)))
}

/// The schema versions of a type; `None` for a type whose documents have none.
fn schemas(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Command" => &["1.0", "1.2", "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"],
        "Policy" => &["1.0", "2.0"],
        "Automation" | "Automation.ChangeTemplate" => &["0.3"],
        "Session" => &["1.0"],
        "Package" => &["2.0"],
        _ => return None,
    })
}

fn schema(kind: &str, value: &Value) -> ApiResult<()> {
    let Some(allowed) = schemas(kind) else { return Ok(()) };
    let found = match value.get("schemaVersion") {
        Some(Value::String(version)) if allowed.contains(&version.as_str()) => return Ok(()),
        Some(Value::String(version)) => format!("'{version}'"),
        Some(other) => format!("{other}, which is no text,"),
        None => "missing".to_owned(),
    };
    Err(ApiError::new(
        "InvalidDocumentSchemaVersion",
        format!(
            "schemaVersion is {found}; a document of type {kind} has one of {}.",
            allowed.join(", ")
        ),
    ))
}

#[cfg(test)]
mod tests;
