//! The plugins of Command documents, and what each has to be told.

use super::problems::{Problems, is_filled_in, shown};
use serde_json::Value;

/// The names that agents know.
pub const NAMES: [&str; 18] = [
    "aws:applications",
    "aws:cloudWatch",
    "aws:configureDaemon",
    "aws:configureDocker",
    "aws:configurePackage",
    "aws:domainJoin",
    "aws:downloadContent",
    "aws:psModule",
    "aws:refreshAssociation",
    "aws:runDocument",
    "aws:runDockerAction",
    "aws:runPowerShellScript",
    "aws:runShellScript",
    "aws:softwareInventory",
    "aws:updateAgent",
    "aws:updateSsmAgent",
    "stint:configureAgent",
    "stint:event",
];

const SOURCES: [&str; 5] = ["Git", "GitHub", "HTTP", "S3", "SSMDocument"];

const CHILD_ACTIONS: [&str; 7] =
    ["install", "upgrade", "uninstall", "start", "stop", "restart", "config"];

const DOCKER_ACTIONS: [&str; 13] = [
    "Create", "Start", "Run", "Stop", "Rm", "Exec", "Inspect", "Logs", "Ps", "Stats", "Pull",
    "Images", "Rmi",
];

/// Checks the name of a plugin.
pub fn name(place: &str, plugin: &str, problems: &mut Problems) {
    if !NAMES.contains(&plugin) {
        let known = NAMES.join(", ");
        problems.add(place, format!("names the plugin '{plugin}', which is none of {known}"));
    }
}

/// Checks the inputs of a plugin: those that its work needs are there and have the right form.
/// Others are the plugin's business.
pub fn inputs(place: &str, plugin: &str, inputs: &Value, problems: &mut Problems) {
    let at = |name: &str| format!("{place}.{name}");
    let get = |name: &str| inputs.get(name);
    match plugin {
        "aws:runShellScript" | "aws:runPowerShellScript" => {
            lines(&at("runCommand"), get("runCommand"), problems);
        }
        "aws:downloadContent" => {
            problems.text(&at("sourceType"), get("sourceType"));
            problems.word(&at("sourceType"), get("sourceType"), &SOURCES);
            match get("sourceInfo") {
                None => problems.add(at("sourceInfo"), "is missing"),
                Some(Value::Object(_) | Value::String(_)) => {}
                Some(_) => problems.add(at("sourceInfo"), "has to be an object"),
            }
        }
        "aws:runDocument" => {
            problems.word(&at("documentType"), get("documentType"), &["SSMDocument", "LocalPath"]);
            problems.text(&at("documentType"), get("documentType"));
            problems.text(&at("documentPath"), get("documentPath"));
        }
        "stint:event" => {
            problems.text(&at("event"), get("event"));
        }
        "stint:configureAgent" => {
            problems.text(&at("action"), get("action"));
            problems.word(&at("action"), get("action"), &CHILD_ACTIONS);
        }
        "aws:configureDocker" => {
            problems.text(&at("action"), get("action"));
            problems.word(&at("action"), get("action"), &["Install", "Uninstall"]);
        }
        "aws:runDockerAction" => {
            problems.text(&at("action"), get("action"));
            problems.word(&at("action"), get("action"), &DOCKER_ACTIONS);
        }
        _ => {}
    }
    match get("timeoutSeconds") {
        None => {}
        Some(Value::Number(seconds)) if seconds.as_f64().is_some_and(|s| s >= 0.0) => {}
        Some(Value::String(text))
            if is_filled_in(text) || text.trim().parse::<f64>().is_ok_and(|s| s >= 0.0) => {}
        Some(other) => problems.add(
            at("timeoutSeconds"),
            format!("has to be a number of seconds, not {}", shown(other)),
        ),
    }
}

/// The lines of a script.
fn lines(place: &str, value: Option<&Value>, problems: &mut Problems) {
    match value {
        None => problems.add(place, "is missing"),
        Some(Value::String(_)) => {}
        Some(Value::Array(lines)) => {
            if lines.is_empty() {
                problems.add(place, "is empty");
            }
            for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_string()) {
                problems.add(
                    format!("{place}[{at}]"),
                    format!("has to be a text, not {}", shown(line)),
                );
            }
        }
        Some(_) => problems.add(place, "has to be a list of texts"),
    }
}
