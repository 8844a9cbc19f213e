//! What is known of updates over restarts: one file, replaced as a whole.

use super::folder;
use crate::board::VERSION;
use crate::sys::{FileError, durable};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use stint_wire::bootagent::sign;
use stint_wire::json::{self, Node, ObjectWriter};
use stint_wire::manifest::Version;

const FILE: &str = "state.json";

/// A larger file isn't ours, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// So many versions that had to be taken back are remembered. The oldest is forgotten first.
const MAX_BAD: usize = 8;

/// So many release keys are learnt from manifests.
const MAX_KEYS: usize = 8;

/// A version in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// `a` or `b`.
    pub slot: String,
    /// As the manifest spells it.
    pub version: String,
    /// SHA-256 of the program, lower-case hexadecimal.
    pub sha256: String,
    /// Bytes of the program.
    pub size: u64,
    /// The factory's version when this was put here: a device that is flashed anew brings along
    /// another, and that one is what its owner wants.
    pub factory: String,
}

/// A version that has yet to show that it is good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Where it is.
    pub slot: Slot,
    /// How often it has been started.
    pub tries: u64,
    /// Minutes from its start until the server must have heard it.
    pub minutes: u64,
    /// What ran before.
    pub from: String,
    /// Who wanted it, for whoever waits for the result: a job's step, a process.
    pub order: String,
    /// What ran before had no server that could have heard it.
    pub alone: bool,
}

/// How the last update ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Who wanted it.
    pub order: String,
    /// The new version.
    pub version: String,
    /// The one before.
    pub from: String,
    /// Empty if the new version was kept; else why it was taken back.
    pub failure: String,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The version that has shown that it is good.
    pub committed: Option<Slot>,
    /// The one before, in the other slot, if it is still there.
    pub previous: Option<Slot>,
    /// The one that hasn't yet.
    pub trial: Option<Trial>,
    /// The highest version that has ever been kept; empty if none has.
    pub highest: String,
    /// The highest serial number of a manifest that has been used.
    pub serial: u64,
    /// Release keys that manifests have named.
    pub keys: Vec<[u8; 32]>,
    /// Versions that had to be taken back.
    pub bad: Vec<String>,
    /// How the last update ended.
    pub last: Option<Last>,
}

impl State {
    /// Reads the file. One that isn't there says nothing: then the factory's program runs. So does it where the
    /// file makes no sense; but no version below the one that reads it is to be had then.
    ///
    /// # Errors
    /// The system can't read it now. That says nothing about what is in it.
    pub fn read(state: &Path) -> Result<State, FileError> {
        let path = path(state);
        let mut text = Vec::new();
        let file = match File::open(&path) {
            Ok(file) => file.take(MAX_FILE + 1).read_to_end(&mut text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::default()),
            Err(error) => Err(error),
        };
        file.map_err(FileError::new("read", &path))?;
        let known = Some(text).filter(|text| text.len() as u64 <= MAX_FILE);
        let known = known.and_then(|text| State::parse(std::str::from_utf8(&text).ok()?));
        Ok(known.unwrap_or_else(|| {
            log::error!("{} is damaged; nothing is known of updates", path.display());
            State { highest: VERSION.to_owned(), ..State::default() }
        }))
    }

    /// The same for whoever only shows it: what can't be read now says nothing.
    pub fn load(state: &Path) -> State {
        State::read(state).unwrap_or_else(|error| {
            log::error!("updates: {error}");
            State::default()
        })
    }

    /// Replaces the file; done when it is on disk.
    ///
    /// # Errors
    /// The step that failed; then the old state counts.
    pub fn save(&self, state: &Path) -> Result<(), FileError> {
        durable::make_folder(&folder(state))?;
        durable::write(&path(state), self.write().as_bytes())
    }

    /// The version on trial is good.
    pub fn commit(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        let version = trial.slot.version.clone();
        if Version::parse(&version) > Version::parse(&self.highest) {
            self.highest.clone_from(&version);
        }
        self.bad.retain(|bad| *bad != version);
        self.previous = self.committed.replace(trial.slot);
        let Trial { order, from, .. } = trial;
        self.last = Some(Last { order, version, from, failure: String::new() });
    }

