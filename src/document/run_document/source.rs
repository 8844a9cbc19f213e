//! Where an inner document comes from, and what it is given.

use super::super::plugin::{Context, Ended};
use super::super::script;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use stint_wire::json::{self, Node, Value};

/// A document larger than this isn't one, bytes. Systems Manager takes 64 KiB.
const MAX_DOCUMENT: u64 = 256 * 1024;

/// A server that doesn't hand a document out in this time won't.
const DOCUMENT_TIME: Duration = Duration::from_secs(120);

/// A document and what is needed to run it.
pub struct Found {
    /// Its name, for people.
    pub name: String,
    /// Its text.
    pub document: String,
    /// Its parameters, JSON text of an object.
    pub parameters: String,
    /// Where its scripts run, if they don't say otherwise.
    pub directory: String,
}

/// Gets what `inputs` name.
///
/// # Errors
/// How the step ends without it.
pub fn find(inputs: &Node, context: &Context<'_>) -> Result<Found, Ended> {
    let text = |name| inputs.get_any_case(name).and_then(Node::as_str).unwrap_or_default();
    let (kind, name) = (text("documentType"), text("documentPath"));
    if name.is_empty() {
        return Err(Ended::failed("the step has no documentPath"));
    }
    let parameters = parameters(inputs.get_any_case("documentParameters"));
    let parameters = parameters.map_err(Ended::failed)?;
    match kind {
        "LocalPath" => {
            let path = local_path(name, context.downloads).map_err(Ended::failed)?;
            let document = read(&path).map_err(Ended::failed)?;
            let folder = path.parent().unwrap_or(Path::new("/"));
            Ok(Found {
                name: path.display().to_string(),
                document,
                parameters,
                directory: folder.display().to_string(),
            })
        }
        "SSMDocument" => {
            let (plain, version) = name_and_version(name);
            let limit = limit(inputs).map_or(DOCUMENT_TIME, Duration::from_secs);
            let patience = context.patience(limit.min(DOCUMENT_TIME));
            let document = context.remote.document(plain, version, &patience);
            let document = document.map_err(|error| {
                let ended = Ended::without(&error);
                let stderr = format!("can't get the document {name}: {}", ended.stderr);
                Ended { stderr, ..ended }
            })?;
            Ok(Found {
                name: name.to_owned(),
                document,
                parameters,
                directory: context.directory.display().to_string(),
            })
        }
        _ => Err(Ended::failed(format!(
            "documentType must be SSMDocument or LocalPath, not \"{kind}\""
        ))),
    }
}

/// A document's name or ARN, and the version that may follow behind a colon.
fn name_and_version(path: &str) -> (&str, Option<&str>) {
    // An ARN has colons of its own, all of them before its only slash.
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let colon = path.get(name..).and_then(|name| name.find(':')).map(|colon| name + colon);
    match colon.and_then(|colon| path.split_at_checked(colon)) {
        Some((name, version)) => (name, version.get(1..).filter(|version| !version.is_empty())),
        None => (path, None),
    }
}

/// The time limit of the whole inner document, seconds, if the step has one. The original has
/// none but those of the inner steps.
pub fn limit(inputs: &Node) -> Option<u64> {
    inputs.get_any_case("timeoutSeconds").map(|_| script::limit(inputs))
}

fn local_path(name: &str, downloads: &Path) -> Result<PathBuf, String> {
    let path = Path::new(name);
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("documentPath {name} must not contain \"..\""));
    }
    // An absolute path stays what it is.
    Ok(downloads.join(path))
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |cause: &dyn std::fmt::Display| {
        format!("can't read the document {}: {cause}", path.display())
    };
    let file = File::open(path).map_err(|cause| failed(&cause))?;
    let mut text = String::new();
    file.take(MAX_DOCUMENT + 1).read_to_string(&mut text).map_err(|cause| failed(&cause))?;
    if text.len() as u64 > MAX_DOCUMENT {
        return Err(failed(&"it is larger than 256 KiB"));
    }
    if !text.trim_start().starts_with('{') {
        return Err(failed(
            &"it is no JSON. YAML is read by the hub alone: create the document there, or convert \
              it to JSON",
        ));
    }
    Ok(text)
}

