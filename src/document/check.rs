//! What is wrong with a document, before anybody gives it parameters or runs it.

use super::parameters::Parameters;
use super::parse::{self, DocumentError, Problem, Step};
use super::plugin::{self, Support};
use super::precondition::{self, Verdict};
use stint_wire::json::{self, Node, Value};

/// Placeholders that somebody else fills in: Parameter Store.
const PREFIXES: [&str; 2] = ["ssm:", "ssm-secure:"];

/// All problems of a document, in the order of its lines. None: every device with the plugins
/// that it names can run it.
pub fn check(text: &str) -> Vec<Problem> {
    let root = match json::parse(text) {
        Ok(root) => root,
        Err(cause) => {
            return vec![Problem { line: cause.line, what: format!("no JSON: {}", cause.what) }];
        }
    };
    let mut problems = match refuse(&root) {
        Ok(()) => Vec::new(),
        Err(DocumentError::Malformed(problems)) => problems,
        Err(error) => vec![Problem { line: root.line, what: error.to_string() }],
    };
    let (parameters, _) = Parameters::new(root.get_any_case("parameters"), None);
    for key in ["mainSteps", "runtimeConfig"] {
        if let Some(node) = root.get_any_case(key) {
            unknown_placeholders(node, &parameters, &mut problems);
        }
    }
    problems.sort_by_key(|problem| problem.line);
    problems
}

/// The problems that keep a document from running: all but placeholders without a parameter, which may be the script's own.
///
/// # Errors
/// There is one.
pub fn refuse(root: &Node) -> Result<(), DocumentError> {
    let (steps, mut problems) = parse::look(root, None)?;
    of_steps(&steps, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(DocumentError::Malformed(problems)) }
}

/// The inputs without which a plugin has nothing to do.
fn needed(plugin: &str) -> &'static [&'static str] {
    match plugin {
        "aws:runShellScript" | "aws:runPowerShellScript" => &["runCommand"],
        "aws:downloadContent" => &["sourceType", "sourceInfo"],
        "aws:runDocument" => &["documentType", "documentPath"],
        "aws:runDockerAction" | "aws:configureDocker" | "stint:configureAgent" => &["action"],
        "stint:event" => &["event"],
        _ => &[],
    }
}

fn of_steps(steps: &[Step], problems: &mut Vec<Problem>) {
    for step in steps {
        let name = if step.name.is_empty() { "without a name" } else { &step.name };
        let mut say = |what: &str| {
            problems.push(Problem { line: step.line, what: format!("step {name}: {what}") });
        };
        match plugin::support(&step.plugin) {
            // That is told already.
            _ if step.plugin.is_empty() => {}
            Support::Here => {}
            // With a precondition such a step is for other platforms, and rightly skipped here.
            Support::Elsewhere if step.may_be_skipped => {}
            Support::Unknown => say(&format!("nobody knows a plugin {}", step.plugin)),
            Support::Refused(why) => say(&format!("{}: {why}", step.plugin)),
            Support::Elsewhere | Support::Missing => {
                say(&format!("stint does not have the plugin {}", step.plugin));
            }
        }
        if let Some((written, filled)) = &step.precondition
            && step.may_be_skipped
            && let Verdict::Unrecognised(why) = precondition::judge(written, filled)
        {
            say(&format!("its precondition can't be understood: {why}"));
        }
        for input in needed(&step.plugin) {
            if step.inputs.iter().any(|inputs| inputs.get_any_case(input).is_none()) {
                say(&format!("there is no {input}"));
            }
        }
    }
}

fn unknown_placeholders(node: &Node, parameters: &Parameters, problems: &mut Vec<Problem>) {
    match &node.value {
        Value::String(text) => {
            for name in placeholders(text) {
                if !parameters.knows(name) && !PREFIXES.iter().any(|start| name.starts_with(start))
                {
                    let what =
                        format!("{{{{ {name} }}}} is no declared parameter and stays as it is");
                    problems.push(Problem { line: node.line, what });
                }
            }
        }
        Value::Array(elements) => {
            for element in elements {
                unknown_placeholders(element, parameters, problems);
            }
        }
        Value::Object(members) => {
            for (_, member) in members {
                unknown_placeholders(member, parameters, problems);
            }
        }
        _ => {}
    }
}

