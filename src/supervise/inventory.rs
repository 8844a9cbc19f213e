//! The children as inventory of a node that polls for commands.
//!
//! Only what stays the same while nothing happens: how long a child has run, and what it uses, would make each look
//! another content.

use super::Supervisor;
use crate::sys::{FileError, durable};
use std::fs;
use std::path::PathBuf;
use stint_wire::bootagent::Enforcement;
use stint_wire::json::ObjectWriter;

/// The type, which the hub also makes of the reports of BootAgent nodes.
pub const TYPE: &str = "Custom:StintChildAgent";

/// More than anybody has; each is some 200 bytes of the 512 KB that a type may have.
const MOST: usize = 256;

/// In the supervisor's folder: the mark of the content that the server has.
const KEPT: &str = "inventory";

impl Supervisor {
    /// The content: a JSON array with an object for each child, by name. What isn't known is not there.
    pub fn inventory(&self) -> String {
        let mut entries: Vec<(String, String)> = Vec::new();
        for unit in self.units.borrow().iter() {
            let record = &unit.record;
            let version = match record.version.is_empty() {
                true => &unit.definition.version,
                false => &record.version,
            };
            let applied = unit.group.applied();
            let word = |applied: Option<Enforcement>| applied.map_or("", Enforcement::as_str);
            let mut entry = ObjectWriter::new();
            for (name, value) in [
                ("Name", unit.name()),
                ("Version", version),
                ("Status", record.status.as_str()),
                ("Reason", &record.reason),
                ("CpuEnforced", word(applied.cpu)),
                ("MemoryEnforced", word(applied.memory)),
            ] {
                if !value.is_empty() {
                    entry = entry.string(name, value);
                }
            }
            entries.push((unit.name().to_owned(), entry.finish()));
        }
        entries.sort_unstable();
        let entries: Vec<String> = entries.into_iter().take(MOST).map(|(_, entry)| entry).collect();
        format!("[{}]", entries.join(","))
    }

    /// The mark of the content that the server has, as far as this node knows; empty: it has none.
    pub fn told_inventory(&self) -> String {
        fs::read_to_string(self.kept_inventory()).unwrap_or_default()
    }

    /// The server has the content with this mark.
    ///
    /// # Errors
    /// It can't be written down. After the agent's next start the server is told once more.
    pub fn inventory_told(&self, mark: &str) -> Result<(), FileError> {
        durable::write(&self.kept_inventory(), mark.as_bytes())
    }

    fn kept_inventory(&self) -> PathBuf {
        self.state.join(super::OWN).join(KEPT)
    }
}
