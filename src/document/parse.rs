//! A document's text into steps, with the parameters filled in.
//!
//! Schemas 1.0 and 1.2 hold `runtimeConfig` by plugin name, 2.0 to 2.2 hold `mainSteps`. 1.1 and
//! 2.1 are missing on purpose: the original dropped them.

use super::parameters::Parameters;
use std::fmt;
use stint_wire::json::{self, Node, Value};

const SCHEMAS: [&str; 7] = ["1.0", "1.2", "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"];

/// The first schema that knows preconditions.
const WITH_PRECONDITIONS: &str = "2.2";

/// The member by which a document says that nothing may run beside it: `"runAlone": true`. stint's
/// own; other agents pass it over.
const ALONE: &str = "runAlone";

/// A document, ready to run.
#[derive(Debug)]
pub struct Document {
    /// In the order in which they run.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Where it stands in the document, counted from 1.
    pub line: u32,
    /// Unique in a document of schema 2; the plugin's name in schema 1.
    pub name: String,
    /// The plugin: `aws:runShellScript`.
    pub plugin: String,
    /// What the plugin is given, parameters filled in: one object, or in schema 1 several, which
    /// run one after the other.
    pub inputs: Vec<Node>,
    /// As written, and with the parameters filled in; schema 2.2 only.
    pub precondition: Option<(Node, Node)>,
    /// Whether a precondition may stand here, and an unsupported plugin be skipped.
    pub may_be_skipped: bool,
}

/// Something wrong in a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line of the document, counted from 1.
    pub line: u32,
    /// What, and what it should be.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "document line {}: {}", self.line, self.what)
    }
}

