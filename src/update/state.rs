//! What is known of updates over restarts: one file, replaced as a whole.

use super::folder;
use crate::board::VERSION;
use crate::sys::{FileError, durable};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use stint_wire::bootagent::sign;
use stint_wire::json::{self, Node, ObjectWriter, Value};
use stint_wire::manifest::{MAX_REVOKED, Manifest, Version};

const FILE: &str = "state.json";

/// Where a damaged one is kept, for whoever wants to know.
const DAMAGED: &str = "state.json.damaged";

/// Why nothing is known of updates, in the place of the last one's failure.
const LOST: &str = "state.json was damaged: what was known of updates is lost";

/// A larger file isn't ours, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// So many versions that had to be taken back are remembered. The oldest is forgotten first.
const MAX_BAD: usize = 8;

/// So many release keys are learnt from manifests.
const MAX_KEYS: usize = 8;

/// No trial takes longer than a day, whatever the file says.
const MAX_MINUTES: u64 = 24 * 60;

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
    /// The new version; empty if what was known of it is lost.
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
    /// The highest serial number of a manifest that was believed.
    pub serial: u64,
    /// Release keys that manifests have named.
    pub keys: Vec<[u8; 32]>,
    /// Release keys that a manifest has revoked: never believed again, whoever has named them.
    pub revoked: Vec<[u8; 32]>,
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
        let Some(text) = text(state)? else { return Ok(State::default()) };
        Ok(State::understand(&text).unwrap_or_else(|| State::damaged(state, &text)))
    }

    /// The same for the daemon at its start: a copy of a damaged file is kept, and one that makes sense takes
    /// its place. Where the disk doesn't take that, the next start does it.
    ///
    /// # Errors
    /// The same.
    pub fn open(state: &Path) -> Result<State, FileError> {
        let Some(text) = text(state)? else { return Ok(State::default()) };
        if let Some(known) = State::understand(&text) {
            return Ok(known);
        }
        let bare = State::damaged(state, &text);
        let kept = durable::write(&folder(state).join(DAMAGED), &text);
        if let Err(error) = kept.and_then(|()| bare.save(state)) {
            log::error!("updates: {error}");
        }
        Ok(bare)
    }

    /// What the file's bytes say; `None` if they make no sense.
    fn understand(text: &[u8]) -> Option<State> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() as u64 <= MAX_FILE)?;
        State::parse(text)
    }

    /// What is left of a damaged file: which release keys are believed, so that a key that was revoked doesn't come
    /// back with it, as far as the file is still JSON.
    fn damaged(state: &Path, text: &[u8]) -> State {
        log::error!("{}: {LOST}", path(state).display());
        let root = json::parse(&String::from_utf8_lossy(text));
        let mut left = root.as_ref().map_or_else(|_| State::default(), State::trust);
        left.highest = VERSION.to_owned();
        left.last = Some(Last { failure: LOST.to_owned(), ..Last::default() });
        left.trim();
        left
    }

    /// What the file says of release keys and manifests, and nothing else of it.
    fn trust(root: &Node) -> State {
        let keys = |name| {
            let list = root.get(name).and_then(Node::elements).unwrap_or_default();
            list.iter().filter_map(|key| sign::parse_key(key.as_str()?)).collect()
        };
        let serial = root.get("serial").and_then(Node::as_u64).unwrap_or_default();
        State { serial, keys: keys("keys"), revoked: keys("revoked"), ..State::default() }
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
        self.trim();
        self.last = Some(Last { order, version, from, failure: why.to_owned() });
    }

    /// Takes in what a manifest that is believed says for the time to come: its serial number, the release keys that it
    /// revokes, and those that it names; the oldest of those are forgotten. Whether there was anything new.
    pub fn take_in(&mut self, manifest: &Manifest) -> bool {
        let mut is_new = manifest.serial > self.serial;
        self.serial = self.serial.max(manifest.serial);
        for key in &manifest.revoked_keys {
            if self.revoked.len() < MAX_REVOKED && !self.revoked.contains(key) {
                self.revoked.push(*key);
                is_new = true;
            }
        }
        // Of more keys the last would push out the first at every look.
        for key in manifest.next_keys.iter().take(MAX_KEYS) {
            if !self.keys.contains(key) {
                self.keys.push(*key);
                is_new = true;
            }
        }
        self.trim();
        is_new
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
            .raw("revoked", &list(&mut self.revoked.iter().map(sign::key_text)))
            .raw("bad", &list(&mut self.bad.iter().cloned()))
            .raw("last", &self.last.as_ref().map_or_else(null, Last::write))
            .finish()
    }

    pub(super) fn parse(text: &str) -> Option<State> {
        let root = json::parse(text).ok()?;
        root.get("serial")?.as_u64()?;
        let bad = root.get("bad").and_then(Node::elements).unwrap_or_default();
        let highest = text_of(&root, "highest");
        if !highest.is_empty() {
            Version::parse(&highest)?;
        }
        let mut state = State {
            committed: there(&root, "committed", Slot::read)?,
            previous: there(&root, "previous", Slot::read)?,
            trial: there(&root, "trial", Trial::read)?,
            highest,
            bad: bad.iter().filter_map(|bad| bad.as_str().map(str::to_owned)).collect(),
            last: root.get("last").and_then(Last::read),
            ..State::trust(&root)
        };
        state.trim();
        Some(state)
    }

    /// Forgets the oldest of what there may only be some of.
    fn trim(&mut self) {
        self.keys.drain(..self.keys.len().saturating_sub(MAX_KEYS));
        self.bad.drain(..self.bad.len().saturating_sub(MAX_BAD));
        self.revoked.truncate(MAX_REVOKED);
    }
}

