//! The declarations of a document's parameters.

use super::problems::{Problems, is_filled_in, shown};
use crate::model;
use serde_json::{Map, Value};

/// The types of Command and Session documents.
pub const TYPES: [&str; 6] = ["String", "StringList", "Boolean", "Integer", "StringMap", "MapList"];

/// Checks the declarations; a type that is none of `types` is a problem, unless there are none.
pub fn check(document: &Value, types: &[&str], problems: &mut Problems) {
    let declared = match document.get("parameters") {
        None => return,
        Some(Value::Object(declared)) => declared,
        Some(_) => return problems.add("parameters", "has to be an object"),
    };
    for (name, declaration) in declared {
        let place = format!("parameters.{name}");
        // Agents ignore the value of a parameter of another name.
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
            problems.add(&place, "has a name with other characters than letters and digits");
        }
        match declaration {
            Value::Object(declaration) => one(&place, declaration, types, problems),
            _ => problems.add(&place, "has to be an object"),
        }
    }
}

fn one(place: &str, declaration: &Map<String, Value>, types: &[&str], problems: &mut Problems) {
    let at = |name: &str| format!("{place}.{name}");
    let kind = problems.text(&at("type"), declaration.get("type")).unwrap_or_default();
    if !kind.is_empty() && !types.is_empty() && !types.contains(&kind) {
        problems.add(at("type"), format!("is '{kind}', which is none of {}", types.join(", ")));
    }
    if declaration.get("description").is_some_and(|d| !d.is_string()) {
        problems.add(at("description"), "has to be a text");
    }
    for (min, max) in [("minChars", "maxChars"), ("minItems", "maxItems")] {
        let least = limit(&at(min), declaration.get(min), problems);
        let most = limit(&at(max), declaration.get(max), problems);
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            problems.add(at(min), format!("is {least}, more than {max}, which is {most}"));
        }
    }
    let words = match declaration.get("allowedValues") {
        None => None,
        Some(Value::Array(words)) if words.is_empty() => {
            problems.add(at("allowedValues"), "is empty, so that no value would do");
            None
        }
        Some(Value::Array(words)) => Some(words),
        Some(_) => {
            problems.add(at("allowedValues"), "has to be a list");
            None
        }
    };
    let pattern = match declaration.get("allowedPattern") {
        None => None,
        Some(Value::String(pattern)) => match model::compile(pattern) {
            None => {
                problems.add(
                    at("allowedPattern"),
                    "is no regular expression that the hub can check; it knows no looking ahead or \
                     back and no back-references",
                );
                None
            }
            compiled => compiled,
        },
        Some(_) => {
            problems.add(at("allowedPattern"), "has to be a text");
            None
        }
    };
    let Some(default) = declaration.get("default") else { return };
    let place = at("default");
    if !fits(kind, default) {
        return problems.add(place, format!("has to be a {kind}, not {}", shown(default)));
    }
    let scalar = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let values: Vec<String> = match default {
        Value::Array(values) => values.iter().map(scalar).collect(),
        other => vec![scalar(other)],
    };
    // An empty default says "not given", which only the pattern is about: agents hold it against that.
    let says_nothing = match default {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        other => other.as_str() == Some(""),
    };
    let range = |what: &str| {
        let side = |side: &str| limit_of(declaration.get(&format!("{side}{what}")));
        if says_nothing { (None, None) } else { (side("min"), side("max")) }
    };
    let is_within = |(least, most): (Option<u64>, Option<u64>), size: usize| {
        least.is_none_or(|least| size as u64 >= least)
            && most.is_none_or(|most| size as u64 <= most)
    };
    let items = match default {
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => Some(members.len()),
        _ => None,
    };
    if items.is_some_and(|items| !is_within(range("Items"), items)) {
        problems.add(&place, "has fewer items than minItems or more than maxItems");
    }
    let has_length = !matches!(kind, "Integer" | "Boolean");
    for value in values.iter().filter(|v| !is_filled_in(v)) {
        if !says_nothing
            && words.is_some_and(|words| !words.iter().any(|word| scalar(word) == *value))
        {
            problems.add(&place, format!("is '{value}', which is none of allowedValues"));
        }
        if pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
            problems.add(&place, format!("is '{value}', which does not match allowedPattern"));
        }
        if has_length && !is_within(range("Chars"), value.chars().count()) {
            problems.add(
                &place,
                format!("is '{value}', which is shorter than minChars or longer than maxChars"),
            );
        }
    }
}

/// A limit, written as a number or as digits.
fn limit(place: &str, value: Option<&Value>, problems: &mut Problems) -> Option<u64> {
    let read = limit_of(value);
    if value.is_some() && read.is_none() {
        problems.add(place, "has to be a whole number that is not negative");
    }
    read
}

fn limit_of(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    }
}

/// Whether a default is of the declared type.
fn fits(kind: &str, value: &Value) -> bool {
    let text = value.as_str();
    match kind {
        "String" => text.is_some(),
        "StringList" => {
            value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
                || text.is_some_and(is_filled_in)
        }
        "Boolean" => value.is_boolean() || matches!(text, Some("true" | "false")),
        "Integer" => value.is_i64() || text.is_some_and(|t| t.parse::<i64>().is_ok()),
        "StringMap" => value.is_object(),
        "MapList" => value.as_array().is_some_and(|items| items.iter().all(Value::is_object)),
        _ => true,
    }
}
