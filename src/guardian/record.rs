//! What a guardian remembers of restarts: how many there were, and why the last ones. It outlives
//! guardian and device, and is shown by `stint status`.

use crate::sys::{FileError, durable};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::json::{self, Node, ObjectWriter};
use stint_wire::time::Utc;

/// The file below the state folder.
const FILE: &str = "guardian.json";

/// So many are kept with their reasons; about a kilobyte.
const KEPT: usize = 8;

/// One restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restart {
    /// When the daemon ended, ISO 8601, by the device's clock.
    pub time: String,
    /// Why, in words.
    pub reason: String,
    /// How long it had lived, seconds.
    pub lived: u64,
}

/// The restarts of a state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How many there were since the state folder was made.
    pub count: u64,
    /// The last of them, oldest first.
    pub last: Vec<Restart>,
    /// The boot in which the watchdog isn't fed any more, by its id; empty: it is, or there is none.
    pub unfed: String,
    /// The boot that came after such a one.
    pub reset: String,
}

impl Record {
    /// What is known about a state folder. A file that can't be read is an empty one: it is of less
    /// worth than a daemon that runs.
    pub fn look(state: &Path) -> Record {
        let text = fs::read_to_string(path(state)).unwrap_or_default();
        let Ok(node) = json::parse(&text) else { return Record::default() };
        let last = node.get("last").and_then(Node::elements).unwrap_or_default();
        Record {
            count: node.get("count").and_then(Node::as_u64).unwrap_or_default(),
            last: last.iter().map(Restart::read).collect(),
            unfed: word(&node, "unfed"),
            reset: word(&node, "reset"),
        }
    }

    /// Whether this boot is the first after one in which the watchdog was left without food: it is what
    /// reset the board, also where its driver doesn't remember. To be asked once, by the guardian.
    pub fn was_reset(&mut self, boot: &str) -> bool {
        if self.unfed.is_empty() || self.unfed == boot {
            return false;
        }
        self.unfed.clear();
        boot.clone_into(&mut self.reset);
        true
    }

    /// Adds a restart.
    pub fn add(&mut self, now: Utc, reason: &str, lived: Duration) {
        self.count = self.count.saturating_add(1);
        self.last.push(Restart {
            time: now.iso(),
            reason: reason.to_owned(),
            lived: lived.as_secs(),
        });
        let surplus = self.last.len().saturating_sub(KEPT);
        self.last.drain(..surplus);
    }

    /// Writes it down, to outlive a power cut.
    ///
    /// # Errors
    /// It can't be written.
    pub fn save(&self, state: &Path) -> Result<(), FileError> {
        durable::write(&path(state), self.json(true).as_bytes())
    }

    /// The last of them as content of an inventory: a JSON array with an object of texts for each.
    #[cfg(feature = "ssm")]
    pub fn inventory(&self) -> String {
        let first = self.count.saturating_sub(self.last.len() as u64);
        let entries = self.last.iter().zip(first + 1..).map(|(restart, number)| {
            ObjectWriter::new()
                .string("Number", &number.to_string())
                .string("Time", &restart.time)
                .string("Reason", &restart.reason)
                .string("LivedSeconds", &restart.lived.to_string())
                .finish()
        });
        format!("[{}]", entries.collect::<Vec<_>>().join(","))
    }

    /// As `stint status` shows it, and as it is in the file, where it doesn't matter whether there
    /// is a guardian.
    pub fn json(&self, running: bool) -> String {
        let last: Vec<String> = self.last.iter().map(Restart::json).collect();
        let mut object = ObjectWriter::new()
            .raw("running", if running { "true" } else { "false" })
            .raw("count", &self.count.to_string())
            .raw("last", &format!("[{}]", last.join(",")));
        for (name, boot) in [("unfed", &self.unfed), ("reset", &self.reset)] {
            if !boot.is_empty() {
                object = object.string(name, boot);
            }
        }
        object.finish()
    }
}

impl Restart {
    fn json(&self) -> String {
        ObjectWriter::new()
            .string("time", &self.time)
            .string("reason", &self.reason)
            .raw("livedSeconds", &self.lived.to_string())
            .finish()
    }

    fn read(node: &Node) -> Restart {
        let lived = node.get("livedSeconds").and_then(Node::as_u64).unwrap_or_default();
        Restart { time: word(node, "time"), reason: word(node, "reason"), lived }
    }
}

fn word(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

fn path(state: &Path) -> PathBuf {
    state.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn restarts_are_counted_for_ever_and_the_last_are_kept_with_their_reasons() {
        let folder = Folder::new();
        assert_eq!(Record::look(folder.path()), Record::default());
        let mut record = Record::default();
        for number in 0..20 {
            record.add(Utc::from_secs(number), &format!("reason {number}"), Duration::from_secs(7));
        }
        record.save(folder.path()).unwrap();
        let seen = Record::look(folder.path());
        assert_eq!((seen.count, seen.last.len()), (20, KEPT));
        assert_eq!(seen.last[7].reason, "reason 19");
        assert_eq!(seen.last[7].lived, 7);
        assert!(seen.last[7].time.starts_with("1970-01-01T00:00:19"));
        assert!(fs::metadata(path(folder.path())).unwrap().len() < 4096);
        #[cfg(feature = "ssm")]
        {
            let told = seen.inventory();
            let last = r#","Reason":"reason 19","LivedSeconds":"7"}]"#;
            assert!(told.starts_with(r#"[{"Number":"13","Time":"1970-01-01T00:00:12"#), "{told}");
            assert!(told.contains(r#"{"Number":"20","#) && told.ends_with(last), "{told}");
            assert_eq!(Record::default().inventory(), "[]");
        }
        fs::write(path(folder.path()), "{").unwrap();
        assert_eq!(Record::look(folder.path()), Record::default());
    }

    #[test]
    fn the_boot_after_one_without_food_for_the_watchdog_is_known_and_the_one_after_that_is_another()
    {
        let folder = Folder::new();
        let mut record = Record { unfed: "one".to_owned(), ..Record::default() };
        record.save(folder.path()).unwrap();
        // The guardian alone was started again.
        assert!(!record.was_reset("one"));
        let mut record = Record::look(folder.path());
        assert!(record.was_reset("two") && !record.was_reset("two"));
        record.save(folder.path()).unwrap();
        let mut record = Record::look(folder.path());
        assert_eq!((record.unfed.as_str(), record.reset.as_str()), ("", "two"));
        assert!(!record.was_reset("three"));
    }
}