/// What a member says that may be null; `None` if it makes no sense.
fn there<T>(root: &Node, name: &str, read: fn(&Node) -> Option<T>) -> Option<Option<T>> {
    match root.get(name) {
        Some(node) if node.value != Value::Null => read(node).map(Some),
        _ => Some(None),
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
            minutes: node.get("minutes")?.as_u64()?.min(MAX_MINUTES),
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

/// The file's bytes, or so many of them that it is seen to be too large; `None` if it isn't there.
fn text(state: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let path = path(state);
    let mut text = Vec::new();
    let read = match File::open(&path) {
        Ok(file) => file.take(MAX_FILE + 1).read_to_end(&mut text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    };
    read.map_err(FileError::new("read", &path))?;
    Ok(Some(text))
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
            revoked: vec![[8; 32], [9; 32]],
            bad: vec!["0.1.9".into()],
            last: Some(Last { version: "0.2".into(), ..Last::default() }),
        };
        state.save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path()), state);
        let path = path(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.split_at(text.len() / 2).0).unwrap();
        let now = State::load(folder.path());
        assert_eq!((now.highest.as_str(), now.last.unwrap().failure.as_str()), (VERSION, LOST));
        assert_eq!((now.committed, now.trial), (None, None));
    }

    #[test]
    fn what_makes_no_sense_is_damage_and_what_is_too_much_is_cut() {
        let state = State { trial: Some(on_trial("0.3")), serial: 3, ..State::default() };
        let text = state.write();
        for (good, bad) in [
            ("\"slot\":\"b\"", "\"slot\":\"../b\""),
            ("\"trial\":{", "\"trial\":[{}],\"more\":{"),
            ("\"committed\":null", "\"committed\":7"),
            ("\"highest\":\"\"", "\"highest\":\"1.x\""),
            ("\"serial\":3", "\"serial\":-3"),
        ] {
            assert!(text.contains(good));
            assert_eq!(State::parse(&text.replace(good, bad)), None, "{bad}");
        }
        let (long, bad) = ("\"minutes\":18446744073709551615", ["\"1.0\""; 99].join(","));
        let much = text.replace("\"minutes\":10", long);
        let much = State::parse(&much.replace("\"bad\":[]", &format!("\"bad\":[{bad}]"))).unwrap();
        assert_eq!(much.trial.unwrap().minutes, MAX_MINUTES);
        assert_eq!(much.bad.len(), MAX_BAD);
    }

    #[test]
    fn the_daemon_sets_a_damaged_file_aside_and_finds_a_good_one_at_its_next_start() {
        let folder = Folder::new();
        assert_eq!(State::open(folder.path()).unwrap(), State::default());
        for damage in [&b""[..], b"{\"serial\":1", b"\xff", &vec![b' '; MAX_FILE as usize + 2]] {
            State::default().save(folder.path()).unwrap();
            let path = path(folder.path());
            fs::write(&path, damage).unwrap();
            let first = State::open(folder.path()).unwrap();
            assert_eq!(first.last.as_ref().unwrap().failure, LOST);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(State::parse(&text), Some(first));
            let aside = fs::read(path.with_file_name(DAMAGED)).unwrap();
            assert!(damage.starts_with(&aside) && aside.len() as u64 <= MAX_FILE + 1);
        }
    }

    #[test]
    fn a_damaged_file_that_is_still_json_brings_no_revoked_key_back() {
        let folder = Folder::new();
        let state = State {
            committed: Some(slot("a", "0.2")),
            serial: 3,
            keys: vec![[7; 32]],
            revoked: vec![[8; 32]],
            ..State::default()
        };
        for damage in [&b"\"slot\":\"c\""[..], b"\"slot\":\"\xff\"", b"\"slot\":{}"] {
            state.save(folder.path()).unwrap();
            let path = path(folder.path());
            let text = fs::read(&path).unwrap();
            let good = b"\"slot\":\"a\"";
            let at = text.windows(good.len()).position(|part| part == good).unwrap();
            let (before, after) = (text.split_at(at).0, text.split_at(at + good.len()).1);
            fs::write(&path, [before, damage, after].concat()).unwrap();
            let left = State::open(folder.path()).unwrap();
            assert_eq!((left.serial, &left.keys, &left.revoked), (3, &state.keys, &state.revoked));
            assert_eq!((left.highest.as_str(), &left.committed), (VERSION, &None));
            assert_eq!(State::read(folder.path()).unwrap(), left);
        }
        fs::write(path(folder.path()), "{\"serial\":-3}").unwrap();
        assert_eq!(State::read(folder.path()).unwrap().serial, 0);
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
    fn keys_are_learnt_once_and_the_oldest_go_and_a_serial_number_only_grows() {
        let mut state = State::default();
        let mut takes_in = |serial, keys: std::ops::Range<u8>| {
            let next_keys = keys.map(|n| [n; 32]).collect();
            let is_new = state.take_in(&Manifest { serial, next_keys, ..Manifest::default() });
            (is_new, state.serial, state.keys.clone())
        };
        let keys = |range: std::ops::Range<u8>| range.map(|n| [n; 32]).collect::<Vec<_>>();
        assert_eq!(takes_in(3, 0..3), (true, 3, keys(0..3)));
        assert_eq!(takes_in(3, 1..3), (false, 3, keys(0..3)));
        assert_eq!(takes_in(2, 0..0), (false, 3, keys(0..3)));
        assert_eq!(takes_in(4, 0..0), (true, 4, keys(0..3)));
        assert_eq!(takes_in(4, 3..10), (true, 4, keys(2..10)));
        // A list that is too long is not new again and again.
        let (_, _, kept) = takes_in(4, 20..40);
        assert_eq!(takes_in(4, 20..40), (false, 4, kept));
    }

    #[test]
    fn a_key_stays_revoked_and_the_list_is_bounded() {
        let mut state = State::default();
        let revoked_keys: Vec<[u8; 32]> = (0..50).map(|n| [n; 32]).collect();
        let manifest = Manifest { revoked_keys, ..Manifest::default() };
        assert!(state.take_in(&manifest) && !state.take_in(&manifest));
        assert!(!state.take_in(&Manifest::default()));
        assert_eq!(state.revoked, manifest.revoked_keys[..MAX_REVOKED]);
    }
}