/// Why a document can't be run.
#[derive(Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// The document is no JSON.
    Syntax(json::SyntaxError),
    /// The parameters that were given are no JSON.
    Parameters(json::SyntaxError),
    /// The schema isn't one of those above.
    Schema(String),
    /// Something is missing, of the wrong kind, or out of its limits: all that is.
    Malformed(Vec<Problem>),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::Syntax(cause) => write!(f, "the document is no JSON: {cause}"),
            DocumentError::Parameters(cause) => {
                write!(f, "the parameters of the document are no JSON: {cause}")
            }
            DocumentError::Schema(found) => write!(
                f,
                "document schema version {found} is not supported by this agent; it runs {}",
                SCHEMAS.join(", ")
            ),
            DocumentError::Malformed(problems) => {
                for (number, problem) in problems.iter().enumerate() {
                    let separator = if number == 0 { "" } else { "\n" };
                    write!(f, "{separator}{problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DocumentError {}

impl Document {
    /// Reads a document and fills in the parameters.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn parse(document: &str, parameters: &str) -> Result<Document, DocumentError> {
        let root = json::parse(document).map_err(DocumentError::Syntax)?;
        let given = json::parse(parameters).map_err(DocumentError::Parameters)?;
        Document::read(&root, Some(&given))
    }

    /// The same of texts that have been parsed.
    ///
    /// # Errors
    /// See [`DocumentError`].
    pub fn read(root: &Node, given: Option<&Node>) -> Result<Document, DocumentError> {
        match look(root, given)? {
            (steps, problems) if problems.is_empty() => Ok(Document { steps }),
            (_, problems) => Err(DocumentError::Malformed(problems)),
        }
    }
}

/// The steps of a document, also those with something wrong in them, and all that is wrong; without
/// parameters only to be looked at.
///
/// # Errors
/// Nobody knows where the steps would be: see [`DocumentError`].
pub fn look(root: &Node, given: Option<&Node>) -> Result<(Vec<Step>, Vec<Problem>), DocumentError> {
    let schema = match root.get_any_case("schemaVersion").map(|node| &node.value) {
        Some(Value::String(version) | Value::Number(version)) => version.clone(),
        _ => {
            return Err(DocumentError::Malformed(vec![problem(root, "there is no schemaVersion")]));
        }
    };
    if !SCHEMAS.contains(&schema.as_str()) {
        return Err(DocumentError::Schema(schema));
    }
    let (parameters, mut problems) = Parameters::new(root.get_any_case("parameters"), given);
    let before = problems.len();
    let steps = if schema.starts_with('1') {
        steps_of_schema_1(root, &parameters, &mut problems)
    } else {
        steps_of_schema_2(root, &parameters, schema == WITH_PRECONDITIONS, &mut problems)
    };
    if steps.is_empty() && problems.len() == before {
        problems.push(problem(root, "the document has no steps"));
    }
    Ok((steps, problems))
}

/// Whether a document wants to be the only one that runs; one that can't be read has no wishes.
pub fn runs_alone(document: &str) -> bool {
    let root = json::parse(document).ok();
    let wish = root.as_ref().and_then(|root| root.get_any_case(ALONE)).and_then(Node::as_bool);
    wish.unwrap_or(false)
}

fn problem(node: &Node, what: impl Into<String>) -> Problem {
    Problem { line: node.line, what: what.into() }
}

fn steps_of_schema_1(
    root: &Node,
    parameters: &Parameters,
    problems: &mut Vec<Problem>,
) -> Vec<Step> {
    let Some(config) = root.get_any_case("runtimeConfig") else {
        problems.push(problem(root, "a document of schema 1 needs runtimeConfig"));
        return Vec::new();
    };
    let mut steps = Vec::new();
    for (plugin, node) in config.members() {
        let Some(properties) = node.get_any_case("properties") else {
            problems.push(problem(node, format!("{plugin} has no properties")));
            continue;
        };
        let filled = parameters.fill(properties);
        let inputs = match filled.value {
            Value::Array(elements) => elements,
            _ => vec![filled],
        };
        let (name, plugin) = (plugin.clone(), plugin.clone());
        let line = node.line;
        steps.push(Step { line, name, plugin, inputs, precondition: None, may_be_skipped: false });
    }
    steps
}

fn steps_of_schema_2(
    root: &Node,
    parameters: &Parameters,
    may_be_skipped: bool,
    problems: &mut Vec<Problem>,
) -> Vec<Step> {
    let Some(nodes) = root.get_any_case("mainSteps").and_then(Node::elements) else {
        problems.push(problem(root, "a document of schema 2 needs a list mainSteps"));
        return Vec::new();
    };
    let mut steps = Vec::<Step>::new();
    for node in nodes {
        let mut text = |name: &str| {
            let value = node.get_any_case(name).and_then(Node::as_str).unwrap_or_default();
            if value.is_empty() {
                problems.push(problem(node, format!("a step has no {name}")));
            }
            value.to_owned()
        };
        let (name, plugin) = (text("name"), text("action"));
        if !name.is_empty() && steps.iter().any(|step| step.name == name) {
            // The original lets the later step's result take the earlier one's place.
            problems.push(problem(node, format!("two steps have the name {name}")));
        }
        let empty = Node { line: node.line, value: Value::Object(Vec::new()) };
        let inputs = vec![parameters.fill(node.get_any_case("inputs").unwrap_or(&empty))];
        let precondition = node
            .get_any_case("precondition")
            .map(|written| (written.clone(), parameters.fill(written)));
        if precondition.is_some() && !may_be_skipped {
            problems.push(problem(node, "preconditions need schemaVersion 2.2"));
        }
        let line = node.line;
        steps.push(Step { line, name, plugin, inputs, precondition, may_be_skipped });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_that_everybody_sends_is_one_step() {
        let document = r#"{"schemaVersion":"1.2","parameters":{"commands":{"type":"StringList"},
            "executionTimeout":{"type":"String","default":"3600"}},
            "runtimeConfig":{"aws:runShellScript":{"properties":[{"id":"0.aws:runShellScript",
            "runCommand":"{{ commands }}","timeoutSeconds":"{{ executionTimeout }}"}]}}}"#;
        let parsed = Document::parse(document, r#"{"commands":["a","b"]}"#).unwrap();
        let step = &parsed.steps[0];
        assert_eq!((step.name.as_str(), step.inputs.len()), ("aws:runShellScript", 1));
        assert_eq!(step.inputs[0].get("runCommand").unwrap().to_string(), r#"["a","b"]"#);
        assert_eq!(step.inputs[0].get("timeoutSeconds").unwrap().as_str(), Some("3600"));
    }

    #[test]
    fn the_steps_of_schema_2_keep_their_order() {
        let document = r#"{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"z"},
            {"action":"aws:runShellScript","name":"a","precondition":{"StringEquals":["platformType","Linux"]}}]}"#;
        let parsed = Document::parse(document, "{}").unwrap();
        let names: Vec<_> = parsed.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["z", "a"]);
        assert!(parsed.steps[1].precondition.is_some());
    }

    #[test]
    fn a_bad_document_tells_all_that_is_wrong_at_once() {
        let document = r#"{"schemaVersion":"2.2","parameters":{"p":{"type":"Integer","default":"x"}},
            "mainSteps":[{"name":"a"},
            {"action":"b"}]}"#;
        let error = Document::parse(document, "{}").unwrap_err().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(
            lines,
            [
                "document line 1: parameter p must be a whole number, not a string",
                "document line 2: a step has no action",
                "document line 3: a step has no name",
            ]
        );
    }

    #[test]
    fn a_bad_document_says_where_and_why() {
        for (document, wanted) in [
            ("", "is no JSON"),
            ("{}", "there is no schemaVersion"),
            (r#"{"schemaVersion":"0.3"}"#, "schema version 0.3 is not supported"),
            (r#"{"schemaVersion":"1.2"}"#, "needs runtimeConfig"),
            (r#"{"schemaVersion":"1.2","runtimeConfig":{}}"#, "has no steps"),
            (r#"{"schemaVersion":"1.2","runtimeConfig":{"x":{}}}"#, "x has no properties"),
            (r#"{"schemaVersion":"2.2"}"#, "needs a list mainSteps"),
            (
                "{\"schemaVersion\":\"2.2\",\"mainSteps\":[\n{\"name\":\"a\"}]}",
                "line 2: a step has no action",
            ),
            (
                r#"{"schemaVersion":"2.0","mainSteps":[{"action":"x","name":"a","precondition":{}}]}"#,
                "need schemaVersion 2.2",
            ),
            (
                r#"{"schemaVersion":"2.0","mainSteps":[{"action":"x","name":"a"},{"action":"x","name":"a"}]}"#,
                "two steps have the name a",
            ),
            (
                r#"{"schemaVersion":"2.0","parameters":{"p":{"type":"String"}},"mainSteps":[]}"#,
                "parameter p has no default and must be given",
            ),
        ] {
            let error = Document::parse(document, "{}").unwrap_err().to_string();
            assert!(error.contains(wanted), "{document}: {error}");
        }
    }
}
