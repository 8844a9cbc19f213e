//! The registration: one file that holds everything by which the server knows this device.
//!
//! One file, because then it is replaced as a whole: a registration that fails, or a power cut
//! in the middle of one, leaves the old one working. (The original writes the new private key
//! over the old one before it asks the server.)

use super::folder;
#[cfg(feature = "ssm")]
use super::hardware::Hardware;
use super::keys::{KeyError, KeyPair};
use crate::sys::{FileError, durable, random};
use miniserde::{Deserialize, Serialize, json};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use stint_wire::keys::KeyType;
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// The file's name in the state folder.
const FILE: &str = "registration.json";

/// The same form, for a key that no server has answered for yet.
const CANDIDATE: &str = "candidate.json";

/// The same form again: the registration as it will be with the next key. While it is there, the
/// server knows either of the two keys (decision 0034).
const SUCCESSOR: &str = "successor.json";

/// And again: the registration with the key before, for a server that was restored from a backup of then.
const PREDECESSOR: &str = "predecessor.json";

/// The date of a key that was made when nobody knew the time.
#[cfg(feature = "ssm")]
pub const UNDATED: Utc = Utc(0);

/// No agent has made a key before 2020: an earlier date is that of a clock that nobody had set.
const FIRST: Utc = Utc(1_577_836_800_000);

/// Who this device is to its server.
pub struct Registration {
    /// `mi-` and 17 hexadecimal digits.
    pub instance_id: String,
    /// The region named when registering; it stands in every credential scope.
    pub region: String,
    /// The server, if it isn't AWS. The configuration may say otherwise.
    pub endpoint: Option<String>,
    /// The certificate authorities named when registering.
    pub ca_file: Option<PathBuf>,
    /// A random UUID that was sent along; it goes with every request for credentials.
    pub fingerprint: String,
    /// When it was made, by the device's clock.
    pub registered_at: Utc,
    /// When the key was made, by the device's clock.
    pub key_made_at: Utc,
    /// What the device was made of then ([`super::hardware`]); empty if nobody looked.
    pub hardware: String,
    /// The node's own key pair.
    pub key: KeyPair,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(rename = "instanceId")]
    instance_id: String,
    region: String,
    endpoint: Option<String>,
    #[serde(rename = "caFile")]
    ca_file: Option<String>,
    fingerprint: String,
    #[serde(rename = "registeredAt")]
    registered_at: String,
    /// Registrations of before there were rotations have none.
    #[serde(rename = "keyMadeAt")]
    key_made_at: Option<String>,
    hardware: Option<String>,
    #[serde(rename = "keyType")]
    key_type: String,
    #[serde(rename = "privateKey")]
    private_key: String,
}

/// Why there is no registration to go by.
#[derive(Debug)]
pub enum RegistrationError {
    /// There is none: this device has not been registered.
    Missing(PathBuf),
    /// The file can't be read or written.
    File(FileError),
    /// The file isn't what the agent wrote.
    Damaged(PathBuf),
    /// The private key in it is none.
    Key(KeyError),
    /// It is of another registration than the one that this process has read.
    Replaced(PathBuf),
}

impl fmt::Display for RegistrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistrationError::Missing(path) => write!(
                f,
                "this device is not registered (there is no {}); run `stint register`",
                path.display()
            ),
            RegistrationError::File(cause) => write!(f, "{cause}"),
            RegistrationError::Damaged(path) => {
                write!(f, "{} is damaged; run `stint register` again", path.display())
            }
            RegistrationError::Key(cause) => write!(f, "{cause}"),
            RegistrationError::Replaced(path) => {
                write!(f, "{} is of another node by now; restart the agent", path.display())
            }
        }
    }
}

impl std::error::Error for RegistrationError {}

impl Registration {
    /// Records that this device has it now, on whose wish.
    pub fn record(&self, who: &str) {
        let server = self.endpoint.as_deref().unwrap_or("AWS");
        let what = [("node", &*self.instance_id), ("region", &*self.region), ("server", server)];
        crate::audit::record("node.registered", who, &what);
    }

    /// Where the registration of a state folder is.
    pub fn path(state: &Path) -> PathBuf {
        folder(state).join(FILE)
    }

    /// Reads it.
    ///
    /// # Errors
    /// See [`RegistrationError`].
    pub fn load(state: &Path) -> Result<Registration, RegistrationError> {
        Registration::read(Registration::path(state))
    }

