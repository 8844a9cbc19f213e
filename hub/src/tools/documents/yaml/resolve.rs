//! What a YAML scalar without quotes means.
//!
//! YAML 1.1 and 1.2 differ about `yes`, `on`, `0755` and `1_000`. Documents are full of them, as
//! answers of a person, as modes, as ids; so only what both versions and JSON agree on is
//! anything but text.

use serde_json::{Number, Value};

/// A plain scalar as JSON.
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

/// A number that JSON knows too. `0755`, `+1`, `0x1f`, `1_000` and `.5` are text.
fn number(text: &str) -> Option<Number> {
    let looks = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    // Digits that don't fit are text as well: a number would lose some of them.
    let exact = |n: &Number| !n.is_f64() || text.contains(['.', 'e', 'E']);
    looks.then(|| serde_json::from_str(text).ok())?.filter(exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_what_every_version_of_yaml_and_json_agree_on_is_no_text() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("false", json!(false)),
            ("60", json!(60)),
            ("-4", json!(-4)),
            ("2.2", json!(2.2)),
            ("1e3", json!(1000.0)),
            ("0", json!(0)),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "0755",
            "+1",
            "0x1f",
            "0o17",
            "1_000",
            ".5",
            "1.",
            ".inf",
            ".nan",
            "2026-11-22",
            "12:30:45",
            "1.2.3",
            "-",
            "18446744073709551616",
            "nUll",
        ] {
            assert_eq!(plain(text), json!(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_means_something(text: String) {
            let _ = plain(&text);
        }
    }
}
