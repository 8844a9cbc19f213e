//! Documents of type Session: preferences and kinds of sessions.

use super::parameters;
use super::problems::Problems;
use serde_json::Value;

const TYPES: [&str; 4] =
    ["Standard_Stream", "InteractiveCommands", "NonInteractiveCommands", "Port"];

/// Checks a Session document.
pub fn check(document: &Value, problems: &mut Problems) {
    let kind = problems.text("sessionType", document.get("sessionType")).unwrap_or_default();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        problems.add("sessionType", format!("is '{kind}', which is none of {}", TYPES.join(", ")));
    }
    parameters::check(document, &parameters::TYPES, problems);
    for name in ["inputs", "properties"] {
        if document.get(name).is_some_and(|v| !v.is_object()) {
            problems.add(name, "has to be an object");
        }
    }
    if kind.ends_with("InteractiveCommands") && document.get("properties").is_none() {
        problems.add("properties", "is missing; it holds the commands");
    }
    if kind == "Port" && document.get("properties").is_none() {
        problems.add("properties", "is missing; it holds portNumber");
    }
}
