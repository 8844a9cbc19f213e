//! Whether an input fits its operation's shape, said in AWS's words.
//!
//! Clients check required members, types and minimum lengths themselves, and nothing else:
//! patterns, words and maximum lengths reach the server. A wrong JSON type is a
//! SerializationException at once; everything else is collected into one ValidationException.
//! Members that the model does not know are ignored, as AWS does.

use super::shapes::{Kind, MODEL, Model, Shape};
use crate::error::{ApiError, ApiResult};
use serde_json::Value;
use stint_wire::text;

/// The most bytes of a refused value that a message repeats: enough to recognise it, and too
/// little for an answer of megabytes.
const SHOWN_BYTES: usize = 256;

/// The most errors listed in one message; AWS stops too.
const LISTED_ERRORS: usize = 10;

/// Checks the input of an operation.
///
/// # Errors
/// `SerializationException` for a member of the wrong JSON type, `ValidationException` listing
/// everything else that breaks the model. An operation that the model lacks passes.
pub fn validate_input(operation: &str, input: &Value) -> ApiResult<()> {
    let model = &*MODEL;
    let shape = model.operations.get(operation).and_then(|o| model.shapes.get(&o.input));
    let Some(shape) = shape else { return Ok(()) };
    let mut found = Found { model, errors: Vec::new() };
    found.walk("", input, shape)?;
    found.into_result()
}

struct Found<'m> {
    model: &'m Model,
    errors: Vec<String>,
}

impl Found<'_> {
    fn walk(&mut self, path: &str, value: &Value, shape: &Shape) -> ApiResult<()> {
        expect_type(path, value, shape.kind)?;
        for broken in constraints(value, shape) {
            self.add(path, value, shape, &broken);
        }
        match (shape.kind, value) {
            (Kind::Structure, Value::Object(members)) => {
                for (name, member) in shape.fields(self.model) {
                    let inner = join(path, &lower_first(name));
                    match members.get(name).filter(|v| !v.is_null()) {
                        Some(v) => self.walk(&inner, v, member)?,
                        None if shape.required.iter().any(|r| r == name) => {
                            self.errors.push(format!(
                                "Value null at '{inner}' failed to satisfy constraint: \
                                     Member must not be null"
                            ))
                        }
                        None => {}
                    }
                }
            }
            (Kind::List, Value::Array(items)) => {
                let Some(member) = shape.member.as_ref().and_then(|m| self.model.shapes.get(m))
                else {
                    return Ok(());
                };
                for (at, item) in items.iter().enumerate() {
                    let inner = format!("{path}.{}.member", at + 1);
                    if is_scalar(member.kind) {
                        expect_type(&inner, item, member.kind)?;
                    } else {
                        self.walk(&inner, item, member)?;
                    }
                }
                self.collection(path, value, shape, member, items.iter(), "Member");
            }
            (Kind::Map, Value::Object(entries)) => self.map(path, value, shape, entries)?,
            _ => {}
        }
        Ok(())
    }

    fn map(
        &mut self,
        path: &str,
        value: &Value,
        shape: &Shape,
        entries: &serde_json::Map<String, Value>,
    ) -> ApiResult<()> {
        let named = |name: &Option<String>| name.as_ref().and_then(|n| self.model.shapes.get(n));
        let (Some(key), Some(member)) = (named(&shape.key), named(&shape.value)) else {
            return Ok(());
        };
        let keys: Vec<Value> = entries.keys().map(|k| Value::String(k.clone())).collect();
        self.collection(path, value, shape, key, keys.iter(), "Map keys");
        for (name, item) in entries {
            let inner = format!("{path}.{name}.member");
            if is_scalar(member.kind) {
                expect_type(&inner, item, member.kind)?;
            } else {
                self.walk(&inner, item, member)?;
            }
        }
        self.collection(path, value, shape, member, entries.values(), "Map value");
        Ok(())
    }

    /// The scalars of a list or map are reported together, under the collection's own name.
    fn collection<'v>(
        &mut self,
        path: &str,
        whole: &Value,
        shape: &Shape,
        member: &Shape,
        items: impl Iterator<Item = &'v Value> + Clone,
        what: &str,
    ) {
        let broken = is_scalar(member.kind)
            && items.clone().any(|item| !constraints(item, member).is_empty());
        if broken {
            let rules = rules(member).join(", ");
            let shown = format!("{what} must satisfy constraint: [{rules}]");
            let hidden = Shape { sensitive: shape.sensitive || member.sensitive, ..plain() };
            self.add(path, whole, &hidden, &shown);
        }
    }

    fn add(&mut self, path: &str, value: &Value, shape: &Shape, broken: &str) {
        let shown = if shape.sensitive { String::new() } else { format!(" '{}'", show(value)) };
        self.errors
            .push(format!("Value{shown} at '{path}' failed to satisfy constraint: {broken}"));
    }

    fn into_result(self) -> ApiResult<()> {
        let count = self.errors.len();
        if count == 0 {
            return Ok(());
        }
        let plural = if count == 1 { "error" } else { "errors" };
        let shown: Vec<String> = self.errors.into_iter().take(LISTED_ERRORS).collect();
        Err(ApiError::validation(format!(
            "{count} validation {plural} detected: {}",
            shown.join("; ")
        )))
    }
}