    /// The version on trial is no good, for this reason.
    pub fn give_up(&mut self, why: &str) {
        let Some(Trial { slot, from, order, .. }) = self.trial.take() else { return };
        let version = slot.version;
        self.bad.retain(|bad| *bad != version);
        self.bad.push(version.clone());
        if self.bad.len() > MAX_BAD {
            self.bad.remove(0);
        }
        self.last = Some(Last { order, version, from, failure: why.to_owned() });
    }

    /// Adds release keys that a manifest names; the oldest are forgotten.
    pub fn learn(&mut self, keys: &[[u8; 32]]) {
        for key in keys {
            if !self.keys.contains(key) {
                self.keys.push(*key);
            }
        }
        let surplus = self.keys.len().saturating_sub(MAX_KEYS);
        self.keys.drain(..surplus);
    }

    pub(super) fn write(&self) -> String {
        let object = |slot: &Option<Slot>| slot.as_ref().map_or_else(null, Slot::write);
        let list = |texts: &mut dyn Iterator<Item = String>| {
            let texts: Vec<String> = texts.map(|text| json::quote(&text)).collect();
            format!("[{}]", texts.join(","))
        };
        ObjectWriter::new()
            .raw("committed", &object(&self.committed))
            .raw("previous", &object(&self.previous))
            .raw("trial", &self.trial.as_ref().map_or_else(null, Trial::write))
            .string("highest", &self.highest)
            .raw("serial", &self.serial.to_string())
            .raw("keys", &list(&mut self.keys.iter().map(sign::key_text)))
            .raw("bad", &list(&mut self.bad.iter().cloned()))
            .raw("last", &self.last.as_ref().map_or_else(null, Last::write))
            .finish()
    }

    pub(super) fn parse(text: &str) -> Option<State> {
        let root = json::parse(text).ok()?;
        let list = |name| root.get(name).and_then(Node::elements).unwrap_or_default();
        Some(State {
            committed: root.get("committed").and_then(Slot::read),
            previous: root.get("previous").and_then(Slot::read),
            trial: root.get("trial").and_then(Trial::read),
            highest: text_of(&root, "highest"),
            serial: root.get("serial")?.as_u64()?,
            keys: list("keys").iter().filter_map(|key| sign::parse_key(key.as_str()?)).collect(),
            bad: list("bad").iter().filter_map(|bad| bad.as_str().map(str::to_owned)).collect(),
            last: root.get("last").and_then(Last::read),
        })
    }
}

impl Slot {
    fn write(slot: &Slot) -> String {
        ObjectWriter::new()
            .string("slot", &slot.slot)
            .string("version", &slot.version)
            .string("sha256", &slot.sha256)
            .raw("size", &slot.size.to_string())
            .string("factory", &slot.factory)
            .finish()
    }

    fn read(node: &Node) -> Option<Slot> {
        // It becomes a part of a path.
        let slot = text_of(node, "slot");
        (slot == "a" || slot == "b").then_some(())?;
        Some(Slot {
            slot,
            version: text_of(node, "version"),
            sha256: text_of(node, "sha256"),
            size: node.get("size")?.as_u64()?,
            factory: text_of(node, "factory"),
        })
    }
}

impl Trial {
    fn write(trial: &Trial) -> String {
        ObjectWriter::new()
            .raw("slot", &Slot::write(&trial.slot))
            .raw("tries", &trial.tries.to_string())
            .raw("minutes", &trial.minutes.to_string())
            .string("from", &trial.from)
            .string("order", &trial.order)
            .raw("alone", if trial.alone { "true" } else { "false" })
            .finish()
    }

    fn read(node: &Node) -> Option<Trial> {
        Some(Trial {
            slot: Slot::read(node.get("slot")?)?,
            tries: node.get("tries")?.as_u64()?,
            minutes: node.get("minutes")?.as_u64()?,
            from: text_of(node, "from"),
            order: text_of(node, "order"),
            alone: node.get("alone").and_then(Node::as_bool).unwrap_or_default(),
        })
    }
}

