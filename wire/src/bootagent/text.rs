//! Reading values as kindly as other people's servers need, and small words that both sides check.

use crate::json::{Node, SyntaxError, Value, parse_lenient};

/// Reads a body. The founding page's samples are accepted as they are printed.
///
/// # Errors
/// It is no JSON, or not of the kind that is wanted here.
pub(super) fn body(text: &str, array: bool) -> Result<Node, SyntaxError> {
    let node = parse_lenient(text)?;
    let (fits, what) = match array {
        true => (node.elements().is_some(), "an array was expected"),
        false => (matches!(node.value, Value::Object(_)), "an object was expected"),
    };
    if fits { Ok(node) } else { Err(SyntaxError { line: node.line, what }) }
}

/// The first of these members that is there and isn't `null`.
pub(super) fn member<'n>(node: &'n Node, names: &[&str]) -> Option<&'n Node> {
    let mut found = names.iter().filter_map(|name| node.get(name));
    found.find(|node| node.value != Value::Null)
}

/// A string's text, or a number's or a boolean's spelling.
pub(super) fn words(node: &Node) -> Option<String> {
    match &node.value {
        Value::String(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The text of a member; empty if there is none.
pub(super) fn text(node: &Node, name: &str) -> String {
    member(node, &[name]).and_then(words).unwrap_or_default()
}

/// A number, also one in quotes.
pub(super) fn number<N: std::str::FromStr>(node: &Node, name: &str) -> Option<N> {
    member(node, &[name]).and_then(words)?.parse().ok()
}

/// What can't be read as a code is still none of success.
const NO_CODE: i64 = -1;

/// A code by the first of these members that is there: 0 is success. What stands there and is no
/// whole number isn't success.
pub(super) fn code(node: &Node, names: &[&str]) -> i64 {
    member(node, names).map_or(0, |value| {
        words(value).and_then(|words| words.trim().parse().ok()).unwrap_or(NO_CODE)
    })
}

/// `status` or `errcode`, whichever the server writes; 0, all is well, if neither.
pub(super) fn verdict(node: &Node) -> i64 {
    code(node, &["errcode", "status"])
}

/// Whether `id` can be an agent's: 1 to 64 letters, digits, `-`, `_`, `.` and `:`. It crosses the
/// wire as a header's value, and UUIDs are the rule.
pub fn is_agentsn(id: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
    (1..=64).contains(&id.len()) && id.bytes().all(valid)
}
