//! What a document demands of its parameters: type, allowed values, pattern, length.
//!
//! The original leaves most of it to the service and checks `allowedPattern` alone. Here a
//! document means what it says wherever it comes from.

use super::parameter_store;
use super::parse::Problem;
use regex_lite::Regex;
use stint_wire::json::{self, Node, Value};

/// The types that a parameter may have.
pub const TYPES: [&str; 6] = ["String", "StringList", "StringMap", "Integer", "Boolean", "MapList"];

/// Whether Parameter Store has a part of the value, so that it can't be judged as it stands, but
/// when the reference has been filled in.
pub fn is_reference(value: &Node) -> bool {
    match &value.value {
        Value::String(text) => parameter_store::has_reference(text),
        Value::Array(elements) => elements.iter().any(is_reference),
        Value::Object(members) => members.iter().any(|(_, member)| is_reference(member)),
        _ => false,
    }
}

/// A map, or a list of maps, that was given as its JSON text, as command lines give it. `None` for
/// any other value.
pub fn unquoted(definition: &Node, value: &Node) -> Option<Node> {
    let text = value.as_str()?;
    let kind = definition.get_any_case("type").and_then(Node::as_str)?;
    let node = json::parse(text).ok()?;
    let fits = matches!(
        (kind, &node.value),
        ("StringMap", Value::Object(_)) | ("MapList", Value::Array(_))
    );
    fits.then_some(node)
}

/// What is wrong with a parameter's definition itself.
pub fn of_definition(name: &str, definition: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |node: &Node, what: String| problems.push(Problem { line: node.line, what });
    if let Some(node) = definition.get_any_case("type")
        && !node.as_str().is_some_and(|word| TYPES.contains(&word))
    {
        say(node, format!("the type of parameter {name} must be one of {}", TYPES.join(", ")));
    }
    if let Some(node) = definition.get_any_case("allowedPattern")
        && node.as_str().is_none_or(|text| Regex::new(text).is_err())
    {
        // Tables of Unicode would be larger than all the rest of the expressions.
        let what =
            "is no regular expression, or has \\p{…}, \\C or \\Q, which this agent doesn't know";
        say(node, format!("the allowedPattern of parameter {name} {what}"));
    }
    if let Some(node) = definition.get_any_case("allowedValues")
        && node.elements().is_none()
    {
        say(node, format!("the allowedValues of parameter {name} must be a list"));
    }
    for key in ["minChars", "maxChars", "minItems", "maxItems"] {
        if let Some(node) = definition.get_any_case(key)
            && number(node).is_none()
        {
            say(node, format!("{key} of parameter {name} must be a whole number"));
        }
    }
    problems
}

/// What is wrong with a parameter's default, where nothing else is given. An empty one says "not
/// given": it has to be of the type and match the pattern, as the original wants it, and no more.
pub fn of_default(name: &str, definition: &Node, value: &Node) -> Vec<Problem> {
    let is_empty = match &value.value {
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => count(value) == Some(0),
        _ => false,
    };
    judge(name, definition, value, is_empty)
}

/// What is wrong with a parameter's value. The texts name the parameter and what it should be,
/// never the value: that may be a secret.
pub fn of_value(name: &str, definition: &Node, value: &Node) -> Vec<Problem> {
    judge(name, definition, value, false)
}

fn judge(name: &str, definition: &Node, value: &Node, says_nothing: bool) -> Vec<Problem> {
    let line = definition.line;
    let problem = |what: String| Problem { line, what: format!("parameter {name} {what}") };
    let kind = definition.get_any_case("type").and_then(Node::as_str).unwrap_or_default();
    if let Some(wanted) = wrong_type(kind, value) {
        return vec![problem(format!("must be {wanted}, not {}", value.kind()))];
    }
    let mut problems = Vec::new();
    let texts = texts(value);
    if let Some(allowed) = definition.get_any_case("allowedValues").and_then(Node::elements)
        && !says_nothing
        && !texts.iter().all(|text| allowed.iter().any(|one| plain(one) == *text))
    {
        let allowed: Vec<_> = allowed.iter().map(plain).collect();
        problems.push(problem(format!("must be one of {}", allowed.join(", "))));
    }
    if let Some(pattern) = definition.get_any_case("allowedPattern").and_then(Node::as_str)
        && !pattern.is_empty()
        // A pattern that is none is a problem of the definition.
        && Regex::new(pattern).is_ok_and(|regex| !texts.iter().all(|text| regex.is_match(text)))
    {
        problems.push(problem(format!("must match the pattern {pattern}")));
    }
    if says_nothing {
        return problems;
    }
    let limit = |key: &str| definition.get_any_case(key).and_then(number);
    let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let shortest = texts.iter().map(|text| text.chars().count()).min().unwrap_or(0);
    let has_length = !matches!(kind, "Integer" | "Boolean");
    if let Some(least) = limit("minChars").filter(|least| has_length && shortest < *least) {
        problems.push(problem(format!("must have at least {least} characters")));
    }
    if let Some(most) = limit("maxChars").filter(|most| has_length && longest > *most) {
        problems.push(problem(format!("must have at most {most} characters")));
    }
    if let Some(count) = count(value) {
        if let Some(least) = limit("minItems").filter(|least| count < *least) {
            problems.push(problem(format!("must have at least {least} items")));
        }
        if let Some(most) = limit("maxItems").filter(|most| count > *most) {
            problems.push(problem(format!("must have at most {most} items")));
        }
    }
    problems
}

