//! One line of the report: `stint: EVENT key=value key="value with spaces"`, printable ASCII,
//! never wider than a terminal's 120 columns.

use std::fmt;

/// The widest line, its end not counted.
pub const COLUMNS: usize = 120;

/// A line being made.
#[derive(Debug)]
pub struct Line(String);

impl Line {
    /// A line about that event.
    pub fn new(event: &str) -> Line {
        Line(format!("stint: {event}"))
    }

    /// Adds a pair. A value that doesn't fit is cut, one for which no room is left is left out.
    pub fn word(mut self, key: &str, value: &str) -> Line {
        let clean: String = value.chars().map(printable).collect();
        let quoted = clean.is_empty() || clean.contains([' ', '=']);
        let quotes = if quoted { 2 } else { 0 };
        let Some(room) = COLUMNS.checked_sub(self.0.len() + 1 + key.len() + 1 + quotes) else {
            return self;
        };
        // All of it is ASCII by now, so every place is between two characters.
        let value = clean.get(..clean.len().min(room)).unwrap_or_default();
        if value.is_empty() && !clean.is_empty() {
            return self;
        }
        let quote = if quoted { "\"" } else { "" };
        self.0.push_str(&format!(" {key}={quote}{value}{quote}"));
        self
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0)
    }
}

/// Keeps a line one line, and a quoted value parseable.
fn printable(c: char) -> char {
    match c {
        '"' => '\'',
        ' '..='~' => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_with_spaces_is_quoted() {
        let line = Line::new("e").word("a", "b").word("c", "d e").word("f", "");
        assert_eq!(line.to_string(), "stint: e a=b c=\"d e\" f=\"\"\n");
    }

    proptest! {
        #[test]
        fn no_value_makes_a_line_wide_or_two_lines(values: Vec<String>) {
            let line = values.iter().fold(Line::new("event"), |line, value| line.word("key", value));
            let text = line.to_string();
            let text = text.strip_suffix('\n').unwrap();
            prop_assert!(text.len() <= COLUMNS);
            prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(text.matches('"').count() % 2, 0);
        }
    }
}
