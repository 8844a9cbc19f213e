//! Members of a node's request, with errors in the words of AWS.
//!
//! These operations are no part of the public model that [`crate::tools`] validates against;
//! their lengths are the ones that amazon-ssm-agent's own model has.

use crate::error::{ApiError, ApiResult};
use serde_json::Value;

/// A required string of `min` to `max` characters.
///
/// # Errors
/// `ValidationException` when it is absent or has another length, `SerializationException` when
/// it is no string.
pub fn required<'a>(input: &'a Value, name: &str, min: usize, max: usize) -> ApiResult<&'a str> {
    let text = optional(input, name)?.ok_or_else(|| {
        violated(format!(
            "Value null at '{}' failed to satisfy constraint: Member must not be null",
            at(name)
        ))
    })?;
    let length = text.chars().count();
    let bound = match length {
        _ if length < min => format!("greater than or equal to {min}"),
        _ if length > max => format!("less than or equal to {max}"),
        _ => return Ok(text),
    };
    // The value itself may be a secret, so it is not repeated.
    Err(violated(format!(
        "Value at '{}' failed to satisfy constraint: Member must have length {bound}",
        at(name)
    )))
}

/// A string that may be absent or null.
///
/// # Errors
/// `SerializationException` when it is something else.
pub fn optional<'a>(input: &'a Value, name: &str) -> ApiResult<Option<&'a str>> {
    match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ApiError::new(
            "SerializationException",
            format!("The member {name} must be a string."),
        )),
    }
}

fn violated(what: String) -> ApiError {
    ApiError::validation(format!("1 validation error detected: {what}"))
}

/// AWS writes members with a small first letter in these messages.
fn at(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_is_required_a_string_and_within_bounds() {
        let input = json!({"Id": "abc", "Number": 1, "Nothing": null});
        assert_eq!(required(&input, "Id", 3, 3).unwrap(), "abc");
        assert_eq!(optional(&input, "Nothing").unwrap(), None);
        for (name, min, max, error) in [
            (
                "Nothing",
                1,
                9,
                "ValidationException: 1 validation error detected: Value null at 'nothing'",
            ),
            (
                "Id",
                4,
                9,
                "ValidationException: 1 validation error detected: Value at 'id' failed to satisfy constraint: Member must have length greater than or equal to 4",
            ),
            (
                "Id",
                1,
                2,
                "ValidationException: 1 validation error detected: Value at 'id' failed to satisfy constraint: Member must have length less than or equal to 2",
            ),
            ("Number", 1, 2, "SerializationException"),
        ] {
            let text = required(&input, name, min, max).unwrap_err().to_string();
            assert!(text.starts_with(error), "{text}");
        }
    }
}