/// What a value of that type would be, if this is none. Numbers and truths may stand as text,
/// because that is how command lines give them.
fn wrong_type(kind: &str, value: &Node) -> Option<&'static str> {
    let text = plain(value);
    let fits = match (kind, &value.value) {
        ("String", Value::String(_) | Value::Number(_) | Value::Bool(_)) => true,
        ("StringList", Value::Array(_)) => true,
        ("StringMap", Value::Object(_)) => true,
        ("MapList", Value::Array(elements)) => {
            elements.iter().all(|element| matches!(element.value, Value::Object(_)))
        }
        ("Integer", Value::Number(_) | Value::String(_)) => text.parse::<i64>().is_ok(),
        ("Boolean", Value::Bool(_) | Value::String(_)) => {
            text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")
        }
        (kind, _) => !TYPES.contains(&kind),
    };
    let wanted = match kind {
        "String" => "a string",
        "StringList" => "a list of strings",
        "StringMap" => "an object",
        "MapList" => "a list of objects",
        "Integer" => "a whole number",
        _ => "true or false",
    };
    (!fits).then_some(wanted)
}

/// The texts that patterns and lengths speak of: the elements of a list, else the value. What is
/// a secret as a whole is known only in the script.
fn texts(value: &Node) -> Vec<String> {
    let texts: Vec<_> = match &value.value {
        Value::Array(elements) => elements.iter().map(plain).collect(),
        _ => vec![plain(value)],
    };
    texts.into_iter().filter(|text| !parameter_store::is_secret(text)).collect()
}

fn count(value: &Node) -> Option<usize> {
    match &value.value {
        Value::Array(elements) => Some(elements.len()),
        Value::Object(members) => Some(members.len()),
        _ => None,
    }
}

/// A string as it is, anything else as JSON.
fn plain(node: &Node) -> String {
    node.as_str().map_or_else(|| node.to_string(), str::to_owned)
}

