//! A line of a node's audit log, and the chain that its lines make: each holds the digest of the
//! one before, so that a line which is changed, taken out or put in later shows.

use crate::json::{self, Node, ObjectWriter, quote};
use crate::text::{head, sha256_hex};
use crate::time::Utc;

/// The prefix of `X-Amz-Target` of what only stint-hub answers.
pub const TARGET_PREFIX: &str = "StintHub";

/// The operation by which a node hands records to the hub.
pub const PUT_AUDIT_RECORDS: &str = "PutAuditRecords";

/// A line is at most this long, bytes.
pub const MAX_LINE: usize = 4096;

/// So many lines go into one call.
pub const MAX_LINES: usize = 100;

/// Of each text in a record so much is kept, bytes.
const MAX_TEXT: usize = 240;

/// What the first line of a chain has in the place of the digest.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a record says.
pub struct Event<'a> {
    /// When, by the node's clock.
    pub time: Utc,
    /// What happened: `command.accepted`.
    pub event: &'a str,
    /// On whose wish.
    pub who: &'a str,
    /// What it was about, by name.
    pub what: &'a [(&'a str, &'a str)],
    /// Records before this one that couldn't be written.
    pub lost: u32,
}

/// A record that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the chain, counted from 1.
    pub number: u64,
    /// When, ISO 8601.
    pub time: String,
    /// What happened.
    pub event: String,
    /// On whose wish.
    pub who: String,
    /// What it was about: `name=value name=value`.
    pub what: String,
    /// Records before it that couldn't be written.
    pub lost: u64,
    /// The digest of the line before.
    pub before: String,
}

/// What is wrong at one place of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line can't be read: a power cut has met it, or somebody.
    Unreadable,
    /// It doesn't follow the line before: one of the two was changed, or lines between them are
    /// gone.
    Broken,
    /// It follows the line before, and its number doesn't.
    Misnumbered,
}

impl Fault {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Fault::Unreadable => "can't be read: a power cut has met it, or it was changed",
            Fault::Broken => "doesn't follow the line before: lines were changed or are gone",
            Fault::Misnumbered => "has a number that doesn't follow",
        }
    }
}

/// The line of record `number`, without a line break. `before` is the line before, if there is one.
pub fn line(number: u64, before: Option<&str>, event: &Event<'_>) -> String {
    let digest = before.map_or_else(|| BEGINNING.to_owned(), |line| sha256_hex(line.as_bytes()));
    let mut what = ObjectWriter::new();
    for (name, value) in event.what {
        what = what.string(name, &plain(value));
    }
    let writer = ObjectWriter::new()
        .raw("n", &number.to_string())
        .string("time", &event.time.iso())
        .string("event", event.event)
        .string("who", &plain(event.who))
        .raw("what", &what.finish());
    let writer = match event.lost {
        0 => writer,
        lost => writer.raw("lost", &lost.to_string()),
    };
    writer.string("before", &digest).finish()
}

/// One line of text, cut to what a record holds: nothing in it grows when it is quoted but `"` and
/// `\`.
fn plain(text: &str) -> String {
    let blank = |letter: char| if letter.is_control() { ' ' } else { letter };
    head(text, MAX_TEXT).chars().map(blank).collect()
}