/// A shape without rules, for its `sensitive` flag alone.
fn plain() -> Shape {
    Shape {
        kind: Kind::String,
        required: Vec::new(),
        members: serde_json::Map::new(),
        member: None,
        key: None,
        value: None,
        min: None,
        max: None,
        pattern: None,
        words: Vec::new(),
        sensitive: false,
    }
}

fn is_scalar(kind: Kind) -> bool {
    !matches!(kind, Kind::Structure | Kind::List | Kind::Map)
}

/// The rules of `shape` that `value` breaks, in AWS's words. Also checks answers.
pub(super) fn constraints(value: &Value, shape: &Shape) -> Vec<String> {
    let all = rules_with(shape, Some(value));
    all.into_iter().filter(|(_, kept)| !kept).map(|(rule, _)| rule).collect()
}

/// Every rule of `shape`.
fn rules(shape: &Shape) -> Vec<String> {
    rules_with(shape, None).into_iter().map(|(rule, _)| rule).collect()
}

/// Every rule of `shape` with whether `value` keeps it.
fn rules_with(shape: &Shape, value: Option<&Value>) -> Vec<(String, bool)> {
    let number = matches!(shape.kind, Kind::Integer | Kind::Long);
    let size = value.and_then(|v| if number { v.as_i64() } else { length(v) });
    let text = value.and_then(Value::as_str);
    let noun = if number { "value" } else { "length" };
    let mut out = Vec::new();
    if let Some(max) = shape.max {
        let kept = size.is_none_or(|s| s <= max);
        out.push((format!("Member must have {noun} less than or equal to {max}"), kept));
    }
    if let Some(min) = shape.min {
        let kept = size.is_none_or(|s| s >= min);
        out.push((format!("Member must have {noun} greater than or equal to {min}"), kept));
    }
    if let Some(pattern) = &shape.pattern {
        let kept = text.is_none_or(|t| pattern.accepts(t));
        let rule = format!("Member must satisfy regular expression pattern: {}", pattern.text());
        out.push((rule, kept));
    }
    if !shape.words.is_empty() {
        let kept = text.is_none_or(|t| shape.words.iter().any(|w| w == t));
        let words = shape.words.join(", ");
        out.push((format!("Member must satisfy enum value set: [{words}]"), kept));
    }
    out
}

/// The length that limits are about: characters, members or entries.
fn length(value: &Value) -> Option<i64> {
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => return None,
    };
    i64::try_from(length).ok()
}

/// Whether the JSON type of `value` is the one that `kind` is written as.
pub(super) fn has_type(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Structure | Kind::Map => value.is_object(),
        Kind::List => value.is_array(),
        Kind::String | Kind::Blob => value.is_string(),
        Kind::Integer => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        Kind::Long => value.is_i64() || value.is_u64(),
        Kind::Boolean => value.is_boolean(),
        Kind::Timestamp => value.is_number(),
    }
}

fn expect_type(path: &str, value: &Value, kind: Kind) -> ApiResult<()> {
    if has_type(value, kind) {
        return Ok(());
    }
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "LIST_VALUE",
        Value::Object(_) => "STRUCTURE_VALUE",
    };
    let place = if path.is_empty() { "the request".to_owned() } else { format!("'{path}'") };
    Err(ApiError::new(
        "SerializationException",
        format!("{found} at {place} can not be converted to {kind:?}"),
    ))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `InstanceIds` as messages spell it: `instanceIds`.
fn lower_first(name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(characters).collect()
}

/// A value as messages show it: `[a, b]` for a list, `{k=v}` for an object, cut when long.
fn show(value: &Value) -> String {
    let shown = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(k, v)| format!("{k}={}", show(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    };
    if shown.len() <= SHOWN_BYTES {
        return shown;
    }
    format!("{}...", text::head(&shown, SHOWN_BYTES))
}

#[cfg(test)]
mod tests;
