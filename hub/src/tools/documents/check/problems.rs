//! The problems of a document.

use serde_json::Value;
use std::fmt::Display;

/// What is wrong with a document, in the order in which it was found.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds one: the place, and what is wrong with what stands there.
    pub fn add(&mut self, place: impl Display, what: impl Display) {
        self.0.push(format!("{place} {what}"));
    }

    /// All in one sentence, `None` if there are none. Only `most` are written out.
    pub fn sentence(&self, most: usize) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let listed = self.0.iter().take(most).cloned().collect::<Vec<_>>().join("; ");
        let more = match self.0.len().saturating_sub(most) {
            0 => String::new(),
            1 => "; and 1 more problem".to_owned(),
            more => format!("; and {more} more problems"),
        };
        Some(format!("The document is not valid: {listed}{more}."))
    }

    /// The text that has to be at `place`.
    pub fn text<'v>(&mut self, place: &str, value: Option<&'v Value>) -> Option<&'v str> {
        match value {
            None => self.add(place, "is missing"),
            Some(Value::String(text)) if text.is_empty() => self.add(place, "is empty"),
            Some(Value::String(text)) => return Some(text),
            Some(_) => self.add(place, "has to be a text"),
        }
        None
    }

    /// The steps that have to be in `mainSteps`; none where there is a problem with them as a whole.
    pub fn main_steps<'v>(&mut self, document: &'v Value) -> &'v [Value] {
        match document.get("mainSteps") {
            None => self.add("mainSteps", "is missing"),
            Some(Value::Array(steps)) if steps.is_empty() => self.add("mainSteps", "is empty"),
            Some(Value::Array(steps)) => return steps,
            Some(_) => self.add("mainSteps", "has to be a list"),
        }
        &[]
    }

    /// That what is at `place`, if anything, is one of `words` or a placeholder.
    pub fn word(&mut self, place: &str, value: Option<&Value>, words: &[&str]) {
        match value {
            None => {}
            Some(Value::String(word)) if words.contains(&word.as_str()) || is_filled_in(word) => {}
            Some(other) => self
                .add(place, format!("has to be one of {}, not {}", words.join(", "), shown(other))),
        }
    }
}

/// Whether a text is or holds a placeholder: it gets its value when the document runs.
pub fn is_filled_in(text: &str) -> bool {
    text.contains("{{")
}

/// A value as a message repeats it, cut when long.
pub fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("'{text}'"),
        other => other.to_string(),
    };
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", stint_wire::text::head(&text, end)),
        None => text,
    }
}
