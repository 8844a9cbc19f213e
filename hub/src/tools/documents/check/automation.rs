//! Documents of type Automation: the runbook's frame. What its actions take is Automation's
//! business.

use super::parameters;
use super::problems::{Problems, shown};
use serde_json::Value;
use std::collections::HashSet;

/// Checks a runbook.
pub fn check(document: &Value, problems: &mut Problems) {
    for name in ["description", "assumeRole"] {
        if document.get(name).is_some_and(|v| !v.is_string()) {
            problems.add(name, "has to be a text");
        }
    }
    // A runbook's parameters may have the types of AWS's resources.
    parameters::check(document, &[], problems);
    let steps = problems.main_steps(document);
    let mut names = HashSet::new();
    for (at, step) in steps.iter().enumerate() {
        let place = format!("mainSteps[{at}]");
        if let Some(name) = problems.text(&format!("{place}.name"), step.get("name")) {
            let good = (3..=128).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !good {
                problems.add(
                    format!("{place}.name"),
                    "has to be 3 to 128 letters, digits and underscores",
                );
            }
            if !names.insert(name) {
                problems.add(format!("{place}.name"), format!("is '{name}', as another step's"));
            }
        }
        let action = problems.text(&format!("{place}.action"), step.get("action"));
        if action.is_some_and(|action| !action.starts_with("aws:")) {
            problems.add(format!("{place}.action"), "has to begin with aws:");
        }
        if step.get("inputs").is_some_and(|v| !v.is_object()) {
            problems.add(format!("{place}.inputs"), "has to be an object");
        }
    }
    for (at, step) in steps.iter().enumerate() {
        let place = format!("mainSteps[{at}]");
        let followers = [
            ("nextStep", step.get("nextStep").and_then(Value::as_str)),
            ("onFailure", follower(step, "onFailure")),
            ("onCancel", follower(step, "onCancel")),
        ];
        for (member, name) in followers {
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                problems.add(
                    format!("{place}.{member}"),
                    format!("names the step '{name}', which is not there"),
                );
            }
        }
        let words = ["Abort", "Continue"];
        if let Some(Value::String(word)) = step.get("onFailure")
            && !words.contains(&word.as_str())
            && !word.starts_with("step:")
        {
            problems.add(
                format!("{place}.onFailure"),
                format!("has to be Abort, Continue or step:NAME, not '{word}'"),
            );
        }
        for flag in ["isEnd", "isCritical"] {
            match step.get(flag) {
                None | Some(Value::Bool(_)) => {}
                Some(Value::String(text)) if matches!(text.as_str(), "true" | "false") => {}
                Some(other) => problems.add(
                    format!("{place}.{flag}"),
                    format!("has to be true or false, not {}", shown(other)),
                ),
            }
        }
    }
}

fn follower<'v>(step: &'v Value, member: &str) -> Option<&'v str> {
    step.get(member)?.as_str()?.strip_prefix("step:")
}