impl Last {
    fn write(last: &Last) -> String {
        ObjectWriter::new()
            .string("order", &last.order)
            .string("version", &last.version)
            .string("from", &last.from)
            .string("failure", &last.failure)
            .finish()
    }

    fn read(node: &Node) -> Option<Last> {
        (!node.members().is_empty()).then(|| Last {
            order: text_of(node, "order"),
            version: text_of(node, "version"),
            from: text_of(node, "from"),
            failure: text_of(node, "failure"),
        })
    }
}

fn null() -> String {
    "null".to_owned()
}

fn text_of(node: &Node, name: &str) -> String {
    node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned()
}

fn path(state: &Path) -> PathBuf {
    folder(state).join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::fs;

    pub fn slot(name: &str, version: &str) -> Slot {
        let factory = "0.1.0".to_owned();
        let (slot, version) = (name.to_owned(), version.to_owned());
        Slot { slot, version, sha256: "ab".into(), size: 7, factory }
    }

    fn on_trial(version: &str) -> Trial {
        let (from, order) = ("0.1.0".to_owned(), "job".to_owned());
        Trial { slot: slot("b", version), tries: 1, minutes: 10, from, order, alone: true }
    }

    #[test]
    fn the_file_comes_back_and_a_damaged_one_says_no_more_than_that_there_was_this_version() {
        let folder = Folder::new();
        assert_eq!(State::load(folder.path()), State::default());
        let state = State {
            committed: Some(slot("a", "0.2")),
            previous: Some(slot("b", "0.1.5")),
            trial: Some(on_trial("0.3")),
            highest: "0.2".into(),
            serial: 3,
            keys: vec![[7; 32]],
            bad: vec!["0.1.9".into()],
            last: Some(Last { version: "0.2".into(), ..Last::default() }),
        };
        state.save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()), state);
        let path = path(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.split_at(text.len() / 2).0).unwrap();
        let bare = State { highest: VERSION.to_owned(), ..State::default() };
        assert_eq!(State::load(folder.path()), bare);
        fs::write(&path, text.replace("\"slot\":\"a\"", "\"slot\":\"../a\"")).unwrap();
        assert_eq!(State::load(folder.path()).committed, None);
    }

    #[test]
    fn a_file_that_cannot_be_read_now_is_not_taken_for_none() {
        let folder = Folder::new();
        fs::create_dir_all(path(folder.path())).unwrap();
        assert!(State::read(folder.path()).is_err());
        assert_eq!(State::load(folder.path()), State::default());
    }

    #[test]
    fn a_version_that_is_kept_is_the_highest_and_the_one_before_stays() {
        let mut state = State { committed: Some(slot("a", "0.2")), ..State::default() };
        state.bad = vec!["0.10".into()];
        state.trial = Some(on_trial("0.10"));
        state.commit();
        assert_eq!(state.committed, Some(slot("b", "0.10")));
        assert_eq!(state.previous, Some(slot("a", "0.2")));
        assert_eq!((state.highest.as_str(), state.bad.len()), ("0.10", 0));
        assert_eq!(state.last.as_ref().unwrap().failure, "");
        state.trial = Some(on_trial("0.9"));
        state.commit();
        assert_eq!(state.highest, "0.10");
    }

    #[test]
    fn a_version_that_is_taken_back_is_remembered_with_the_reason() {
        let mut state = State { committed: Some(slot("a", "0.2")), ..State::default() };
        for version in 0..20 {
            state.trial = Some(on_trial(&format!("1.{version}")));
            state.give_up("it fell over");
        }
        assert_eq!(state.bad.len(), MAX_BAD);
        assert_eq!(state.bad.last().unwrap(), "1.19");
        assert_eq!(state.last.unwrap().failure, "it fell over");
        assert_eq!((state.trial, state.committed.unwrap().version), (None, "0.2".to_owned()));
    }

    #[test]
    fn keys_are_learnt_once_and_the_oldest_go() {
        let mut state = State::default();
        let keys: Vec<[u8; 32]> = (0..10).map(|n| [n; 32]).collect();
        state.learn(&keys);
        state.learn(&keys[9..]);
        assert_eq!(state.keys, keys[2..]);
    }
}
