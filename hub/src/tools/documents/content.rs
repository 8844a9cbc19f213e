//! What the hub has to know of a document's content: its steps, parameters and time-outs. The
//! rest is the node's business.

use super::parameters::{self, Declared};
use serde_json::Value;
use std::collections::BTreeMap;

/// How long a step may take when its document does not say, or names a time out of range, in seconds
/// (facts: the agents' default).
const DEFAULT_STEP_SECONDS: u64 = 3600;

/// From 5 seconds to 48 hours (facts: what agents take).
const STEP_SECONDS: std::ops::RangeInclusive<u64> = 5..=172_800;

/// The values that a command was sent with.
pub type Values = BTreeMap<String, Vec<String>>;

/// A step of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name under which the node reports it: the step's own, or the plugin's in schema 1.x.
    pub name: String,
    /// The plugin that runs it.
    pub plugin: String,
    /// The time-outs of its parts as the document writes them, parameters not filled in. In schema
    /// 1.x there may be several, which run one after the other.
    timeouts: Vec<Option<Value>>,
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
            timeouts: vec![step.get("inputs").and_then(timeout)],
        });
        let plugins = self.0.get("runtimeConfig").and_then(Value::as_object);
        let plugins = plugins.into_iter().flatten().map(|(plugin, config)| Step {
            name: plugin.clone(),
            plugin: plugin.clone(),
            timeouts: match config.get("properties") {
                Some(Value::Array(parts)) => parts.iter().map(timeout).collect(),
                properties => vec![properties.and_then(timeout)],
            },
        });
        main.chain(plugins).collect()
    }

    /// The longest that the document may take on a node, in seconds: the time-outs of all steps. What
    /// other documents take that it runs isn't known; without a time-out of its own such a step counts
    /// as any other.
    pub fn execution_seconds(&self, values: &Values) -> u64 {
        let seconds = |written: &Option<Value>| -> u64 {
            let text = match written {
                Some(Value::String(text)) => self.fill_in(text, values),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            // As agents read it: fractions are cut off.
            let whole = text.trim().split('.').next().and_then(|whole| whole.parse().ok());
            whole.filter(|seconds| STEP_SECONDS.contains(seconds)).unwrap_or(DEFAULT_STEP_SECONDS)
        };
        let steps = self.steps();
        steps.iter().flat_map(|step| &step.timeouts).map(seconds).fold(0, u64::saturating_add)
    }

    /// `{{ name }}` as its value or default; other text as it is.
    fn fill_in(&self, text: &str, values: &Values) -> String {
        let name = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let Some(name) = name.map(str::trim) else { return text.to_owned() };
        let given = values.get(name).and_then(|v| v.first()).cloned();
        let declared = self.0.get("parameters").and_then(Value::as_object);
        let default = || match declared?.get(name)?.get("default")? {
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        given.or_else(default).unwrap_or_default()
    }
}

/// `timeoutSeconds` in any case of letters, as agents find it.
fn timeout(inputs: &Value) -> Option<Value> {
    let mut members = inputs.as_object()?.iter();
    let found = members.find(|(name, _)| name.eq_ignore_ascii_case("timeoutSeconds"));
    found.map(|(_, value)| value.clone())
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

    #[test]
    fn time_outs_are_read_as_agents_read_them() {
        let of = |inputs: serde_json::Value, default: serde_json::Value| {
            let step =
                serde_json::json!({"action": "aws:runDocument", "name": "a", "inputs": inputs});
            let parameters = serde_json::json!({"t": {"type": "Integer", "default": default}});
            let document = serde_json::json!({"parameters": parameters, "mainSteps": [step]});
            Content::from(document).execution_seconds(&Values::new())
        };
        for (written, default, seconds) in [
            (serde_json::json!("{{ t }}"), serde_json::json!(7200), 7200),
            (serde_json::json!("{{ t }}"), serde_json::json!("90.5"), 90),
            (serde_json::json!(60.9), serde_json::json!(1), 60),
            (serde_json::json!(4), serde_json::json!(1), 3600),
            (serde_json::json!("172801"), serde_json::json!(1), 3600),
            (serde_json::json!([]), serde_json::json!(1), 3600),
        ] {
            let inputs = serde_json::json!({"TimeoutSeconds": written});
            assert_eq!(of(inputs.clone(), default.clone()), seconds, "{inputs} {default}");
        }
        let parts = r#"{"runtimeConfig": {"aws:runShellScript": {"properties":
            [{"timeoutSeconds": 10}, {"timeoutSeconds": "20"}, {}]},
            "aws:psModule": {"properties": {"timeoutSeconds": 40}}}}"#;
        assert_eq!(Content::of(parts).execution_seconds(&Values::new()), 10 + 20 + 3600 + 40);
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
