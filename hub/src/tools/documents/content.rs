//! What the hub has to know of a document's content: its steps, parameters and time-outs. The
//! rest is the node's business.

use super::parameters::{self, Declared};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How long a step may take when its document does not say, in seconds (facts: the agents'
/// default).
const DEFAULT_STEP_SECONDS: u64 = 3600;

/// The values that a command was sent with.
pub type Values = BTreeMap<String, Vec<String>>;

/// A step of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name under which the node reports it: the step's own, or the plugin's in schema 1.x.
    pub name: String,
    /// The plugin that runs it.
    pub plugin: String,
    /// Its time-out as the document writes it, parameters not filled in.
    timeout: Option<Value>,
}

/// A document's content.
#[derive(Clone)]
pub struct Content(Value);

impl From<Value> for Content {
    fn from(value: Value) -> Content {
        Content(value)
    }
}

impl Content {
    /// Parses JSON text; what is no JSON has no steps.
    pub fn of(text: &str) -> Content {
        Content(serde_json::from_str(text).unwrap_or_default())
    }

    /// The whole content.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// `1.2`, `2.2` and so on.
    pub fn schema_version(&self) -> Option<&str> {
        self.0.get("schemaVersion")?.as_str()
    }

    /// The first line that people read.
    pub fn description(&self) -> Option<&str> {
        self.0.get("description")?.as_str()
    }

    /// The declared parameters in the document's order.
    pub fn parameters(&self) -> impl Iterator<Item = (&String, Declared)> {
        let declared = self.0.get("parameters").and_then(Value::as_object);
        declared.into_iter().flatten().map(|(name, value)| (name, Declared::of(value)))
    }

    /// Whether the document can run with these values.
    ///
    /// # Errors
    /// What is wrong with which parameter, as a sentence.
    pub fn check(&self, values: &Values) -> Result<(), String> {
        parameters::check(&self.parameters().collect(), values)
    }

    /// The steps in order.
    pub fn steps(&self) -> Vec<Step> {
        let text = |step: &Value, key: &str| -> String {
            step.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let main = self.0.get("mainSteps").and_then(Value::as_array).into_iter().flatten();
        let main = main.map(|step| Step {
            name: text(step, "name"),
            plugin: text(step, "action"),
            timeout: step.pointer("/inputs/timeoutSeconds").cloned(),
        });
        let plugins = self.0.get("runtimeConfig").and_then(Value::as_object);
        let plugins = plugins.into_iter().flatten().map(|(plugin, config)| Step {
            name: plugin.clone(),
            plugin: plugin.clone(),
            timeout: config
                .pointer("/properties/0/timeoutSeconds")
                .or_else(|| config.pointer("/properties/timeoutSeconds"))
                .cloned(),
        });
        main.chain(plugins).collect()
    }

    /// The longest that the document may take on a node, in seconds: the time-outs of all steps.
    pub fn execution_seconds(&self, values: &Values) -> u64 {
        let seconds = |step: &Step| -> u64 {
            let written = match &step.timeout {
                Some(Value::String(text)) => self.fill_in(text, values),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            written.trim().parse().unwrap_or(DEFAULT_STEP_SECONDS)
        };
        self.steps().iter().map(seconds).fold(0, u64::saturating_add)
    }

    /// `{{ name }}` as its value or default; other text as it is.
    fn fill_in(&self, text: &str, values: &Values) -> String {
        let name = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let Some(name) = name.map(str::trim) else { return text.to_owned() };
        let given = values.get(name).and_then(|v| v.first()).cloned();
        let empty = Map::new();
        let declared = self.0.get("parameters").and_then(Value::as_object).unwrap_or(&empty);
        let default = || Some(declared.get(name)?.get("default")?.as_str()?.to_owned());
        given.or_else(default).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SCHEMA_2: &str = r#"{"schemaVersion": "2.2", "parameters": {"t": {"type": "String", "default": "60"}},
        "mainSteps": [{"action": "aws:runShellScript", "name": "one", "inputs": {"timeoutSeconds": "{{ t }}"}},
                      {"action": "aws:runShellScript", "name": "two", "inputs": {"timeoutSeconds": 30}},
                      {"action": "aws:softwareInventory", "name": "three"}]}"#;

    #[test]
    fn steps_of_both_schemas_are_named_as_nodes_report_them() {
        let names = |text: &str| -> Vec<String> {
            Content::of(text).steps().into_iter().map(|step| step.name).collect()
        };
        assert_eq!(names(SCHEMA_2), ["one", "two", "three"]);
        let schema_1 = r#"{"runtimeConfig": {"aws:runShellScript": {"properties": [{}]}}}"#;
        assert_eq!(names(schema_1), ["aws:runShellScript"]);
        assert!(names("not json").is_empty());
    }

    #[test]
    fn the_execution_time_is_that_of_all_steps() {
        let content = Content::of(SCHEMA_2);
        assert_eq!(content.execution_seconds(&Values::new()), 60 + 30 + 3600);
        let values = Values::from([("t".to_owned(), vec!["5".to_owned()])]);
        assert_eq!(content.execution_seconds(&values), 5 + 30 + 3600);
        let shell = &super::super::built_in::find("AWS-RunShellScript").unwrap().content;
        let values = Values::from([("executionTimeout".to_owned(), vec!["7".to_owned()])]);
        assert_eq!(shell.execution_seconds(&values), 7);
    }

    proptest! {
        #[test]
        fn no_content_makes_the_reader_panic(text: String, inner: String) {
            let content = Content::of(&text);
            let _ = (content.steps(), content.execution_seconds(&Values::new()));
            let _ = content.fill_in(&format!("{{{{{inner}}}}}"), &Values::new());
        }
    }
}
