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
        "MapList" => Value::Array(maps(values)),
        _ if values.is_empty() => Value::String(String::new()),
        "StringMap" => unquoted(values.swap_remove(0)),
        // `True` is what Python writes; the agents know the words of JSON.
        "Boolean" => match values.swap_remove(0) {
            Value::String(word) if is_truth(&word) => Value::String(word.to_ascii_lowercase()),
            // A reference, in which the case of letters counts.
            other => other,
        },
        _ => values.swap_remove(0),
    }
}

fn is_truth(word: &str) -> bool {
    ["true", "false"].iter().any(|truth| word.eq_ignore_ascii_case(truth))
}

/// The maps that the values of a MapList are: each is one, as JSON, or the only one is a list of
/// them. What is neither stays a text: the node fills in what it refers to, or refuses it.
pub fn maps(mut values: Vec<Value>) -> Vec<Value> {
    if let [Value::String(text)] = values.as_slice()
        && let Ok(list) = serde_json::from_str::<Vec<Map<String, Value>>>(text)
    {
        values = list.into_iter().map(Value::Object).collect();
    }
    values.into_iter().map(unquoted).collect()
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

    #[test]
    fn a_map_list_is_written_as_a_list_or_map_by_map_and_both_arrive_alike() {
        let wanted = json!([{"a": "b"}, {"c": "d"}]);
        for given in [json!([r#"[{"a":"b"},{"c":"d"}]"#]), json!([r#"{"a":"b"}"#, r#"{"c":"d"}"#])]
        {
            assert_eq!(one("MapList", given), wanted);
        }
        assert_eq!(one("MapList", json!(["[]"])), json!([]));
        for text in ["[1]", "{{ssm:/x}}", r#"[{"a":1},2]"#] {
            assert_eq!(one("MapList", json!([text])), json!([text]));
        }
    }

    #[test]
    fn a_truth_is_sent_in_the_words_that_agents_know() {
        for word in ["True", "TRUE", "true"] {
            assert_eq!(one("Boolean", json!([word])), json!("true"));
        }
        assert_eq!(one("String", json!(["True"])), json!("True"));
        let reference = json!("{{ssm:/Fleet/IsOpen}}");
        assert_eq!(one("Boolean", json!([reference])), reference);
    }

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
