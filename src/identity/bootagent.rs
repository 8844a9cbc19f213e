//! Who this device is to BootAgent servers: one file, replaced as a whole, that holds the id and
//! the key pair, the servers' keys, and what a server has set.
//!
//! It is durable before a server first hears of it, so a device that loses power before it has
//! the answer asks again as the same one.

#[cfg(feature = "ssm")]
use super::hardware::Hardware;
use super::{KeyPair, folder};
use crate::sys::{FileError, durable, random};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use stint_wire::bootagent::{is_agentsn, sign};
use stint_wire::json::{self, Node, ObjectWriter, Value, quote};
use stint_wire::keys::{KeyType, parse_ed25519_public_key};
use zeroize::Zeroizing;

/// The file's name in the state folder.
const FILE: &str = "bootagent.json";

/// What a damaged file is renamed to, for whoever wants to know.
const DAMAGED: &str = "bootagent.json.damaged";

/// An activation: what a hub wants to see before it takes a node in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// A UUID.
    pub id: String,
    /// A secret.
    pub code: String,
}

/// What this device is to its servers.
pub struct BootIdentity {
    /// The id by which servers know it.
    pub agentsn: String,
    /// Its key pair, Ed25519.
    pub key: KeyPair,
    /// A server has taken it in.
    pub registered: bool,
    /// A report has been accepted under this id, so that it won't change any more.
    pub settled: bool,
    /// Its id in Systems Manager, if the server has named one.
    pub node_id: String,
    /// `name=value,name`, as the server says.
    pub tags: String,
    /// The servers' keys that it trusts, newest first.
    pub pins: Vec<[u8; 32]>,
    /// The servers named when registering; the configuration's come before them.
    pub servers: String,
    /// The certificate authorities named when registering.
    pub ca_file: Option<PathBuf>,
    /// The servers that a server has named. They are tried before all others and replace none.
    pub pushed: String,
    /// The time between two reports that a server has set, seconds.
    pub step: Option<u64>,
    /// What the device was made of when the key was made ([`super::hardware`]); empty if nobody looked.
    #[cfg(feature = "ssm")]
    pub hardware: String,
}

/// Why there is no identity.
#[derive(Debug)]
pub enum IdentityError {
    /// The file can't be read or written.
    File(FileError),
    /// The system gave no randomness.
    Random(String),
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::File(cause) => write!(f, "{cause}"),
            IdentityError::Random(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for IdentityError {}

impl From<FileError> for IdentityError {
    fn from(cause: FileError) -> IdentityError {
        IdentityError::File(cause)
    }
}

impl BootIdentity {
    /// What the file of a state folder says, for whoever only looks.
    pub fn look(state: &Path) -> Option<BootIdentity> {
        let text = Zeroizing::new(fs::read_to_string(folder(state).join(FILE)).ok()?);
        json::parse(&text).ok().and_then(read)
    }

    /// Reads the file of a state folder; `None` if there is none.
    ///
    /// # Errors
    /// It can't be read now. One that is damaged counts as none: it is set aside with a word in
    /// the log, because a device that nobody can reach is better off with a new identity than
    /// with none.
    pub fn load(state: &Path) -> Result<Option<BootIdentity>, FileError> {
        let path = folder(state).join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) if cause.kind() == ErrorKind::InvalidData => Zeroizing::default(),
            Err(cause) => return Err(FileError::new("read", &path)(cause)),
        };
        let read = json::parse(&text).ok().and_then(read);
        if read.is_none() {
            log::error!("{} is damaged; this device starts with a new identity", path.display());
            durable::rename(&path, &folder(state).join(DAMAGED))?;
        }
        Ok(read)
    }

    /// Forgets it, private key and all.
    ///
    /// # Errors
    /// A file can't be removed.
    #[cfg(feature = "ssm")]
    pub fn clear(state: &Path) -> Result<(), FileError> {
        [FILE, DAMAGED].into_iter().try_for_each(|file| durable::wipe(&folder(state).join(file)))
    }

