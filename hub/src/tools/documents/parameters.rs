//! A command's parameters against those that its document declares.

use super::content::Values;
use crate::commands::values;
use crate::model;
use serde_json::Value;

/// A parameter's declaration.
#[derive(Debug, Default)]
pub struct Declared {
    /// `String`, `StringList`, `Boolean`, `Integer`, `StringMap` or `MapList`.
    pub kind: String,
    /// For people.
    pub description: Option<String>,
    /// Used when no value is given; a parameter without one is required.
    pub default: Option<Value>,
    allowed_values: Option<Vec<String>>,
    allowed_pattern: Option<String>,
    chars: (Option<u64>, Option<u64>),
    items: (Option<u64>, Option<u64>),
}

impl Declared {
    /// Reads a declaration; what is missing or of another type is as if it were not there.
    pub fn of(value: &Value) -> Declared {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        // Documents write limits as numbers or as numeric strings.
        let number = |key: &str| match value.get(key) {
            Some(Value::String(text)) => text.parse().ok(),
            other => other.and_then(Value::as_u64),
        };
        let words = value.get("allowedValues").and_then(Value::as_array);
        Declared {
            kind: text("type").unwrap_or_else(|| "String".to_owned()),
            description: text("description"),
            default: value.get("default").cloned(),
            allowed_values: words.map(|words| words.iter().map(scalar).collect()),
            allowed_pattern: text("allowedPattern"),
            chars: (number("minChars"), number("maxChars")),
            items: (number("minItems"), number("maxItems")),
        }
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks all values of a command.
///
/// # Errors
/// The first fault, as a sentence that names the parameter.
pub fn check(declared: &Vec<(&String, Declared)>, values: &Values) -> Result<(), String> {
    for name in values.keys() {
        if !declared.iter().any(|(known, _)| *known == name) {
            let known: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!(
                "The document has no parameter '{name}'. It has: {}.",
                known.join(", ")
            ));
        }
    }
    for (name, declaration) in declared {
        match values.get(*name) {
            Some(given) => {
                one(declaration, given).map_err(|fault| format!("Parameter '{name}' {fault}."))?
            }
            None if declaration.default.is_none() => {
                return Err(format!("Parameter '{name}' is required; give it a value."));
            }
            None => {}
        }
    }
    Ok(())
}

/// How references to values of Parameter Store and to its secrets begin, after the braces.
const PLAIN: &str = "ssm:";
const SECURE: &str = "ssm-secure:";

/// Whether a value can only be judged on the node: a part of it is filled in before it is used
/// there, or the whole of it is one secret. What is beside a secret is never looked at again, so
/// it is judged here.
fn is_left_to_the_node(value: &str) -> bool {
    let holds = |prefix| {
        (0..value.len()).filter_map(|at| value.get(at..)).any(|t| reference(t, prefix).is_some())
    };
    reference(value.trim(), SECURE) == Some("") || (holds(PLAIN) && !holds(SECURE))
}

/// What follows the reference that a text begins with. The agent reads references in the same
/// way: whatever it would leave as it stands must not be taken for one here.
fn reference<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let named = text.strip_prefix("{{")?.trim_start_matches(' ').strip_prefix(prefix)?;
    let rest = named.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_/.:-".contains(c));
    let after = rest.trim_start_matches(' ').strip_prefix("}}")?;
    (rest.len() < named.len()).then_some(after)
}