    #[cfg(feature = "ssm")]
    fn load_candidate(state: &Path) -> Option<Registration> {
        Registration::read(folder(state).join(CANDIDATE)).ok()
    }

    fn read(path: PathBuf) -> Result<Registration, RegistrationError> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(RegistrationError::Missing(path));
            }
            Err(cause) => {
                return Err(RegistrationError::File(FileError::new("read", &path)(cause)));
            }
        };
        let damaged = || RegistrationError::Damaged(path.clone());
        let mut stored: Stored = json::from_str(&text).map_err(|_| damaged())?;
        let private_key = Zeroizing::new(std::mem::take(&mut stored.private_key));
        let kind = KeyType::parse(&stored.key_type).ok_or_else(damaged)?;
        let registered_at = Utc::parse_iso(&stored.registered_at).ok_or_else(damaged)?;
        let key_made_at = stored.key_made_at.as_deref().and_then(Utc::parse_iso);
        Ok(Registration {
            key: KeyPair::from_stored(kind, &private_key).map_err(RegistrationError::Key)?,
            registered_at,
            key_made_at: key_made_at.unwrap_or(registered_at),
            instance_id: stored.instance_id,
            region: stored.region,
            endpoint: stored.endpoint,
            ca_file: stored.ca_file.map(PathBuf::from),
            fingerprint: stored.fingerprint,
            hardware: stored.hardware.unwrap_or_default(),
        })
    }

    /// Replaces the registration of a state folder, which is made if need be. It is a candidate
    /// no more, and what was to follow the old one follows nothing.
    ///
    /// # Errors
    /// The file can't be written; then the old registration is still there.
    pub fn save(&self, state: &Path) -> Result<(), RegistrationError> {
        self.write(state, FILE)?;
        Registration::remove(state, CANDIDATE)?;
        Registration::remove(state, PREDECESSOR)?;
        Registration::remove(state, SUCCESSOR)
    }

    /// The key of a device that wants to be a new node: the one of a try that wasn't finished, or
    /// a new one, durable before any server hears of it. So a device that loses power before it
    /// has the answer asks again with the same key, and is given the same id. A key that another
    /// device has made, of which this one's card is a copy, is left to that one. A new one is dated `now`, or
    /// [`UNDATED`].
    ///
    /// # Errors
    /// No key can be made, or the file can't be written.
    #[cfg(feature = "ssm")]
    pub fn candidate(
        state: &Path,
        kind: KeyType,
        now: Utc,
    ) -> Result<Registration, RegistrationError> {
        Registration::candidate_of(state, kind, now, &Hardware::read())
    }

    #[cfg(feature = "ssm")]
    fn candidate_of(
        state: &Path,
        kind: KeyType,
        now: Utc,
        device: &Hardware,
    ) -> Result<Registration, RegistrationError> {
        if let Some(candidate) = Registration::load_candidate(state)
            && candidate.key.kind() == kind
            && !device.is_another_than(&candidate.hardware)
        {
            return Ok(candidate);
        }
        let fingerprint = random::uuid()
            .map_err(|error| RegistrationError::Key(KeyError::Generation(error.to_string())))?;
        let candidate = Registration {
            instance_id: String::new(),
            region: String::new(),
            endpoint: None,
            ca_file: None,
            fingerprint,
            registered_at: now,
            key_made_at: now,
            hardware: device.as_str().to_owned(),
            key: KeyPair::generate(kind).map_err(RegistrationError::Key)?,
        };
        candidate.write(state, CANDIDATE)?;
        Ok(candidate)
    }

    /// Whether nobody knows how old the key is.
    pub fn is_undated(&self) -> bool {
        self.key_made_at < FIRST
    }

    /// The registration of a state folder, if it is this one, with its key as if made at `now`: nobody knew the
    /// time when it was.
    ///
    /// # Errors
    /// It is another one by now, or the file can't be written.
    pub fn date(&self, state: &Path, now: Utc) -> Result<Registration, RegistrationError> {
        self.check_is_current(state)?;
        let current = Registration::load(state)?;
        if !current.has_key_of(self) {
            return Err(RegistrationError::Replaced(Registration::path(state)));
        }
        let dated = Registration { key_made_at: now, ..current };
        dated.write(state, FILE)?;
        Ok(dated)
    }

    /// This registration with a new key of the same kind, made at `now`.
    ///
    /// # Errors
    /// No key can be made.
    pub fn with_new_key(&self, now: Utc) -> Result<Registration, RegistrationError> {
        Ok(Registration {
            instance_id: self.instance_id.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            ca_file: self.ca_file.clone(),
            fingerprint: self.fingerprint.clone(),
            registered_at: self.registered_at,
            key_made_at: now,
            hardware: self.hardware.clone(),
            key: KeyPair::generate(self.key.kind()).map_err(RegistrationError::Key)?,
        })
    }

    /// Whether both have the same key.
    pub fn has_key_of(&self, other: &Registration) -> bool {
        matches!((self.key.public(), other.key.public()), (Ok(one), Ok(two)) if one == two)
    }

    /// What is to follow this registration, if a change of keys was begun and not finished.
    pub fn load_successor(&self, state: &Path) -> Option<Registration> {
        let successor = Registration::read(folder(state).join(SUCCESSOR)).ok()?;
        // One that a power cut has left beside a later registration is no concern of this node's.
        Some(successor).filter(|next| next.instance_id == self.instance_id)
    }

    /// This registration with the key before the last change, if there was one.
    pub fn load_predecessor(&self, state: &Path) -> Option<Registration> {
        let before = Registration::read(folder(state).join(PREDECESSOR)).ok()?;
        let is_this =
            before.instance_id == self.instance_id && before.fingerprint == self.fingerprint;
        Some(before).filter(|before| is_this && !before.has_key_of(self))
    }

    /// Keeps what is to follow, beside the registration that it will follow.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn save_successor(&self, state: &Path) -> Result<(), RegistrationError> {
        self.write(state, SUCCESSOR)
    }

    /// Whether the registration of a state folder is this one, with whatever key. The fingerprint
    /// tells: it is made with a registration and outlives its keys.
    ///
    /// # Errors
    /// It isn't, or see [`RegistrationError`].
    pub fn check_is_current(&self, state: &Path) -> Result<(), RegistrationError> {
        let current = Registration::load(state)?;
        let is_same =
            current.instance_id == self.instance_id && current.fingerprint == self.fingerprint;
        if is_same { Ok(()) } else { Err(RegistrationError::Replaced(Registration::path(state))) }
    }

    /// This successor, which is kept already, becomes the registration.
    ///
    /// # Errors
    /// The registration or the successor is another by now, or the file can't be moved; then both
    /// are still there.
    pub fn succeed(&self, state: &Path) -> Result<(), RegistrationError> {
        self.check_is_current(state)?;
        let kept = self.load_successor(state);
        if !kept.is_some_and(|kept| kept.has_key_of(self)) {
            return Err(RegistrationError::Replaced(folder(state).join(SUCCESSOR)));
        }
        Registration::load(state)?.write(state, PREDECESSOR)?;
        durable::rename(&folder(state).join(SUCCESSOR), &Registration::path(state))
            .map_err(RegistrationError::File)
    }

    /// There is to be no successor: the server wants none.
    ///
    /// # Errors
    /// The file can't be removed.
    pub fn drop_successor(state: &Path) -> Result<(), RegistrationError> {
        Registration::remove(state, SUCCESSOR)
    }

    fn remove(state: &Path, file: &str) -> Result<(), RegistrationError> {
        durable::wipe(&folder(state).join(file)).map_err(RegistrationError::File)
    }

    fn write(&self, state: &Path, file: &str) -> Result<(), RegistrationError> {
        let text = self.text()?;
        durable::make_folder(folder(state)).map_err(RegistrationError::File)?;
        durable::write(&folder(state).join(file), text.as_bytes()).map_err(RegistrationError::File)
    }

    /// What is in the file. Of the private key no copy is left in memory, as one would be of a text that grows.
    fn text(&self) -> Result<Zeroizing<String>, RegistrationError> {
        let stored = Stored {
            instance_id: self.instance_id.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            ca_file: self.ca_file.as_ref().map(|path| path.to_string_lossy().into_owned()),
            fingerprint: self.fingerprint.clone(),
            registered_at: self.registered_at.iso(),
            key_made_at: Some(self.key_made_at.iso()),
            hardware: Some(self.hardware.clone()),
            key_type: self.key.kind().as_str().to_owned(),
            private_key: String::new(),
        };
        let rest = json::to_string(&stored);
        let key = self.key.to_stored().map_err(RegistrationError::Key)?;
        let mut text = Zeroizing::new(String::with_capacity(rest.len() + key.len()));
        // It is the last member, and base64 needs no escapes.
        text.push_str(rest.strip_suffix("\"}").unwrap_or(&rest));
        text.push_str(&key);
        text.push_str("\"}");
        Ok(text)
    }

    /// Forgets it, with every private key that belongs or was to belong to it.
    ///
    /// # Errors
    /// A file can't be removed.
    pub fn clear(state: &Path) -> Result<(), RegistrationError> {
        [SUCCESSOR, PREDECESSOR, CANDIDATE, FILE]
            .into_iter()
            .try_for_each(|file| Registration::remove(state, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn registration() -> Registration {
        Registration {
            instance_id: "mi-0123456789abcdef0".into(),
            region: "eu-west-1".into(),
            endpoint: Some("http://127.0.0.1:1".into()),
            ca_file: None,
            fingerprint: "f".into(),
            registered_at: Utc(1_000),
            key_made_at: Utc(2_000),
            hardware: "serial=0".into(),
            key: KeyPair::generate(KeyType::Ed25519).unwrap(),
        }
    }

    #[test]
    fn a_registration_comes_back_from_its_folder() {
        let folder = Folder::new();
        let state = folder.path().join("deep/state");
        let written = registration();
        written.save(&state).unwrap();
        let read = Registration::load(&state).unwrap();
        assert_eq!(read.instance_id, written.instance_id);
        assert_eq!(read.endpoint, written.endpoint);
        assert_eq!(read.registered_at, written.registered_at);
        assert_eq!(read.key_made_at, written.key_made_at);
        assert_eq!(read.hardware, written.hardware);
        assert_eq!(read.key.public().unwrap(), written.key.public().unwrap());
        Registration::clear(&state).unwrap();
        assert!(matches!(Registration::load(&state), Err(RegistrationError::Missing(_))));
    }

    #[test]
    fn the_text_with_the_private_key_never_grows() {
        let text = registration().text().unwrap();
        assert_eq!(text.capacity(), text.len());
    }

    #[test]
    fn keys_that_are_forgotten_are_overwritten_first() {
        let folder = Folder::new();
        let here = |name: &str| folder.path().join(name);
        let names = [SUCCESSOR, PREDECESSOR, CANDIDATE, FILE];
        for name in names {
            registration().write(folder.path(), name).unwrap();
            fs::hard_link(here(name), here(&format!("{name}.other"))).unwrap();
        }
        Registration::clear(folder.path()).unwrap();
        for name in names {
            assert!(!here(name).exists(), "{name}");
            let left = fs::read_to_string(here(&format!("{name}.other"))).unwrap();
            assert!(!left.is_empty() && left.trim().is_empty(), "{name}: {left}");
        }
    }

    fn key(r: &Registration) -> String {
        r.key.public().unwrap()
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn a_candidate_leaves_the_registration_alone_until_it_is_one() {
        let folder = Folder::new();
        let old = registration();
        old.save(folder.path()).unwrap();
        let new = Registration::candidate(folder.path(), KeyType::Ed25519, Utc(7)).unwrap();
        assert_eq!(new.key_made_at, Utc(7));
        let again = Registration::candidate(folder.path(), KeyType::Ed25519, Utc(7)).unwrap();
        assert_eq!(key(&again), key(&new));
        assert_eq!(key(&Registration::load(folder.path()).unwrap()), key(&old));
        new.save(folder.path()).unwrap();
        assert_eq!(key(&Registration::load(folder.path()).unwrap()), key(&new));
        assert!(Registration::load_candidate(folder.path()).is_none());
    }

    #[test]
    fn a_successor_stands_beside_the_registration_until_it_follows() {
        let folder = Folder::new();
        let old = registration();
        old.save(folder.path()).unwrap();
        let next = old.with_new_key(Utc(3_000)).unwrap();
        next.save_successor(folder.path()).unwrap();
        assert_eq!(key(&Registration::load(folder.path()).unwrap()), key(&old));
        assert_eq!(key(&old.load_successor(folder.path()).unwrap()), key(&next));
        next.succeed(folder.path()).unwrap();
        let now = Registration::load(folder.path()).unwrap();
        assert_eq!((key(&now), now.key_made_at), (key(&next), Utc(3_000)));
        assert!(now.load_successor(folder.path()).is_none());
        // The key before is kept, and goes with the registration.
        assert_eq!(key(&now.load_predecessor(folder.path()).unwrap()), key(&old));
        let other = Registration { fingerprint: "another".into(), ..registration() };
        assert!(other.load_predecessor(folder.path()).is_none());
        now.save(folder.path()).unwrap();
        assert!(now.load_predecessor(folder.path()).is_none());
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn a_candidate_that_came_with_a_copied_card_is_left_to_the_other_device() {
        let folder = Folder::new();
        let of = |parts: &str| {
            let device = Hardware::of(parts);
            key(&Registration::candidate_of(folder.path(), KeyType::Ed25519, UNDATED, &device)
                .unwrap())
        };
        let first = of("serial=1 memory=2 network=3");
        assert_eq!(of("serial=1 memory=9 network=3"), first);
        // A device that tells nothing can't be told from another.
        assert_eq!(of("memory=2"), first);
        let second = of("serial=2 memory=2 network=4");
        assert_ne!(second, first);
        assert_eq!(of("serial=2 memory=2 network=4"), second);
    }

    #[test]
    fn a_key_of_nobody_knows_when_is_dated_in_its_registration_and_in_no_other() {
        let folder = Folder::new();
        let old = Registration { key_made_at: Utc(0), ..registration() };
        old.save(folder.path()).unwrap();
        old.with_new_key(Utc(0)).unwrap().save_successor(folder.path()).unwrap();
        let now = Utc::from_secs(1_800_000_000);
        let dated = old.date(folder.path(), now).unwrap();
        assert!(old.is_undated() && !dated.is_undated() && dated.has_key_of(&old));
        let read = Registration::load(folder.path()).unwrap();
        assert_eq!((read.key_made_at, key(&read)), (now, key(&old)));
        assert!(read.load_successor(folder.path()).is_some());
        // Another process has changed the key meanwhile.
        read.load_successor(folder.path()).unwrap().succeed(folder.path()).unwrap();
        assert!(matches!(old.date(folder.path(), now), Err(RegistrationError::Replaced(_))));
    }

    #[test]
    fn another_nodes_successor_follows_nothing() {
        let folder = Folder::new();
        registration().with_new_key(Utc(0)).unwrap().save_successor(folder.path()).unwrap();
        let other = Registration { instance_id: "mi-1".into(), ..registration() };
        assert!(other.load_successor(folder.path()).is_none());
        other.save(folder.path()).unwrap();
        assert!(registration().load_successor(folder.path()).is_none());
    }

    #[test]
    fn a_successor_never_takes_the_place_of_another_registration() {
        let folder = Folder::new();
        let next = registration().with_new_key(Utc(3_000)).unwrap();
        for (id, fingerprint) in [("mi-1", "f"), ("mi-0123456789abcdef0", "another")] {
            let (id, fingerprint) = (id.to_owned(), fingerprint.to_owned());
            let other = Registration { instance_id: id, fingerprint, ..registration() };
            other.save(folder.path()).unwrap();
            next.save_successor(folder.path()).unwrap();
            let error = next.succeed(folder.path()).unwrap_err();
            assert!(error.to_string().contains("registration.json is of another node"), "{error}");
            assert_eq!(key(&Registration::load(folder.path()).unwrap()), key(&other));
        }
        // Nor does a successor's place hold another one's key.
        registration().save(folder.path()).unwrap();
        registration().with_new_key(Utc(4_000)).unwrap().save_successor(folder.path()).unwrap();
        assert!(matches!(next.succeed(folder.path()), Err(RegistrationError::Replaced(_))));
        Registration::clear(folder.path()).unwrap();
        assert!(matches!(next.succeed(folder.path()), Err(RegistrationError::Missing(_))));
    }

    #[test]
    fn a_registration_of_before_rotations_has_a_key_as_old_as_itself() {
        let folder = Folder::new();
        registration().save(folder.path()).unwrap();
        let path = Registration::path(folder.path());
        let text = fs::read_to_string(&path).unwrap();
        let made_at = format!(",\"keyMadeAt\":\"{}\"", Utc(2_000).iso());
        assert!(text.contains(&made_at), "{text}");
        fs::write(&path, text.replace(&made_at, "")).unwrap();
        assert_eq!(Registration::load(folder.path()).unwrap().key_made_at, Utc(1_000));
    }

    #[test]
    fn a_damaged_registration_says_what_to_do() {
        let folder = Folder::new();
        fs::write(Registration::path(folder.path()), "{\"instanceId\":").unwrap();
        let error = Registration::load(folder.path()).err().unwrap().to_string();
        assert!(error.contains("is damaged; run `stint register` again"), "{error}");
    }
}