/// Reads a line.
pub fn read(line: &str) -> Option<Record> {
    let node = json::parse(line).ok()?;
    let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
    let what: Vec<String> = node
        .get("what")?
        .members()
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().unwrap_or_default();
            if value.contains([' ', '"']) || value.is_empty() {
                format!("{name}={}", quote(value))
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    Some(Record {
        number: node.get("n")?.as_u64()?,
        time: text("time")?,
        event: text("event")?,
        who: text("who")?,
        what: what.join(" "),
        lost: node.get("lost").and_then(Node::as_u64).unwrap_or_default(),
        before: text("before")?,
    })
}

/// Follows a chain line by line.
#[derive(Default)]
pub struct Chain {
    last: Option<String>,
    number: Option<u64>,
}

impl Chain {
    /// Takes the next line in; what is wrong with it. What was before the first line of all nobody
    /// knows, unless it says that it is the first.
    pub fn follow(&mut self, line: &str) -> Result<Record, Fault> {
        let before = self.last.replace(sha256_hex(line.as_bytes()));
        let number = self.number;
        let Some(record) = read(line) else { return Err(Fault::Unreadable) };
        self.number = Some(record.number);
        match (before, number) {
            (Some(before), _) if before != record.before => Err(Fault::Broken),
            (None, _) if (record.number == 1) != (record.before == BEGINNING) => Err(Fault::Broken),
            // Unreadable lines have no number.
            (Some(_), Some(number)) if record.number != number + 1 => Err(Fault::Misnumbered),
            _ => Ok(record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event<'a>(what: &'a [(&'a str, &'a str)]) -> Event<'a> {
        Event { time: Utc(0), event: "command.accepted", who: "server hub", what, lost: 0 }
    }

    fn three() -> Vec<String> {
        let first = line(1, None, &event(&[("id", "a")]));
        let second = line(2, Some(&first), &event(&[("id", "b c")]));
        let third = line(3, Some(&second), &Event { lost: 2, ..event(&[]) });
        vec![first, second, third]
    }

    fn faults(lines: &[String]) -> Vec<Option<Fault>> {
        let mut chain = Chain::default();
        lines.iter().map(|line| chain.follow(line).err()).collect()
    }

    #[test]
    fn a_line_says_what_happened() {
        let lines = three();
        let second = read(&lines[1]).unwrap();
        assert_eq!((second.number, second.what.as_str()), (2, "id=\"b c\""));
        assert_eq!(
            (second.event.as_str(), second.who.as_str()),
            ("command.accepted", "server hub")
        );
        assert_eq!(second.before, sha256_hex(lines[0].as_bytes()));
        assert_eq!(read(&lines[2]).unwrap().lost, 2);
        assert_eq!(faults(&lines), [None, None, None]);
        assert_eq!(faults(&lines[1..]), [None, None]);
    }

    #[test]
    fn what_is_changed_taken_out_put_in_or_begun_anew_shows() {
        let lines = three();
        let changed = vec![lines[0].replace("\"a\"", "\"x\""), lines[1].clone(), lines[2].clone()];
        assert_eq!(faults(&changed), [None, Some(Fault::Broken), None]);
        let without = vec![lines[0].clone(), lines[2].clone()];
        assert_eq!(faults(&without), [None, Some(Fault::Broken)]);
        let forged = line(2, Some(&lines[0]), &event(&[("id", "z")]));
        let more = vec![lines[0].clone(), forged, lines[1].clone(), lines[2].clone()];
        assert_eq!(faults(&more), [None, None, Some(Fault::Broken), None]);
        let anew = vec![lines[2].clone(), lines[0].clone()];
        assert_eq!(faults(&anew), [None, Some(Fault::Broken)]);
        let torn = "{\"n\":2".to_owned();
        let after = line(2, Some(&torn), &event(&[]));
        assert_eq!(faults(&[lines[0].clone(), torn, after]), [None, Some(Fault::Unreadable), None]);
        let skipped = line(7, Some(&lines[0]), &event(&[]));
        assert_eq!(faults(&[lines[0].clone(), skipped]), [None, Some(Fault::Misnumbered)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_line_too_long_or_more_than_one(
            who: String, value in ".{0,600}", other in "[\"\\\\\u{1}é]{0,600}",
        ) {
            let what = [("a", value.as_str()), ("b", other.as_str()), ("c", &value), ("d", &other)];
            let line = line(u64::MAX, Some(&value), &Event { who: &who, ..event(&what) });
            prop_assert!(line.len() <= MAX_LINE && !line.contains('\n'));
            prop_assert!(read(&line).is_some());
        }
    }
}
