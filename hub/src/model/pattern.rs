//! The model's patterns, which are Java's, as the `regex` crate runs them.
//!
//! Java's `matches` means the whole text, and its `\w` and `\d` mean ASCII; the crate's mean
//! neither. Two patterns look ahead or back, which no linear-time engine does: they are replaced
//! by patterns that accept the same texts, or by one that is wider where only answers use it.

use regex::Regex;
use serde::Deserialize;
use std::sync::OnceLock;

/// A pattern as the model spells it.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

/// "Not only white space": `.` is anything but a line break, so one character that is no white
/// space, somewhere, says the same.
const NOT_BLANK: (&str, &str) = (r"^(?!\s*$).+", r".*\S.*");

/// The start of the ISO 8601 pattern, which refers back to its own separators; the rest of the
/// text is too long to repeat. Only GetCommandInvocation's answer uses it. Durations start with
/// P, and a time that is not there is an empty text.
const ISO_8601: (&str, &str) = (
    r"^([\-]?\d{4}(?!\d{2}\b))",
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z)|(PT([0-9]+H)?([0-9]+M)?([0-9.]+S)?)|",
);

impl Pattern {
    /// The model's spelling, as messages show it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `value` matches. A pattern that can't be compiled accepts everything;
    /// a test makes sure that there is none.
    pub fn accepts(&self, value: &str) -> bool {
        self.regex().is_none_or(|regex| regex.is_match(value))
    }

    /// Whether the crate understands the pattern.
    #[cfg(test)]
    pub fn compiles(&self) -> bool {
        self.regex().is_some()
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.text)).as_ref()
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Pattern {
        Pattern { text, compiled: OnceLock::new() }
    }
}

/// Compiles a pattern with Java's meaning of "matches". `None` when the crate can't.
pub fn compile(text: &str) -> Option<Regex> {
    let equivalent = match text {
        _ if text == NOT_BLANK.0 => NOT_BLANK.1.to_owned(),
        _ if text.starts_with(ISO_8601.0) => ISO_8601.1.to_owned(),
        _ => ascii_classes(text),
    };
    Regex::new(&format!(r"\A(?:{equivalent})\z")).ok()
}

/// Spells out `\w` and `\d`, inside brackets or not, as ASCII.
fn ascii_classes(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut in_brackets = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match (characters.next(), in_brackets) {
                (Some('w'), true) => out.push_str("a-zA-Z0-9_"),
                (Some('w'), false) => out.push_str("[a-zA-Z0-9_]"),
                (Some('d'), true) => out.push_str("0-9"),
                (Some('d'), false) => out.push_str("[0-9]"),
                (Some(other), _) => out.extend(['\\', other]),
                (None, _) => out.push('\\'),
            },
            '[' if !in_brackets => {
                in_brackets = true;
                out.push(c);
            }
            ']' if in_brackets => {
                in_brackets = false;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_whole_text_has_to_match() {
        for (pattern, value, expected) in [
            ("(^i-(\\w{8}|\\w{17})$)|(^mi-\\w{17}$)", "mi-0123456789abcdef0", true),
            ("(^i-(\\w{8}|\\w{17})$)|(^mi-\\w{17}$)", "mi-0123456789abcdef0\n", false),
            ("(^i-(\\w{8}|\\w{17})$)|(^mi-\\w{17}$)", "mi-éééééééééééééééé0", false),
            ("([$]LATEST|[$]DEFAULT|^[1-9][0-9]*$)", "x$LATEST", false),
            ("([$]LATEST|[$]DEFAULT|^[1-9][0-9]*$)", "12", true),
            ("^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$", "Größe 1/ü", true),
            ("^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$", "a&b", false),
            (NOT_BLANK.0, " \t", false),
            (NOT_BLANK.0, " x ", true),
            ("[\\w.]+", "a.b_9", true),
        ] {
            assert_eq!(Pattern::from(pattern.to_owned()).accepts(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_the_translation_panic(text: String) {
            let _ = compile(&text);
        }
    }
}
