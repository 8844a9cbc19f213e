//! The model's data types, and the one instance of them.

use super::pattern::Pattern;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The extracted model.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Model {
    /// Every operation of the service, supported or not, sorted.
    pub names: Vec<String>,
    /// The supported operations.
    pub operations: HashMap<String, Operation>,
    /// Every shape that the supported operations reach.
    pub shapes: HashMap<String, Shape>,
}

/// One operation.
#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    /// The name of the input's structure.
    pub input: String,
    /// The name of the output's structure.
    pub output: String,
    /// The codes that the model lists for it; common errors are not among them.
    #[cfg(test)]
    pub errors: Vec<String>,
}

/// What a value may be.
#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    /// The type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Structure: the members that must be there.
    #[serde(default)]
    pub required: Vec<String>,
    /// Structure: member name to shape name, in the model's order.
    #[serde(default)]
    pub members: serde_json::Map<String, serde_json::Value>,
    /// List: the shape of its members.
    pub member: Option<String>,
    /// Map: the shape of its keys.
    pub key: Option<String>,
    /// Map: the shape of its values.
    pub value: Option<String>,
    /// The least value of a number, or the least length of anything else.
    pub min: Option<i64>,
    /// The greatest value of a number, or the greatest length of anything else.
    pub max: Option<i64>,
    /// String: the whole text has to match.
    pub pattern: Option<Pattern>,
    /// String: the words allowed; empty means any.
    #[serde(default, rename = "enum")]
    pub words: Vec<String>,
    /// Never to be repeated in a message.
    #[serde(default)]
    pub sensitive: bool,
}

/// The types of JSON 1.1 that the service uses.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// An object with known members.
    Structure,
    /// An array.
    List,
    /// An object with free keys.
    Map,
    /// Text.
    String,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// True or false.
    Boolean,
    /// Seconds since 1970, with a fraction.
    Timestamp,
    /// Bytes, base64 in text.
    Blob,
}

/// The model in the binary. A test reads it, so the default of a file that can't be parsed never
/// ships.
pub(super) static MODEL: LazyLock<Model> =
    LazyLock::new(|| serde_json::from_str(include_str!("ssm.json")).unwrap_or_default());

impl Shape {
    /// The structure's members in the model's order, as (name, shape).
    pub fn fields<'m>(&'m self, model: &'m Model) -> impl Iterator<Item = (&'m str, &'m Shape)> {
        self.members
            .iter()
            .filter_map(|(name, shape)| Some((name.as_str(), model.shapes.get(shape.as_str()?)?)))
    }
}

/// Whether the service has this operation, whether the hub supports it or not.
pub fn is_operation(name: &str) -> bool {
    MODEL.names.iter().any(|known| known == name)
}

/// The names of all operations of the service, sorted.
pub fn operation_names() -> impl Iterator<Item = &'static str> {
    MODEL.names.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_has_every_operation_and_every_shape_it_refers_to() {
        let model: Model = serde_json::from_str(include_str!("ssm.json")).unwrap();
        assert_eq!(model.names.len(), 154);
        assert!(is_operation("StartSession") && !is_operation("LaunchRocket"));
        for (name, operation) in &model.operations {
            assert!(model.names.contains(name), "{name}");
            for shape in [&operation.input, &operation.output] {
                assert_eq!(model.shapes[shape].kind, Kind::Structure, "{name}");
            }
        }
        for (name, shape) in &model.shapes {
            let named = shape.members.values().map(|v| v.as_str().unwrap());
            let others = [&shape.member, &shape.key, &shape.value];
            for other in named.chain(others.into_iter().flatten().map(String::as_str)) {
                assert!(model.shapes.contains_key(other), "{name} refers to {other}");
            }
            for required in &shape.required {
                assert!(shape.members.contains_key(required), "{name}.{required}");
            }
        }
    }

    #[test]
    fn every_pattern_of_the_model_can_be_checked() {
        for (name, shape) in &MODEL.shapes {
            if let Some(pattern) = &shape.pattern {
                assert!(pattern.compiles(), "{name}: {}", pattern.text());
            }
        }
    }
}