    /// Reads it, or makes a new one and writes that down. An id that no server has taken in, and that another
    /// device has made of which this one's card is a copy, is left to that one.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn load_or_make(state: &Path) -> Result<BootIdentity, IdentityError> {
        if let Some(identity) = BootIdentity::load(state)? {
            #[cfg(feature = "ssm")]
            if identity.is_of_another(&Hardware::read()) {
                log::warn!("{} is another device's; this one makes its own id", identity.agentsn);
                let BootIdentity { servers, ca_file, .. } = identity;
                let identity = BootIdentity { servers, ca_file, ..BootIdentity::generate()? };
                identity.save(state)?;
                return Ok(identity);
            }
            return Ok(identity);
        }
        let identity = BootIdentity::generate()?;
        durable::make_folder(folder(state))?;
        identity.save(state)?;
        Ok(identity)
    }

    /// Whether no server has taken it in, and another device than this one has made it.
    #[cfg(feature = "ssm")]
    fn is_of_another(&self, device: &Hardware) -> bool {
        !self.registered && !self.settled && device.is_another_than(&self.hardware)
    }

    fn generate() -> Result<BootIdentity, IdentityError> {
        let key = KeyPair::generate(KeyType::Ed25519);
        Ok(BootIdentity {
            agentsn: random::uuid().map_err(|error| IdentityError::Random(error.to_string()))?,
            key: key.map_err(|error| IdentityError::Random(error.to_string()))?,
            registered: false,
            settled: false,
            node_id: String::new(),
            tags: String::new(),
            pins: Vec::new(),
            servers: String::new(),
            ca_file: None,
            pushed: String::new(),
            step: None,
            #[cfg(feature = "ssm")]
            hardware: Hardware::read().as_str().to_owned(),
        })
    }

    /// Replaces the file; durable when it returns.
    ///
    /// # Errors
    /// It can't be written; the old one is still there.
    pub fn save(&self, state: &Path) -> Result<(), FileError> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        // A key that was made or read can be written.
        let key = self.key.to_stored().unwrap_or_default();
        let pins: Vec<String> = self.pins.iter().map(|pin| quote(&sign::key_text(pin))).collect();
        let out = ObjectWriter::new()
            .string("agentsn", &self.agentsn)
            .string("privateKey", &key)
            .raw("registered", &self.registered.to_string())
            .raw("settled", &self.settled.to_string())
            .raw("serverKeys", &format!("[{}]", pins.join(",")))
            .optional("nodeId", text(&self.node_id).as_deref())
            .optional("tags", text(&self.tags).as_deref())
            .optional("servers", text(&self.servers).as_deref())
            .optional("caFile", self.ca_file.as_ref().and_then(|path| path.to_str()))
            .optional("svrlist", text(&self.pushed).as_deref());
        #[cfg(feature = "ssm")]
        let out = out.optional("hardware", text(&self.hardware).as_deref());
        let out = match self.step {
            Some(step) => out.raw("step", &step.to_string()),
            None => out,
        };
        durable::write(&folder(state).join(FILE), Zeroizing::new(out.finish()).as_bytes())
    }

    /// The public half of the key.
    pub fn public_key(&self) -> Option<[u8; 32]> {
        parse_ed25519_public_key(&self.key.public().ok()?)
    }
}

