//! JSON as YAML in block style.
//!
//! Every JSON string is a YAML double-quoted string, so quoting everything is right for every
//! text, and nothing has to be known of YAML's plain style.

use serde_json::Value;
use std::fmt::Write;

/// The longest key that YAML knows by the colon behind it, characters with its quotes.
const LONGEST_KEY: usize = 1024;

/// The value as YAML, with a line break at its end.
pub fn block(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0);
    out
}

fn write_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (at, (name, member)) in members.iter().enumerate() {
                indent(out, depth, at);
                let name = Value::from(name.as_str()).to_string();
                if name.chars().count() > LONGEST_KEY {
                    let _ = writeln!(out, "? {name}");
                    indent(out, depth, 1);
                } else {
                    out.push_str(&name);
                }
                out.push(':');
                write_member(out, member, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                indent(out, depth, at);
                out.push('-');
                match item {
                    // The first member stands on the line of the dash.
                    Value::Object(members) if !members.is_empty() => {
                        out.push(' ');
                        write_value(out, item, depth + 1);
                    }
                    _ => write_member(out, item, depth),
                }
            }
        }
        other => {
            let _ = writeln!(out, "{other}");
        }
    }
}

/// What follows a colon or a dash.
fn write_member(out: &mut String, member: &Value, depth: usize) {
    let nested = match member {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        for _ in 0..=depth {
            out.push_str("  ");
        }
        write_value(out, member, depth + 1);
    } else {
        let _ = writeln!(out, " {member}");
    }
}

/// The first line of a block is indented by who begins it.
fn indent(out: &mut String, depth: usize, at: usize) {
    if at > 0 {
        for _ in 0..depth {
            out.push_str("  ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_become_blocks() {
        let value = json!({
            "a": "x: y",
            "b": {"c": 1, "d": [true, null]},
            "e": [{"f": "g", "h": {}}, [1, []], "line\nbreak"],
        });
        assert_eq!(
            block(&value),
            "\"a\": \"x: y\"\n\"b\":\n  \"c\": 1\n  \"d\":\n    - true\n    - null\n\"e\":\n  - \"f\": \"g\"\n    \"h\": {}\n  -\n    - 1\n    - []\n  - \"line\\nbreak\"\n"
        );
    }
}
