//! Documents of type Command.

use super::problems::{Problems, shown};
use super::{parameters, plugins};
use serde_json::Value;
use std::collections::HashSet;

/// The longest name of a step. It becomes the name of a folder on the node.
const MOST_NAME: usize = 128;

/// Checks a Command document whose schema version is one that such documents have.
pub fn check(document: &Value, problems: &mut Problems) {
    if document.get("description").is_some_and(|d| !d.is_string()) {
        problems.add("description", "has to be a text");
    }
    parameters::check(document, &parameters::TYPES, problems);
    let version = document.get("schemaVersion").and_then(Value::as_str).unwrap_or_default();
    if version.starts_with("1.") {
        runtime_config(document, problems);
    } else {
        main_steps(document, version == "2.2", problems);
    }
    placeholders(document, problems);
}

fn runtime_config(document: &Value, problems: &mut Problems) {
    if document.get("mainSteps").is_some() {
        problems.add("mainSteps", "belongs to schema 2.x; documents of 1.x have runtimeConfig");
    }
    let plugins = match document.get("runtimeConfig") {
        None => return problems.add("runtimeConfig", "is missing"),
        Some(Value::Object(plugins)) if plugins.is_empty() => {
            return problems.add("runtimeConfig", "is empty");
        }
        Some(Value::Object(plugins)) => plugins,
        Some(_) => return problems.add("runtimeConfig", "has to be an object"),
    };
    for (plugin, config) in plugins {
        let place = format!("runtimeConfig.{plugin}");
        plugins::name(&place, plugin, problems);
        let place = format!("{place}.properties");
        match config.get("properties") {
            None => problems.add(place, "is missing"),
            Some(Value::Array(list)) => {
                for (at, properties) in list.iter().enumerate() {
                    inputs(&format!("{place}[{at}]"), plugin, properties, problems);
                }
            }
            // aws:cloudWatch has a text.
            Some(Value::String(_)) => {}
            Some(properties) => inputs(&place, plugin, properties, problems),
        }
    }
}

fn main_steps(document: &Value, preconditions: bool, problems: &mut Problems) {
    if document.get("runtimeConfig").is_some() {
        problems.add("runtimeConfig", "belongs to schema 1.x; documents of 2.x have mainSteps");
    }
    let steps = problems.main_steps(document);
    let mut names = HashSet::new();
    for (at, step) in steps.iter().enumerate() {
        let place = format!("mainSteps[{at}]");
        if !step.is_object() {
            problems.add(place, "has to be an object");
            continue;
        }
        let name = problems.text(&format!("{place}.name"), step.get("name"));
        if let Some(name) = name {
            step_name(&place, name, problems);
            if !names.insert(name) {
                problems.add(format!("{place}.name"), format!("is '{name}', as another step's"));
            }
        }
        let action = problems.text(&format!("{place}.action"), step.get("action"));
        if let Some(action) = action {
            plugins::name(&format!("{place}.action"), action, problems);
            let none = Value::Object(serde_json::Map::new());
            inputs(
                &format!("{place}.inputs"),
                action,
                step.get("inputs").unwrap_or(&none),
                problems,
            );
        }
        if let Some(value) = step.get("precondition") {
            let place = format!("{place}.precondition");
            if preconditions {
                precondition(&place, value, problems);
            } else {
                problems.add(place, "needs schemaVersion 2.2");
            }
        }
    }
}

fn step_name(place: &str, name: &str, problems: &mut Problems) {
    let bad = |c: char| c.is_control() || c == '/' || c == '\\';
    if name.chars().count() > MOST_NAME || name.contains(bad) || matches!(name, "." | "..") {
        problems.add(
            format!("{place}.name"),
            format!(
                "has to be up to {MOST_NAME} characters without slashes, so as to name a folder"
            ),
        );
    }
}

fn inputs(place: &str, plugin: &str, value: &Value, problems: &mut Problems) {
    if value.is_object() {
        plugins::inputs(place, plugin, value, problems);
    } else {
        problems.add(place, "has to be an object");
    }
}

fn precondition(place: &str, value: &Value, problems: &mut Problems) {
    let operators = match value {
        Value::Object(operators) if !operators.is_empty() => operators,
        _ => return problems.add(place, "has to be an object with the operator StringEquals"),
    };
    for (operator, arguments) in operators {
        let place = format!("{place}.{operator}");
        if operator != "StringEquals" {
            problems.add(&place, "is no operator that agents know; there is StringEquals");
            continue;
        }
        let texts: Option<Vec<&str>> =
            arguments.as_array().map(|a| a.iter().filter_map(Value::as_str).collect());
        match texts.as_deref() {
            Some([one, two]) if arguments.as_array().is_some_and(|a| a.len() == 2) => {
                let variable = |text: &str| text == "platformType" || text.contains("{{");
                if one == two || !(variable(one) || variable(two)) {
                    problems.add(&place, "has to compare platformType or a parameter with a text");
                }
            }
            _ => problems.add(&place, format!("has to be two texts, not {}", shown(arguments))),
        }
    }
}

/// Where a whole text is a placeholder, its parameter has to be declared. Inside of a longer text,
/// say a script, the braces may be another program's.
fn placeholders(document: &Value, problems: &mut Problems) {
    let declared = document.get("parameters").and_then(Value::as_object);
    for part in ["runtimeConfig", "mainSteps"] {
        let mut walk = vec![(part.to_owned(), document.get(part).unwrap_or(&Value::Null))];
        while let Some((place, value)) = walk.pop() {
            match value {
                Value::Object(members) => walk
                    .extend(members.iter().rev().map(|(name, v)| (format!("{place}.{name}"), v))),
                Value::Array(items) => walk.extend(
                    items.iter().enumerate().rev().map(|(at, v)| (format!("{place}[{at}]"), v)),
                ),
                Value::String(text) => {
                    let name = text.trim().strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
                    let name = name.map(str::trim).filter(|name| {
                        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())
                    });
                    if let Some(name) =
                        name.filter(|n| declared.is_none_or(|d| !d.contains_key(*n)))
                    {
                        problems.add(
                            &place,
                            format!("names the parameter '{name}', which is not declared"),
                        );
                    }
                }
                _ => {}
            }
        }
    }
}