/// `documentParameters`: an object, or the JSON text of one. A parameter that is null counts as
/// not given.
fn parameters(given: Option<&Node>) -> Result<String, String> {
    let Some(node) = given else { return Ok("{}".to_owned()) };
    let wrong = |why: &str| Err(format!("documentParameters must be an object{why}"));
    let parsed = match &node.value {
        Value::Null => return Ok("{}".to_owned()),
        Value::String(text) if text.trim().is_empty() => return Ok("{}".to_owned()),
        Value::String(text) => match json::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => return wrong(&format!(" or its JSON text, and this is none: {error}")),
        },
        _ => node.clone(),
    };
    match parsed.value {
        Value::Object(mut members) => {
            members.retain(|(_, node)| !matches!(node.value, Value::Null));
            Ok(Node { line: parsed.line, value: Value::Object(members) }.to_string())
        }
        _ => wrong(&format!(", not {}", parsed.kind())),
    }
}

/// For `make fuzz`: the inputs of a step.
#[cfg(fuzzing)]
pub fn fuzz(inputs: &Node) {
    let _ = limit(inputs);
    if let Ok(text) = parameters(inputs.get_any_case("documentParameters")) {
        assert!(json::parse(&text).is_ok_and(|node| matches!(node.value, Value::Object(_))));
    }
    let path = inputs.get_any_case("documentPath").and_then(Node::as_str).unwrap_or_default();
    let (name, version) = name_and_version(path);
    assert!(path.starts_with(name) && version.is_none_or(|version| path.ends_with(version)));
    if let Ok(local) = local_path(path, Path::new("/downloads")) {
        let below = local.starts_with("/downloads") || path.starts_with('/');
        assert!(below && local.components().all(|part| part != Component::ParentDir));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_an_object_or_its_text_and_nulls_are_not_given() {
        let read = |text: &str| {
            let inputs = json::parse(&format!(r#"{{"documentParameters":{text}}}"#)).unwrap();
            parameters(inputs.get_any_case("documentParameters"))
        };
        for (given, wanted) in [
            (r#"{"a":["b"],"c":null}"#, r#"{"a":["b"]}"#),
            (r#""{\"a\":1}""#, r#"{"a":1}"#),
            (r#""""#, "{}"),
            ("null", "{}"),
            ("{}", "{}"),
        ] {
            assert_eq!(read(given).as_deref(), Ok(wanted), "{given}");
        }
        assert_eq!(parameters(None).as_deref(), Ok("{}"));
        for (given, wanted) in [
            ("[1]", "must be an object, not an array"),
            (r#""a: b""#, "or its JSON text, and this is none"),
            (r#""3""#, "must be an object, not a number"),
        ] {
            let error = read(given).unwrap_err();
            assert!(error.contains(wanted), "{given}: {error}");
        }
    }

    #[test]
    fn a_name_or_an_arn_may_end_in_a_version() {
        let arn = "arn:aws:ssm:eu-west-1:123456789012:document/D";
        for (path, name, version) in [
            ("D", "D", None),
            ("D:3", "D", Some("3")),
            ("D:$LATEST", "D", Some("$LATEST")),
            ("D:", "D", None),
            (arn, arn, None),
            (&format!("{arn}:3"), arn, Some("3")),
            (
                "arn:aws:ssm:eu-west-1::document/AWS-D",
                "arn:aws:ssm:eu-west-1::document/AWS-D",
                None,
            ),
        ] {
            assert_eq!(name_and_version(path), (name, version), "{path}");
        }
    }

    #[test]
    fn a_relative_path_stays_among_the_downloads() {
        let downloads = Path::new("/d");
        assert_eq!(local_path("x/y.json", downloads).unwrap(), Path::new("/d/x/y.json"));
        assert_eq!(local_path("/y.json", downloads).unwrap(), Path::new("/y.json"));
        for name in ["../y.json", "x/../../y.json", "/d/../y.json"] {
            assert!(local_path(name, downloads).unwrap_err().contains("\"..\""), "{name}");
        }
    }
}
