//! The formats in which documents are written and shown.

use super::texts;
use super::yaml;
use serde_json::Value;

/// The model's DocumentFormat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON, the default.
    Json,
    /// YAML.
    Yaml,
    /// Neither: calendars.
    Text,
}

impl Format {
    /// From the model's word; JSON when there is none.
    pub fn of(word: Option<&str>) -> Format {
        match word {
            Some("YAML") => Format::Yaml,
            Some("TEXT") => Format::Text,
            _ => Format::Json,
        }
    }

    /// The model's word.
    pub fn word(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Yaml => "YAML",
            Format::Text => "TEXT",
        }
    }

    /// The value of a text in this format; null for text.
    ///
    /// # Errors
    /// What is no JSON or YAML, with line and column, as a sentence.
    pub fn read(self, text: &str) -> Result<Value, String> {
        match self {
            Format::Json => serde_json::from_str(text).map_err(|e| {
                // serde_json's words end with the place.
                format!("The content is no JSON: {e}. If it is YAML, say DocumentFormat YAML.")
            }),
            Format::Yaml => {
                let read = yaml::read(text).map_err(|fault| {
                    format!(
                        "The content is no YAML that a document can be: {} at line {} column {}.",
                        fault.what, fault.line, fault.column
                    )
                })?;
                Ok(texts::kept(read))
            }
            Format::Text => Ok(Value::Null),
        }
    }
}
