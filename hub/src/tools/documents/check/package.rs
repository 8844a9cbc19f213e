//! Documents of type Package: the manifest of a Distributor package.

use super::problems::Problems;
use serde_json::{Map, Value};

/// Checks a manifest: platform, version and architecture each lead to a file that is listed.
pub fn check(document: &Value, problems: &mut Problems) {
    problems.text("version", document.get("version"));
    let empty = Map::new();
    let files = match document.get("files") {
        Some(Value::Object(files)) => files,
        Some(_) => {
            problems.add("files", "has to be an object");
            &empty
        }
        None => {
            problems.add("files", "is missing");
            &empty
        }
    };
    for (name, file) in files {
        let place = format!("files.{name}.checksums.sha256");
        let sum = problems.text(&place, file.pointer("/checksums/sha256"));
        if sum.is_some_and(|s| s.len() != 64 || !s.bytes().all(|b| b.is_ascii_hexdigit())) {
            problems.add(place, "has to be 64 hexadecimal digits");
        }
    }
    let Some(Value::Object(platforms)) = document.get("packages") else {
        return problems.add("packages", "has to be an object of platforms");
    };
    if platforms.is_empty() {
        problems.add("packages", "is empty");
    }
    for (platform, versions) in platforms {
        let place = format!("packages.{platform}");
        for (version, architectures) in levels(&place, versions, problems) {
            let place = format!("{place}.{version}");
            for (architecture, package) in levels(&place, architectures, problems) {
                let place = format!("{place}.{architecture}.file");
                let file = problems.text(&place, package.get("file"));
                if let Some(file) = file.filter(|file| !files.contains_key(*file)) {
                    problems.add(place, format!("is '{file}', which is not among files"));
                }
            }
        }
    }
}

fn levels<'v>(
    place: &str,
    value: &'v Value,
    problems: &mut Problems,
) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    let members = value.as_object().filter(|members| !members.is_empty());
    if members.is_none() {
        problems.add(place, "has to be an object that is not empty");
    }
    members.into_iter().flatten()
}
