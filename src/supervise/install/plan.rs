//! How far the installation of a package has come, and what was before it: the file
//! `install.json` in the child's folder. It outlives the job, because a version on trial may have
//! to give way to the one before long after.

use super::super::record::Record;
use crate::sys::{FileError, durable};
use std::fs;
use std::path::Path;
use stint_wire::bootagent::Limits;
use stint_wire::json::{self, Node, ObjectWriter};

const NAME: &str = "install.json";

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The new version is there whole, and takes the old one's place.
    Switching,
    /// It has taken the place, and has to show that it stays up.
    Trial,
    /// It didn't, or couldn't be installed; the old one takes its place again.
    Back,
    /// Nothing is left to do.
    Done,
}

const PHASES: [(Phase, &str); 4] = [
    (Phase::Switching, "switching"),
    (Phase::Trial, "trial"),
    (Phase::Back, "back"),
    (Phase::Done, "done"),
];

/// The plan of an installation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The job's action and id.
    pub job: String,
    /// How far it has come.
    pub phase: Phase,
    /// The folder of the new version.
    pub to: String,
    /// The folder of the version before, which is the new one's too where a package is installed
    /// once more; `None`: there was no package.
    pub from: Option<String>,
    /// The child's definition by a job, before; `None`: a file defined it, or nothing did.
    pub definition: Option<String>,
    /// What jobs had given the child, before; `None`: it wasn't there.
    pub before: Option<Before>,
    /// Why the old version takes its place again.
    pub why: String,
}

/// A child before an installation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Before {
    /// It was to run.
    pub wanted: bool,
    /// The environment that a job gave it.
    pub envs: Option<Vec<(String, String)>>,
    /// The limits that a job gave it.
    pub limits: Option<Limits>,
    /// Its version.
    pub version: String,
}

impl Plan {
    /// The version to go back to, if it is another one.
    pub fn older(&self) -> Option<&str> {
        self.from.as_deref().filter(|from| *from != self.to)
    }

    /// The plan in the folder of a child, if there is one.
    pub fn load(folder: &Path) -> Option<Plan> {
        let node = json::parse(&fs::read_to_string(folder.join(NAME)).ok()?).ok()?;
        let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
        let phase = text("phase")?;
        Some(Plan {
            job: text("job")?,
            phase: PHASES.iter().find(|(_, name)| *name == phase)?.0,
            to: text("to")?,
            from: text("from"),
            definition: text("definition"),
            before: node.get("before").map(|node| {
                let record = Record::read(node);
                Before {
                    wanted: record.wanted,
                    envs: record.envs,
                    limits: record.limits,
                    version: record.version,
                }
            }),
            why: text("why").unwrap_or_default(),
        })
    }

    /// Writes it; durable when it returns.
    ///
    /// # Errors
    /// The step that failed.
    pub fn save(&self, folder: &Path) -> Result<(), FileError> {
        let phase = PHASES.iter().find(|(phase, _)| *phase == self.phase).map_or("", |it| it.1);
        let mut out = ObjectWriter::new()
            .string("job", &self.job)
            .string("phase", phase)
            .string("to", &self.to)
            .optional("from", self.from.as_deref())
            .optional("definition", self.definition.as_deref())
            .string("why", &self.why);
        if let Some(before) = &self.before {
            let record = Record {
                wanted: before.wanted,
                envs: before.envs.clone(),
                limits: before.limits.clone(),
                version: before.version.clone(),
                ..Record::default()
            };
            out = out.raw("before", &record.write());
        }
        durable::write(&folder.join(NAME), out.finish().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_plan_comes_back_as_it_went() {
        let folder = Folder::new();
        assert_eq!(Plan::load(folder.path()), None);
        let full = Plan {
            job: "install 1".into(),
            phase: Phase::Back,
            to: "2".into(),
            from: Some("1".into()),
            definition: Some("{\"name\":\"a\"}".into()),
            before: Some(Before {
                wanted: true,
                envs: Some(vec![("A".into(), "b".into())]),
                limits: Some(Limits { cpu: Some(1000), ..Limits::default() }),
                version: "1".into(),
            }),
            why: "exit:1".into(),
        };
        let bare = Plan {
            phase: Phase::Switching,
            from: None,
            definition: None,
            before: None,
            ..full.clone()
        };
        for plan in [full, bare] {
            plan.save(folder.path()).unwrap();
            assert_eq!(Plan::load(folder.path()), Some(plan));
        }
    }
}