/// Checks one parameter's values.
fn one(declared: &Declared, given: &[String]) -> Result<(), String> {
    let within = |(min, max): (Option<u64>, Option<u64>), size: usize, what: &str| {
        let size = size as u64;
        match (min.filter(|min| size < *min), max.filter(|max| size > *max)) {
            (Some(min), _) => Err(format!("needs at least {min} {what}, not {size}")),
            (_, Some(max)) => Err(format!("takes at most {max} {what}, not {size}")),
            _ => Ok(()),
        }
    };
    let given = match declared.kind.as_str() {
        "MapList" => {
            let given = given.iter().cloned().map(Value::String).collect();
            values::maps(given).iter().map(scalar).collect()
        }
        _ => given.to_vec(),
    };
    if matches!(declared.kind.as_str(), "StringList" | "MapList") {
        within(declared.items, given.len(), "values")?;
    } else if given.len() != 1 {
        return Err(format!("takes exactly one value, not {}", given.len()));
    }
    let pattern = declared.allowed_pattern.as_deref();
    let compiled = match pattern.map(model::compile) {
        Some(None) => return Err("has an allowedPattern that can't be checked".to_owned()),
        other => other.flatten(),
    };
    // What a reference stands for is known on the node, which checks it there.
    for value in given.iter().filter(|value| !is_left_to_the_node(value)) {
        if !matches!(declared.kind.as_str(), "Integer" | "Boolean") {
            within(declared.chars, value.chars().count(), "characters")?;
        }
        if let Some(words) = declared.allowed_values.as_ref().filter(|w| !w.contains(value)) {
            return Err(format!("has to be one of {}, not '{value}'", words.join(", ")));
        }
        if compiled.as_ref().is_some_and(|pattern| !pattern.is_match(value)) {
            return Err(format!(
                "has to match {}, and '{value}' does not",
                pattern.unwrap_or_default()
            ));
        }
        let fits = match declared.kind.as_str() {
            "Boolean" => matches!(value.to_ascii_lowercase().as_str(), "true" | "false"),
            "Integer" => value.parse::<i64>().is_ok(),
            "StringMap" | "MapList" => {
                serde_json::from_str(value).is_ok_and(|v: Value| v.is_object())
            }
            _ => true,
        };
        if !fits {
            return Err(format!("has to be a {}, and '{value}' is not", declared.kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(declared: Value, given: &[&str]) -> Result<(), String> {
        let given: Vec<String> = given.iter().map(|v| (*v).to_owned()).collect();
        one(&Declared::of(&declared), &given)
    }

    #[test]
    fn each_declared_rule_is_kept() {
        for (declared, good, bad) in [
            (
                json!({"type": "StringList", "minItems": 1, "maxItems": "2"}),
                &["a", "b"][..],
                &[][..],
            ),
            (json!({"type": "StringList", "maxItems": 1}), &["a"], &["a", "b"]),
            (json!({"type": "String"}), &["a"], &["a", "b"]),
            (json!({"type": "String"}), &[""], &[]),
            (json!({"type": "String", "minChars": 2}), &["éé"], &["é"]),
            (json!({"type": "String", "maxChars": 2}), &["éé"], &["ééé"]),
            (json!({"type": "String", "allowedValues": ["Scan", 7]}), &["7"], &["Install"]),
            (json!({"type": "String", "allowedPattern": "[0-9]+"}), &["12"], &["12x"]),
            (json!({"type": "StringList", "allowedPattern": "^a.*"}), &["a", "ab"], &["a", "b"]),
            (json!({"type": "String", "allowedPattern": "(?!x)"}), &[][..0], &["a"]),
            (json!({"type": "Boolean"}), &["True"], &["yes"]),
            (json!({"type": "Integer"}), &["-4"], &["4.5"]),
            (json!({"type": "StringMap"}), &["{\"a\": 1}"], &["[]"]),
            (json!({"type": "MapList"}), &["[]"], &["x"]),
            (json!({"type": "MapList"}), &["[{\"a\": 1}, {}]"], &["[1]"]),
            (json!({"type": "MapList", "maxItems": 2}), &["{}", "{}"], &["[{}, {}, {}]"]),
        ] {
            if !good.is_empty() {
                assert_eq!(verdict(declared.clone(), good), Ok(()), "{declared}");
            }
            assert!(verdict(declared.clone(), bad).is_err(), "{declared}");
        }
    }

    #[test]
    fn a_reference_to_parameter_store_is_left_to_the_node() {
        let declared = json!({"type": "String", "allowedValues": ["a"], "maxChars": 3});
        for good in ["{{ssm:/edge/size}}", "x{{ ssm:size:2 }}", "{{ ssm-secure:key }}"] {
            assert_eq!(verdict(declared.clone(), &[good]), Ok(()), "{good}");
        }
        assert_eq!(verdict(declared.clone(), &["{{{ssm:x}}"]), Ok(()));
        for bad in [
            "{{ssm:}}",
            "{{ssm:a b}}",
            "{{ssm:a",
            "ssm:a}}",
            "{{ size }}",
            "{{ssm:%}}",
            "{{\tssm:a}}",
            "{{ssm: a}}",
            "{{ssm:ä}}",
            "{{ssm-secure:}}",
        ] {
            assert!(verdict(declared.clone(), &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_that_only_looks_like_a_reference_gets_around_a_limit() {
        for declared in [
            json!({"type": "String", "allowedPattern": "^[a-z]+$"}),
            json!({"type": "String", "allowedValues": ["a"]}),
        ] {
            for bad in [
                "x; reboot # {{ssm:%}}",
                "x; reboot # {{ssm-secure:y}}",
                "{{ssm-secure:y}}; reboot",
                "{{ssm-secure:y}}{{ssm-secure:z}}",
                "x; {{ssm-secure:y}} {{ssm:z}}",
            ] {
                assert!(verdict(declared.clone(), &[bad]).is_err(), "{declared} {bad}");
            }
            for good in ["{{ ssm-secure:y }}", " {{ssm-secure:/a/y}} ", "x {{ssm:z}}"] {
                assert_eq!(verdict(declared.clone(), &[good]), Ok(()), "{declared} {good}");
            }
        }
    }

    #[test]
    fn unknown_and_missing_parameters_are_named() {
        let name = "commands".to_owned();
        let declared = vec![(&name, Declared::of(&json!({"type": "StringList"})))];
        let values = |name: &str| Values::from([(name.to_owned(), vec!["x".to_owned()])]);
        assert_eq!(check(&declared, &values("commands")), Ok(()));
        assert!(check(&declared, &values("command")).unwrap_err().contains("'command'"));
        assert!(check(&declared, &Values::new()).unwrap_err().contains("'commands' is required"));
    }
}
