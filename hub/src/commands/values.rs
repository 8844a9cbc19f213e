//! A command's parameters: lists of texts as SendCommand has them, in the form that the document
//! declares.

use serde_json::{Map, Value};

/// The values by name.
pub fn typed(content: &Value, given: Map<String, Value>) -> Map<String, Value> {
    let declared = |name: &str| content.get("parameters")?.get(name)?.get("type")?.as_str();
    given
        .into_iter()
        .map(|(name, values)| {
            let kind = declared(&name).unwrap_or("String");
            let value = one(kind, values);
            (name, value)
        })
        .collect()
}

fn one(kind: &str, values: Value) -> Value {
    let Value::Array(mut values) = values else { return values };
    match kind {
        "StringList" => Value::Array(values),
        "MapList" => Value::Array(values.into_iter().map(unquoted).collect()),
        _ if values.is_empty() => Value::String(String::new()),
        "StringMap" => unquoted(values.swap_remove(0)),
        _ => values.swap_remove(0),
    }
}

/// Maps cross SendCommand as JSON in a string.
fn unquoted(value: Value) -> Value {
    let map = value.as_str().and_then(|text| serde_json::from_str(text).ok());
    map.filter(Value::is_object).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn no_list_of_values_makes_a_payload_fail(kind: String, values: Vec<String>) {
            for kind in [kind.as_str(), "StringList", "MapList", "StringMap", "String"] {
                let typed = one(kind, json!(values));
                prop_assert_eq!(typed.is_array(), kind.ends_with("List"), "{}", kind);
            }
        }
    }
}