fn number(node: &Node) -> Option<usize> {
    match &node.value {
        Value::Number(text) | Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::json::parse;

    fn said(definition: &str, value: &str) -> String {
        let definition = parse(definition).unwrap();
        let mut all = of_definition("p", &definition);
        all.extend(of_value("p", &definition, &parse(value).unwrap()));
        let texts: Vec<_> = all.into_iter().map(|problem| problem.what).collect();
        texts.join("; ")
    }

    #[test]
    fn every_limit_of_a_definition_is_kept() {
        for (definition, good, bad, wanted) in [
            (r#"{"type":"String"}"#, r#""x""#, "[]", "must be a string, not an array"),
            (r#"{"type":"StringList"}"#, "[]", r#""x""#, "must be a list of strings"),
            (r#"{"type":"StringMap"}"#, "{}", "[]", "must be an object"),
            (r#"{"type":"MapList"}"#, "[{}]", "[1]", "must be a list of objects"),
            (r#"{"type":"Integer"}"#, r#""-7""#, "1.5", "must be a whole number"),
            (r#"{"type":"Boolean"}"#, r#""true""#, "1", "must be true or false"),
            (r#"{"type":"Boolean"}"#, r#""False""#, r#""no""#, "must be true or false"),
            (r#"{"allowedValues":["a",2]}"#, "2", r#""b""#, "must be one of a, 2"),
            (r#"{"allowedValues":["a","b"]}"#, r#"["b","a"]"#, r#"["a","c"]"#, "one of a, b"),
            (
                r#"{"allowedPattern":"^[a-z]+$"}"#,
                r#""abc""#,
                r#""a1""#,
                "match the pattern ^[a-z]+$",
            ),
            (r#"{"allowedPattern":"b"}"#, r#"["abc","b"]"#, r#"["b","c"]"#, "match the pattern b"),
            (r#"{"minChars":2}"#, r#""äö""#, r#""a""#, "at least 2 characters"),
            (r#"{"maxChars":"2"}"#, r#"["ab","a"]"#, r#"["abc"]"#, "at most 2 characters"),
            (r#"{"type":"Integer","maxChars":1}"#, "1000", r#""x""#, "must be a whole number"),
            (r#"{"minItems":1}"#, "[1]", "[]", "at least 1 items"),
            (r#"{"maxItems":1}"#, r#"{"a":1}"#, "[1,2]", "at most 1 items"),
        ] {
            assert_eq!(said(definition, good), "", "{definition} {good}");
            let words = said(definition, bad);
            assert!(words.contains(wanted), "{definition} {bad}: {words}");
        }
    }

    #[test]
    fn an_empty_default_says_that_nothing_is_given_and_only_the_pattern_is_about_it() {
        for (definition, value) in [
            (r#"{"type":"String","allowedValues":["lab"],"minChars":1}"#, r#""""#),
            (r#"{"type":"StringList","allowedValues":["lab"],"minItems":1}"#, "[]"),
            (r#"{"type":"StringMap","minItems":1,"minChars":9}"#, "{}"),
        ] {
            let (definition, value) = (parse(definition).unwrap(), parse(value).unwrap());
            assert_eq!(of_default("p", &definition, &value), []);
            assert_ne!(of_value("p", &definition, &value), []);
        }
        let empty = parse(r#""""#).unwrap();
        for (definition, wanted) in [
            (r#"{"type":"String","allowedPattern":"^[a-z]+$"}"#, "must match the pattern"),
            (r#"{"type":"Integer"}"#, "must be a whole number"),
        ] {
            let found = of_default("p", &parse(definition).unwrap(), &empty);
            assert!(found.iter().any(|problem| problem.what.contains(wanted)), "{definition}");
        }
        let definition = parse(r#"{"type":"String","allowedValues":["lab"]}"#).unwrap();
        assert_ne!(of_default("p", &definition, &parse(r#""x""#).unwrap()), []);
    }

    #[test]
    fn a_definition_that_makes_no_sense_says_so() {
        for (definition, wanted) in [
            (r#"{"type":"Text"}"#, "must be one of String, StringList"),
            (r#"{"allowedPattern":"("}"#, "is no regular expression"),
            (r#"{"allowedPattern":"^\\p{L}+$"}"#, "or has \\p{…}"),
            (r#"{"allowedValues":"a"}"#, "allowedValues of parameter p must be a list"),
            (r#"{"minChars":"few"}"#, "minChars of parameter p must be a whole number"),
        ] {
            let words = said(definition, r#""x""#);
            assert!(words.contains(wanted), "{definition}: {words}");
        }
    }

    #[test]
    fn a_refused_value_is_not_repeated_as_it_may_be_a_secret() {
        let words =
            said(r#"{"type":"String","allowedPattern":"^x$","maxChars":3}"#, r#""hunter2""#);
        assert!(!words.is_empty() && !words.contains("hunter2"), "{words}");
    }

    #[test]
    fn references_to_parameter_store_are_recognised_at_any_depth() {
        for text in [r#""{{ssm:x}}""#, r#"["a","b {{ ssm:/x }}"]"#] {
            assert!(is_reference(&parse(text).unwrap()), "{text}");
        }
        for text in [r#""{{ x }} ssm:""#, r#""{{ssm:%}}""#, r#""{{ssm:""#, r#""{{ssm-secure:x}}""#]
        {
            assert!(!is_reference(&parse(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn nothing_that_only_looks_like_a_reference_gets_around_a_limit() {
        let definition = r#"{"type":"String","allowedPattern":"^[a-z]+$"}"#;
        for value in ["x; reboot # {{ssm:%}}", "x {{ssm:", "x; {{ssm-secure:y}}"] {
            assert_ne!(said(definition, &stint_wire::json::quote(value)), "", "{value}");
        }
        assert_eq!(said(definition, r#""{{ ssm-secure:y }}""#), "");
    }
}