/// What stands between double braces, if it could be a name.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    inside.map(|(name, _)| name.trim()).filter(|name| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-./:".contains(&b);
        !name.is_empty() && name.bytes().all(fits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(text: &str) -> Vec<String> {
        check(text).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn a_good_document_has_no_problems() {
        let document = r#"{"schemaVersion":"2.2","parameters":{"c":{"type":"StringList"}},
            "mainSteps":[{"action":"aws:runShellScript","name":"a",
            "precondition":{"StringEquals":["platformType","Linux"]},
            "inputs":{"runCommand":"{{ c }}","x":"{{ ssm:/a/b:3 }} ${{ {"}}]}"#;
        assert_eq!(said(document), [""; 0]);
    }

    #[test]
    fn what_nobody_can_run_is_refused_and_braces_of_the_scripts_own_are_not() {
        let refused = |action: &str, line: &str| {
            let text = format!(
                r#"{{"schemaVersion":"2.2","mainSteps":[{{"action":"{action}","name":"a",
                "inputs":{{"runCommand":"{line}"}}}}]}}"#
            );
            refuse(&json::parse(&text).unwrap()).err().map(|error| error.to_string())
        };
        assert_eq!(refused("aws:runShellScript", "docker ps --format {{ .Names }}"), None);
        assert!(refused("aws:foo", "").unwrap().contains("nobody knows a plugin aws:foo"));
    }

    #[test]
    fn every_problem_is_told_with_its_line() {
        let document = r#"{"schemaVersion":"2.2","parameters":{"p":{"type":"Sting"}},
            "mainSteps":[{"action":"aws:runShellScript","name":"a",
            "inputs":{"runCommand":["echo {{ q }}",
            "{{r}}"]}},
            {"action":"aws:nothing"}]}"#;
        assert_eq!(
            said(document),
            [
                "document line 1: the type of parameter p must be one of String, StringList, \
                 StringMap, Integer, Boolean, MapList",
                "document line 3: {{ q }} is no declared parameter and stays as it is",
                "document line 4: {{ r }} is no declared parameter and stays as it is",
                "document line 5: a step has no name",
                "document line 5: step without a name: nobody knows a plugin aws:nothing",
            ]
        );
        let document = r#"{"schemaVersion":"2.2","mainSteps":[{"action":"aws:nothing","name":"a"},
            {"action":"aws:psModule","name":"b"},
            {"action":"aws:runShellScript","name":"c","precondition":{"Odd":[]}}]}"#;
        assert_eq!(
            said(document),
            [
                "document line 1: step a: nobody knows a plugin aws:nothing",
                "document line 3: step c: its precondition can't be understood: unknown operator Odd",
                "document line 3: step c: there is no runCommand",
            ]
        );
        let document = r#"{"schemaVersion":"2.0","mainSteps":[
            {"name":"a","precondition":{"Odd":[]}},
            {"action":"aws:downloadContent","name":"a","inputs":{"sourcetype":"S3"}},
            {"action":"aws:runDocument","name":"b"},
            {"action":"aws:runDockerAction","name":"c"}]}"#;
        assert_eq!(
            said(document),
            [
                "document line 2: a step has no action",
                "document line 2: preconditions need schemaVersion 2.2",
                "document line 3: two steps have the name a",
                "document line 3: step a: there is no sourceInfo",
                "document line 4: step b: there is no documentType",
                "document line 4: step b: there is no documentPath",
                "document line 5: step c: there is no action",
            ]
        );
        assert_eq!(
            said(
                r#"{"schemaVersion":"1.2","runtimeConfig":{"aws:runShellScript":
                {"properties":[{"runCommand":[]},{}]},
                "aws:x":{}}}"#
            ),
            [
                "document line 2: step aws:runShellScript: there is no runCommand",
                "document line 3: aws:x has no properties",
            ]
        );
        assert!(said("{").concat().starts_with("document line 1: no JSON"));
        assert!(said(r#"{"schemaVersion":"9"}"#).concat().contains("version 9 is not supported"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_checker_panic(text in "[{}\\[\\]\":,a-z ]*") {
            check(&text);
        }
    }
}