fn read(mut node: Node) -> Option<BootIdentity> {
    let mut key = Zeroizing::default();
    if let Value::Object(members) = &mut node.value {
        for (name, value) in members {
            if let ("privateKey", Value::String(text)) = (name.as_str(), &mut value.value) {
                key = Zeroizing::new(std::mem::take(text));
            }
        }
    }
    let text = |name: &str| node.get(name).and_then(Node::as_str).unwrap_or_default().to_owned();
    let truth = |name: &str| node.get(name).and_then(Node::as_bool).unwrap_or_default();
    let pins = node.get("serverKeys")?.elements()?.iter();
    Some(BootIdentity {
        agentsn: Some(text("agentsn")).filter(|id| is_agentsn(id))?,
        key: KeyPair::from_stored(KeyType::Ed25519, &key).ok()?,
        registered: truth("registered"),
        settled: truth("settled"),
        node_id: text("nodeId"),
        tags: text("tags"),
        pins: pins.filter_map(|pin| sign::parse_key(pin.as_str()?)).collect(),
        servers: text("servers"),
        ca_file: Some(text("caFile")).filter(|path| !path.is_empty()).map(PathBuf::from),
        pushed: text("svrlist"),
        step: node.get("step").and_then(Node::as_u64),
        #[cfg(feature = "ssm")]
        hardware: text("hardware"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_identity_comes_back_whole_and_is_private() {
        let folder = Folder::new();
        let state = folder.path().join("state");
        let mut made = BootIdentity::load_or_make(&state).unwrap();
        made.registered = true;
        made.node_id = "mi-1".into();
        made.tags = "a=b,c".into();
        made.pins = vec![[7; 32], [8; 32]];
        made.servers = "https://hub".into();
        made.ca_file = Some("/ca.pem".into());
        made.pushed = "http://10.0.0.1:1".into();
        made.step = Some(60);
        made.save(&state).unwrap();
        let read = BootIdentity::load_or_make(&state).unwrap();
        assert_eq!(read.agentsn, made.agentsn);
        assert_eq!(read.public_key(), made.public_key());
        assert!(read.registered && !read.settled);
        assert_eq!((read.node_id, read.tags), (made.node_id, made.tags));
        assert_eq!((read.pins, read.servers), (made.pins, made.servers));
        assert_eq!((read.ca_file, read.pushed, read.step), (made.ca_file, made.pushed, made.step));
        let mode = fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[cfg(feature = "ssm")]
    #[test]
    fn a_device_from_a_captured_image_makes_its_own_id_unless_a_server_has_taken_that_one_in() {
        let folder = Folder::new();
        let mut made = BootIdentity::load_or_make(folder.path()).unwrap();
        assert_eq!(made.hardware, Hardware::read().as_str());
        assert!(!made.is_of_another(&Hardware::read()));
        // Serial numbers tell the two apart, where a device has one.
        made.hardware = "serial=a network=a".to_owned();
        let other = Hardware::of("serial=b network=b");
        assert!(made.is_of_another(&other));
        (made.registered, made.settled) = (true, false);
        assert!(!made.is_of_another(&other));
        (made.registered, made.settled) = (false, true);
        assert!(!made.is_of_another(&other));
        // As every test machine has one of the two, if only in part.
        let here = Hardware::read();
        let copied = here.as_str().replace("serial=", "serial=x").replace("network=", "network=x");
        (made.settled, made.hardware, made.servers) = (false, copied.clone(), "http://hub".into());
        made.save(folder.path()).unwrap();
        let own = BootIdentity::load_or_make(folder.path()).unwrap();
        assert_eq!(own.agentsn != made.agentsn, here.is_another_than(&copied));
        assert_eq!(own.public_key() != made.public_key(), here.is_another_than(&copied));
        assert_eq!(own.servers, "http://hub");
        let again = BootIdentity::load_or_make(folder.path()).unwrap();
        assert_eq!(again.agentsn, own.agentsn);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_another_identity_is_made() {
        let folder = Folder::new();
        let first = BootIdentity::load_or_make(folder.path()).unwrap().agentsn;
        for damage in ["", "{", "{\"agentsn\":\"x\"}"] {
            fs::write(folder.path().join(FILE), damage).unwrap();
            let next = BootIdentity::load_or_make(folder.path()).unwrap().agentsn;
            assert_ne!(first, next, "{damage}");
            assert_eq!(fs::read_to_string(folder.path().join(DAMAGED)).unwrap(), damage);
        }
    }
}
