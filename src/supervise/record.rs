//! What is known of a child over restarts of the agent: its file `record.json`.

use crate::sys::process::Identity;
use crate::sys::{FileError, durable};
use std::fs;
use std::path::Path;
use std::time::Duration;
use stint_wire::bootagent::{ChildStatus, Limits};
use stint_wire::json::{self, Node, ObjectWriter};

/// The file's name in the child's folder.
const NAME: &str = "record.json";

/// What is known of a child. Times are counted from the boot `boot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The boot in which this was written. Processes and times of an earlier one mean nothing.
    pub boot: String,
    /// It is to run, unless it has ended well.
    pub wanted: bool,
    /// Its state.
    pub status: ChildStatus,
    /// Why it isn't running.
    pub reason: String,
    /// Abnormal ends in a row.
    pub streak: u32,
    /// Its next start.
    pub due: Option<Duration>,
    /// Its process. `None` with a mark: it may have been started, and nobody noted the process.
    pub run: Option<Identity>,
    /// The process is the one in the background of a child that puts itself there, and not the one
    /// that was started.
    pub settled: bool,
    /// Is in the environment of its processes (`STINT_START`); empty if there are none.
    pub mark: String,
    /// The version installed; empty: what its definition says.
    pub version: String,
    /// A new version that hasn't run for a whole window yet: if it becomes fatal, the one before
    /// comes back.
    pub trial: bool,
    /// The environment that a job gave it, instead of the definition's.
    pub envs: Option<Vec<(String, String)>>,
    /// The limits that a job gave it, instead of the definition's.
    pub limits: Option<Limits>,
    /// The file that defined it; empty if a job did.
    pub file: String,
}

impl Default for Record {
    fn default() -> Record {
        Record {
            boot: String::new(),
            wanted: false,
            status: ChildStatus::Stopped,
            reason: String::new(),
            streak: 0,
            due: None,
            run: None,
            settled: false,
            mark: String::new(),
            version: String::new(),
            trial: false,
            envs: None,
            limits: None,
            file: String::new(),
        }
    }
}

impl Record {
    /// Reads the record in a child's folder. `None`: there is none, or a damaged one, which is
    /// logged; the child is then as if it had never been seen.
    ///
    /// # Errors
    /// It can't be read now.
    pub fn load(folder: &Path) -> Result<Option<Record>, FileError> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(FileError::new("read", &path)(error)),
        };
        let record = json::parse(&text).ok().map(|node| Record::read(&node));
        if record.is_none() {
            log::error!("{} is damaged; the child is taken as new", path.display());
        }
        Ok(record)
    }

    /// Writes it; durable when it returns.
    ///
    /// # Errors
    /// The step that failed.
    pub fn save(&self, folder: &Path) -> Result<(), FileError> {
        durable::write(&folder.join(NAME), self.write().as_bytes())
    }

    /// The record as a JSON object.
    pub fn write(&self) -> String {
        let mut out = ObjectWriter::new()
            .string("boot", &self.boot)
            .raw("wanted", &self.wanted.to_string())
            .string("status", self.status.as_str())
            .string("reason", &self.reason)
            .raw("streak", &self.streak.to_string())
            .string("mark", &self.mark)
            .string("version", &self.version)
            .raw("trial", &self.trial.to_string())
            .raw("settled", &self.settled.to_string())
            .string("file", &self.file);
        if let Some(due) = self.due {
            out = out.raw("due", &due.as_millis().to_string());
        }
        if let Some(run) = self.run {
            out = out.raw("pid", &run.pid.to_string()).raw("started", &run.started.to_string());
        }
        if let Some(envs) = &self.envs {
            let add = |out: ObjectWriter, (name, value): &(String, String)| out.string(name, value);
            out = out.raw("envs", &envs.iter().fold(ObjectWriter::new(), add).finish());
        }
        if let Some(limits) = &self.limits {
            out = out.raw("limits", &limits.to_json());
        }
        out.finish()
    }

    /// Reads one; what isn't there is as in a new one.
    pub fn read(node: &Node) -> Record {
        let text = |name| node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
        let truth = |name| node.get(name).and_then(Node::as_bool).unwrap_or_default();
        let number = |name| node.get(name).and_then(Node::as_u64);
        let process = |pid: u64, started| Some(Identity { pid: pid.try_into().ok()?, started });
        let env = |(name, value): &(String, Node)| Some((name.clone(), value.as_str()?.to_owned()));
        let envs = |node: &Node| node.members().iter().filter_map(env).collect();
        let status = node.get("status").and_then(Node::as_str).and_then(ChildStatus::parse);
        Record {
            boot: text("boot"),
            wanted: truth("wanted"),
            status: status.unwrap_or(ChildStatus::Stopped),
            reason: text("reason"),
            streak: number("streak").unwrap_or_default() as u32,
            due: number("due").map(Duration::from_millis),
            run: number("pid").zip(number("started")).and_then(|(pid, at)| process(pid, at)),
            settled: truth("settled"),
            mark: text("mark"),
            version: text("version"),
            trial: truth("trial"),
            envs: node.get("envs").map(envs),
            limits: node.get("limits").and_then(|node| Limits::read(node).ok()),
            file: text("file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_record_comes_back_as_it_went() {
        let folder = Folder::new();
        assert_eq!(Record::load(folder.path()).unwrap(), None);
        let full = Record {
            boot: "b".into(),
            wanted: true,
            status: ChildStatus::Killed,
            reason: "exit:1".into(),
            streak: 2,
            due: Some(Duration::from_millis(1234)),
            run: Some(Identity { pid: 7, started: 8 }),
            settled: true,
            mark: "m".into(),
            version: "1".into(),
            trial: true,
            envs: Some(vec![("A".into(), "b\n".into())]),
            limits: Some(Limits { cpu: Some(1000), ..Limits::default() }),
            file: "/etc/stint/children.d/a.json".into(),
        };
        for record in [full, Record { envs: Some(Vec::new()), ..Record::default() }] {
            record.save(folder.path()).unwrap();
            assert_eq!(Record::load(folder.path()).unwrap(), Some(record));
        }
    }

    #[test]
    fn a_damaged_record_is_none() {
        let folder = Folder::new();
        fs::write(folder.path().join(NAME), "{\"boot\"").unwrap();
        assert_eq!(Record::load(folder.path()).unwrap(), None);
    }
}
