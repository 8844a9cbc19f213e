//! The release that this hub serves: a copy of a release's folder in the data directory.

use super::book::is_name;
use crate::error::StartError;
use crate::store::data_dir::DataDir;
use crate::store::files;
use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;
use stint_wire::bootagent::sign;
use stint_wire::manifest::{FILE, SIGNATURE_SUFFIX, Status, Version, signatures};
use stint_wire::text;

/// The folder in the data directory.
const FOLDER: &str = "updates";

/// One version of one file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The version, as the manifest spells it.
    pub version: String,
    /// What is to be done with it, as the manifest spells it.
    pub status: String,
    /// The file.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
}

/// Where the hub keeps what is at `/updates/PATH`; `None` if nothing can be there.
pub fn place(dir: &DataDir, path: &str) -> Option<PathBuf> {
    let mut parts = path.split('/');
    let good = parts.clone().all(is_name) && parts.by_ref().count() <= 2;
    good.then(|| dir.file(FOLDER).join(path))
}

/// Copies a release into the data directory: first the programs, then the manifest, so that what a
/// manifest names is always there.
///
/// # Errors
/// The release isn't signed by `key`, a program is missing or not what the manifest says, or a
/// file can't be copied. What is served is as it was then.
pub fn publish(dir: &DataDir, folder: &Path, key: &str) -> Result<Vec<Entry>, StartError> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|e| {
            StartError::new(
                format!("can't read {}: {e}", path.display()),
                "name a folder that `stint-hub release make` has made",
            )
        })
    };
    let signature_file = format!("{FILE}{SIGNATURE_SUFFIX}");
    let (manifest, signed) = (read(FILE)?, read(&signature_file)?);
    if !is_signed(&manifest, &String::from_utf8_lossy(&signed), key) {
        return Err(StartError::new(
            format!("{} isn't signed by {key}", folder.join(FILE).display()),
            "sign it with `stint-hub release make` or `mark`, or name the key that has signed it",
        ));
    }
    let entries = entries(&manifest);
    let failed = |e: std::io::Error| {
        StartError::new(
            format!("can't copy to the data directory: {e}"),
            "check that it has room and belongs to the user who runs the hub",
        )
    };
    for entry in &entries {
        let name = format!("{}/{}", entry.version, entry.file);
        let target = place(dir, &name).ok_or_else(|| {
            StartError::new(
                format!("the manifest names {name}, which can't be a file of the hub"),
                "make it anew with `stint-hub release make`",
            )
        })?;
        let bytes = read(&name)?;
        if text::hex(&Sha256::digest(&bytes)) != entry.sha256 {
            return Err(StartError::new(
                format!("{} has not the checksum in the manifest", folder.join(&name).display()),
                "put the right file there",
            ));
        }
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        files::replace(&target, &bytes, 0o600).map_err(failed)?;
    }
    for (name, bytes) in [(FILE, &manifest), (signature_file.as_str(), &signed)] {
        let target = dir.file(FOLDER).join(name);
        fs::create_dir_all(dir.file(FOLDER)).map_err(failed)?;
        files::replace(&target, bytes, 0o600).map_err(failed)?;
    }
    Ok(entries)
}

/// What the hub serves.
pub fn list(dir: &DataDir) -> Vec<Entry> {
    entries(&fs::read(dir.file(FOLDER).join(FILE)).unwrap_or_default())
}

fn is_signed(manifest: &[u8], signed: &str, key: &str) -> bool {
    let Some(key) = sign::parse_key(key) else { return false };
    let Ok(verifier) = VerifyingKey::from_bytes(&key) else { return false };
    signatures(signed).iter().any(|(id, signature)| {
        let signature = Signature::from_bytes(signature);
        *id == sign::key_id(&key) && verifier.verify_strict(manifest, &signature).is_ok()
    })
}

fn entries(manifest: &[u8]) -> Vec<Entry> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let list = |value: &Value, name: &str| {
        value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let mut entries = Vec::new();
    for package in list(&manifest, "Packages") {
        for file in list(&package, "Files") {
            for version in list(&file, "AvailableVersions") {
                let text = |value: &Value, name: &str| {
                    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                entries.push(Entry {
                    version: text(&version, "Version"),
                    status: text(&version, "Status"),
                    file: text(&file, "Name"),
                    sha256: text(&version, "CheckSum"),
                });
            }
        }
    }
    entries
}

/// The newest version that the hub serves, read again when the manifest has changed.
pub struct Newest {
    path: Option<PathBuf>,
    known: Mutex<(Option<SystemTime>, Option<Version>)>,
}

impl Newest {
    /// Of a data directory; `None`: nothing is served.
    pub fn of(dir: Option<&DataDir>) -> Newest {
        Newest { path: dir.map(|dir| dir.file(FOLDER).join(FILE)), known: Mutex::default() }
    }

    /// The highest active version; `None` if there is none.
    pub fn version(&self) -> Option<Version> {
        let path = self.path.as_ref()?;
        let changed = fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.0 != changed {
            let entries = entries(&fs::read(path).unwrap_or_default());
            let active = entries.iter().filter(|e| e.status == Status::Active.as_str());
            *known = (changed, active.filter_map(|e| Version::parse(&e.version)).max());
        }
        known.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::updates::book::Book;
    use crate::updates::key::ReleaseKey;

    #[test]
    fn only_what_is_whole_and_signed_is_served() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let folder = outer.path().join("release");
        let key = ReleaseKey::create(&outer.path().join("key")).unwrap();
        let other = ReleaseKey::create(&outer.path().join("other")).unwrap();
        let program = outer.path().join("program");
        fs::write(&program, "one").unwrap();
        let mut book = Book::open(&folder).unwrap();
        book.add("0.2.0", Status::Active, "f", &program).unwrap();
        book.add("0.3.0", Status::Inactive, "f", &program).unwrap();
        book.save(std::slice::from_ref(&key)).unwrap();
        let newest = Newest::of(Some(&dir));
        assert!(publish(&dir, &folder, &other.public()).is_err());
        assert_eq!((newest.version(), list(&dir).len()), (None, 0));
        assert_eq!(publish(&dir, &folder, &key.public()).unwrap().len(), 2);
        assert_eq!(newest.version(), Version::parse("0.2"));
        assert_eq!(fs::read(place(&dir, "0.2.0/f").unwrap()).unwrap(), b"one");
        fs::write(folder.join("0.2.0/f"), "two").unwrap();
        let error = publish(&dir, &folder, &key.public()).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        for path in ["", "..", "../hub.db", "a/../../hub.db", "a//b", "/etc/passwd", "a/b/c", ".x"]
        {
            assert_eq!(place(&dir, path), None, "{path}");
        }
        assert!(place(&dir, "manifest.json.sig").is_some() && place(&dir, "0.1/f").is_some());
    }
}
