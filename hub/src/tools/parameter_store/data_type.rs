//! Data types: what a value has to look like (the list is botocore's, of PutParameter).
//!
//! AWS also asks EC2 whether an image exists, after it has answered. There is no EC2 here, so an
//! image's id has to be well formed, and that is all.

use super::rows::SECURE_STRING;
use crate::error::{ApiError, ApiResult};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The type of what was given none.
pub const TEXT: &str = "text";

/// Webhook settings of AWS; kept as they are, and only encrypted.
const INTEGRATION: &str = "aws:ssm:integration";

const ALL: [&str; 16] = [
    TEXT,
    "aws:ec2:image",
    INTEGRATION,
    "aws:region",
    "aws:account:id",
    "boolean",
    "integer",
    "float",
    "binary",
    "hostname",
    "email",
    "ipv4-address",
    "ipv6-address",
    "url",
    "json",
    "jsonc",
];

/// Judges a value by its data type. The value is never repeated in an error: it may be a secret.
///
/// # Errors
/// `ValidationException`.
pub fn check(data_type: &str, parameter_type: &str, value: &str) -> ApiResult<()> {
    if !ALL.contains(&data_type) {
        return Err(ApiError::validation(format!(
            "The data type '{data_type}' isn't supported. Use one of {}.",
            ALL.join(", ")
        )));
    }
    if data_type == INTEGRATION && parameter_type != SECURE_STRING {
        return Err(ApiError::validation(format!(
            "A parameter of the data type {INTEGRATION} has to be a SecureString."
        )));
    }
    if fits(data_type, value) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "The parameter value doesn't fit the data type {data_type}. Change the value or the data \
         type."
    )))
}

fn fits(data_type: &str, value: &str) -> bool {
    match data_type {
        "aws:ec2:image" => value.strip_prefix("ami-").is_some_and(|id| {
            matches!(id.len(), 8 | 17) && id.bytes().all(|b| b.is_ascii_alphanumeric())
        }),
        "aws:region" => is_region(value),
        "aws:account:id" => value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit()),
        "boolean" => matches!(value, "true" | "false"),
        "integer" => {
            let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        }
        "float" => value.parse::<f64>().is_ok_and(f64::is_finite),
        "binary" => stint_wire::text::from_base64(value).is_some(),
        "hostname" => is_hostname(value),
        "email" => value.rsplit_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && !user.contains(char::is_whitespace) && is_hostname(host)
        }),
        "ipv4-address" => value.parse::<Ipv4Addr>().is_ok(),
        "ipv6-address" => value.parse::<Ipv6Addr>().is_ok(),
        "url" => value.split_once("://").is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !rest.is_empty()
                && !rest.contains(char::is_whitespace)
        }),
        "json" => is_json(value),
        "jsonc" => is_json(&without_comments(value)),
        _ => true,
    }
}

fn is_region(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let (Some((number, words)), true) = (parts.split_last(), parts.len() >= 3) else {
        return false;
    };
    words.iter().all(|w| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase()))
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// RFC 1123: labels of 1 to 63 letters, digits and hyphens, 253 characters in all.
fn is_hostname(value: &str) -> bool {
    value.len() <= 253
        && value.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

fn is_json(value: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(value).is_ok()
}

/// JSON without its `// …` and `/* … */`, each of which becomes a space.
fn without_comments(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    let mut in_string = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '\\' if in_string => {
                let escaped = after.chars().next();
                out.push(c);
                out.extend(escaped);
                rest = after.get(escaped.map_or(0, char::len_utf8)..).unwrap_or_default();
                continue;
            }
            '"' => in_string = !in_string,
            '/' if !in_string && after.starts_with('/') => {
                rest = after.split_once('\n').map_or("", |(_, rest)| rest);
                out.push('\n');
                continue;
            }
            '/' if !in_string && after.starts_with('*') => {
                // One that never ends leaves text that is no JSON.
                let Some((_, end)) =
                    after.split_at_checked(1).and_then(|(_, t)| t.split_once("*/"))
                else {
                    out.push('/');
                    break;
                };
                rest = end;
                out.push(' ');
                continue;
            }
            _ => {}
        }
        out.push(c);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_data_type_tells_its_values_from_others() {
        for (data_type, good, bad) in [
            ("aws:ec2:image", "ami-12345abcdeEXAMPLE", "ami-1"),
            ("aws:region", "eu-central-1", "berlin"),
            ("aws:account:id", "123456789012", "12345"),
            ("boolean", "true", "yes"),
            ("integer", "-443", "4.3"),
            ("float", "-1.5e3", "inf"),
            ("binary", "aGVsbG8=", "hello!"),
            ("hostname", "gw-7.example", "-gw.example"),
            ("email", "ops@example.org", "ops"),
            ("ipv4-address", "192.0.2.7", "192.0.2"),
            ("ipv6-address", "2001:db8::7", "192.0.2.7"),
            ("url", "https://hub.example:7400/x", "hub.example"),
            ("json", r#"{"a": [1, "// no comment"]}"#, r#"{"a": 1} // one"#),
            ("jsonc", "{\"a\": /* one */ 1, // two\n\"b\": \"/* \\\" */\"}", "{/* {}"),
        ] {
            assert!(check(data_type, "String", good).is_ok(), "{data_type} {good}");
            let error = check(data_type, "String", bad).unwrap_err();
            assert!(error.message.contains(data_type) && !error.message.contains(bad), "{error}");
        }
        assert!(check("text", "String", "anything").is_ok());
        assert!(check("Text", "String", "x").is_err());
        assert!(check(INTEGRATION, "String", "{}").is_err());
        assert!(check(INTEGRATION, SECURE_STRING, "{}").is_ok());
    }

    proptest! {
        #[test]
        fn no_value_makes_a_check_panic(value: String, odd in "[\\[\\]{}\"/*\\\\\n@.:a1 -]{0,30}") {
            for data_type in ALL {
                let _ = check(data_type, "String", &value);
                let _ = check(data_type, "String", &odd);
            }
        }
    }
}
