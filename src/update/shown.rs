//! What `stint status` says of updates.

use super::{State, boot};
use std::path::Path;
use stint_wire::json::{self, ObjectWriter};

/// What there is to say.
pub struct Shown {
    state: State,
    runs: String,
}

impl Shown {
    /// Reads it.
    pub fn look(state: &Path) -> Shown {
        let known = State::load(state);
        let runs = boot::version(&known, state);
        Shown { state: known, runs }
    }

    /// As JSON: the version that is kept, the one on trial, and how the last update ended.
    pub fn json(&self) -> String {
        let trial = self.state.trial.as_ref();
        let last = self.state.last.as_ref();
        let failure = last.map(|last| last.failure.as_str()).filter(|why| !why.is_empty());
        let bad: Vec<String> = self.state.bad.iter().map(|bad| json::quote(bad)).collect();
        ObjectWriter::new()
            .string("version", &self.runs)
            .optional("trial", trial.map(|trial| trial.slot.version.as_str()))
            .optional("last", last.map(|last| last.version.as_str()).filter(|it| !it.is_empty()))
            .optional("failure", failure)
            .raw("bad", &format!("[{}]", bad.join(",")))
            .finish()
    }

    /// As lines for people; none if there is nothing but the factory's version.
    pub fn text(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(trial) = &self.state.trial {
            let (version, tries) = (&trial.slot.version, trial.tries);
            lines.push(format!("update       {version} on trial, started {tries} times"));
        }
        match &self.state.last {
            Some(last) if last.failure.is_empty() => {
                lines.push(format!("update       {} in the place of {}", last.version, last.from));
            }
            Some(last) if last.version.is_empty() => {
                lines.push(format!("update       {}", last.failure));
            }
            Some(last) => {
                lines.push(format!("update       {} taken back: {}", last.version, last.failure));
            }
            None => {}
        }
        lines
    }
}
