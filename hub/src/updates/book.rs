//! A manifest in the making: a folder with the manifest, its signatures, and the programs of each
//! version. What it holds that nobody here knows stays as it is.

use super::key::ReleaseKey;
use crate::error::StartError;
use crate::store::files;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use stint_wire::manifest::{
    DEFAULT_URI, FILE, MAX_REVOKED, PACKAGE, SIGNATURE_SUFFIX, Status, Version,
};
use stint_wire::text;

/// The folder of a release.
pub struct Book {
    folder: PathBuf,
    manifest: Map<String, Value>,
}

impl Book {
    /// Opens the folder; one without a manifest gets an empty one with the first change.
    ///
    /// # Errors
    /// The manifest is there and can't be read.
    pub fn open(folder: &Path) -> Result<Book, StartError> {
        let path = folder.join(FILE);
        let failed = |why: String| {
            StartError::new(
                format!("{} can't be read: {why}", path.display()),
                "repair it, or begin anew in another folder",
            )
        };
        let manifest = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| failed(e.to_string()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Map::new(),
            Err(e) => return Err(failed(e.to_string())),
        };
        Ok(Book { folder: folder.to_owned(), manifest })
    }

    /// Adds a version of the file called `name`, which is copied from `source`.
    ///
    /// # Errors
    /// The version or the name can't be one, the version is there already with other bytes, or a
    /// file can't be read or written.
    pub fn add(
        &mut self,
        version: &str,
        status: Status,
        name: &str,
        source: &Path,
    ) -> Result<(), StartError> {
        if Version::parse(version).is_none() {
            return Err(StartError::new(
                format!("'{version}' is no version"),
                "write up to four numbers with dots",
            ));
        }
        if !is_name(name) {
            return Err(StartError::new(
                format!("'{name}' can't be the name of a file in a manifest"),
                "use letters, digits, '-', '_' and '.', as in stint-generic-x86_64-unknown-linux-musl",
            ));
        }
        let base = self.folder.clone();
        let failed = |e: std::io::Error| {
            StartError::new(
                format!("can't copy {} to {}: {e}", source.display(), base.display()),
                "check that the one can be read and the other be written",
            )
        };
        let bytes = fs::read(source).map_err(failed)?;
        let folder = base.join(version);
        let entry = json!({
            "Version": version,
            "CheckSum": text::hex(&Sha256::digest(&bytes)),
            "Size": bytes.len(),
            "Status": status.as_str(),
        });
        let versions = self.versions(name)?;
        let same = |old: &Value| old.get("Version").and_then(Value::as_str) == Some(version);
        let known = versions.iter().find(|old| same(old)).cloned();
        // A device may have it already; two programs of one version are a riddle.
        if known.as_ref().is_some_and(|old| old.get("CheckSum") != entry.get("CheckSum")) {
            return Err(StartError::new(
                format!("version {version} of {name} is in the manifest with other bytes"),
                "give the new one a version of its own",
            ));
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        files::replace(&folder.join(name), &bytes, 0o755).map_err(failed)?;
        if known.is_none() {
            self.versions(name)?.push(entry);
        }
        Ok(())
    }

    /// Changes what is to be done with a version, in all its files.
    ///
    /// # Errors
    /// There is no such version.
    pub fn mark(&mut self, version: &str, status: Status) -> Result<(), StartError> {
        let mut found = false;
        let wanted = Version::parse(version);
        for entry in entries(&mut self.manifest) {
            let own = entry.get("Version").and_then(Value::as_str).and_then(Version::parse);
            if own == wanted && own.is_some() {
                found = true;
                if let Some(entry) = entry.as_object_mut() {
                    entry.insert("Status".to_owned(), json!(status.as_str()));
                }
            }
        }
        match found {
            true => Ok(()),
            false => Err(StartError::new(
                format!("the manifest has no version {version}"),
                "see those it has in manifest.json",
            )),
        }
    }

    /// Names a key that is good as well from now on.
    ///
    /// # Errors
    /// The manifest revokes it, or its list of them is none.
    pub fn announce(&mut self, key: &str) -> Result<(), StartError> {
        if self.keys("RevokedKeys")?.iter().any(|revoked| revoked == key) {
            return Err(StartError::new(
                format!("the manifest revokes {key}, and no device believes that key any more"),
                "announce another one",
            ));
        }
        let keys = self.keys("NextKeys")?;
        if !keys.iter().any(|known| known == key) {
            keys.push(json!(key));
        }
        Ok(())
    }

    /// Names a key that is never good again.
    ///
    /// # Errors
    /// The manifest revokes as many as devices remember, or its list of them is none.
    pub fn revoke(&mut self, key: &str) -> Result<(), StartError> {
        self.keys("NextKeys")?.retain(|next| next != key);
        let keys = self.keys("RevokedKeys")?;
        if keys.iter().any(|known| known == key) {
            return Ok(());
        }
        if keys.len() >= MAX_REVOKED {
            return Err(StartError::new(
                format!("the manifest revokes {MAX_REVOKED} keys, and devices remember no more"),
                "put a new key into new images, and flash the devices that believe this one",
            ));
        }
        keys.push(json!(key));
        Ok(())
    }

    fn keys(&mut self, member: &str) -> Result<&mut Vec<Value>, StartError> {
        let keys = self.manifest.entry(member).or_insert_with(|| json!([]));
        keys.as_array_mut().ok_or_else(|| damaged(member))
    }

    /// Writes the manifest with the next serial number, and its signatures.
    ///
    /// # Errors
    /// One of the keys is revoked, or a file can't be written.
    pub fn save(&mut self, keys: &[ReleaseKey]) -> Result<(), StartError> {
        let revoked = self.manifest.get("RevokedKeys").and_then(Value::as_array);
        for key in keys.iter().map(ReleaseKey::public) {
            if revoked.is_some_and(|revoked| revoked.iter().any(|one| *one == key)) {
                return Err(StartError::new(
                    format!("the manifest revokes {key}, and no device believes that key any more"),
                    "sign with the one that follows it",
                ));
            }
        }
        self.begin();
        let serial = self.manifest.get("Serial").and_then(Value::as_u64).unwrap_or_default() + 1;
        self.manifest.insert("Serial".to_owned(), json!(serial));
        let failed = |e: std::io::Error| {
            StartError::new(
                format!("can't write to {}: {e}", self.folder.display()),
                "check that this user may write there and that there is room",
            )
        };
        let mut bytes = serde_json::to_vec_pretty(&self.manifest)
            .map_err(|e| StartError::new(format!("the manifest: {e}"), "begin anew"))?;
        bytes.push(b'\n');
        let lines: String = keys.iter().map(|key| key.sign(&bytes)).collect();
        fs::create_dir_all(&self.folder).map_err(failed)?;
        files::replace(&self.folder.join(FILE), &bytes, 0o644).map_err(failed)?;
        let signatures = format!("{FILE}{SIGNATURE_SUFFIX}");
        files::replace(&self.folder.join(signatures), lines.as_bytes(), 0o644).map_err(failed)
    }

    fn begin(&mut self) {
        let mut default = |name: &str, value: Value| {
            self.manifest.entry(name).or_insert(value);
        };
        default("SchemaVersion", json!("1.0"));
        default("Serial", json!(0));
        default("UriFormat", json!(DEFAULT_URI));
        default("Packages", json!([{"Name": PACKAGE, "Files": []}]));
    }

    fn versions(&mut self, name: &str) -> Result<&mut Vec<Value>, StartError> {
        self.begin();
        let packages = self.manifest.get_mut("Packages").and_then(Value::as_array_mut);
        let is_ours = |package: &&mut Value| package.get("Name").is_none_or(|name| name == PACKAGE);
        let package = packages.and_then(|packages| packages.iter_mut().find(is_ours));
        let files = package.and_then(|package| package.get_mut("Files"));
        let files =
            files.and_then(Value::as_array_mut).ok_or_else(|| damaged("Packages[].Files"))?;
        let at = files.iter().position(|file| file.get("Name").is_some_and(|own| own == name));
        let at = at.unwrap_or_else(|| {
            files.push(json!({"Name": name, "AvailableVersions": []}));
            files.len() - 1
        });
        let versions = files.get_mut(at).and_then(|file| file.get_mut("AvailableVersions"));
        versions.and_then(Value::as_array_mut).ok_or_else(|| damaged("AvailableVersions"))
    }
}

/// Whether this can be a part of a path below `/updates/`.
pub fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(good)
}

/// The versions of all files.
fn entries(manifest: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    fn list(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
        value.and_then(Value::as_array_mut).into_iter().flatten()
    }
    list(manifest.get_mut("Packages"))
        .flat_map(|package| list(package.get_mut("Files")))
        .flat_map(|file| list(file.get_mut("AvailableVersions")))
}

fn damaged(member: &str) -> StartError {
    StartError::new(
        format!("the manifest's {member} isn't a list"),
        "repair it, or begin anew in another folder",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::manifest::Manifest;

    #[test]
    fn what_the_book_writes_the_agents_read() {
        let dir = tempfile::tempdir().unwrap();
        let key = ReleaseKey::create(&dir.path().join("key")).unwrap();
        let program = dir.path().join("program");
        let folder = dir.path().join("release");
        let name = "stint-generic-x";
        let change = |change: &dyn Fn(&mut Book) -> Result<(), StartError>| {
            let mut book = Book::open(&folder)?;
            change(&mut book)?;
            book.save(std::slice::from_ref(&key))
        };
        fs::write(&program, "one").unwrap();
        change(&|book| book.add("0.1.0", Status::Active, name, &program)).unwrap();
        fs::write(&program, "two").unwrap();
        change(&|book| book.add("0.2.0", Status::Active, name, &program)).unwrap();
        let other = change(&|book| book.add("0.1.0", Status::Active, name, &program));
        assert!(other.unwrap_err().to_string().contains("other bytes"));
        // What devices may be fetching is as it was.
        assert_eq!(fs::read(folder.join("0.1.0").join(name)).unwrap(), b"one");
        change(&|book| {
            book.announce(&key.public())?;
            book.mark("0.1", Status::Deprecated)
        })
        .unwrap();
        assert!(change(&|book| book.mark("9", Status::Active)).is_err());
        assert!(change(&|book| book.add("0.3", Status::Active, "../x", &program)).is_err());
        assert!(change(&|book| book.add("x", Status::Active, name, &program)).is_err());

        let text = fs::read_to_string(folder.join(FILE)).unwrap();
        let manifest = Manifest::parse(&text, name).unwrap();
        assert_eq!((manifest.serial, manifest.next_keys.len()), (3, 1));
        let seen: Vec<_> = manifest.releases.iter().map(|r| (r.name.as_str(), r.status)).collect();
        assert_eq!(seen, [("0.1.0", Status::Deprecated), ("0.2.0", Status::Active)]);
        assert_eq!(manifest.releases[1].sha256, text::sha256_hex(b"two"));
        assert_eq!(manifest.releases[1].size, Some(3));
        assert_eq!(fs::read(folder.join("0.2.0").join(name)).unwrap(), b"two");
        let signed = fs::read_to_string(folder.join("manifest.json.sig")).unwrap();
        assert_eq!(signed, key.sign(text.as_bytes()));

        // A key that is revoked signs nothing more, and is announced no more.
        let next = ReleaseKey::create(&dir.path().join("next")).unwrap();
        let mut book = Book::open(&folder).unwrap();
        book.revoke(&key.public()).unwrap();
        let refused = book.save(std::slice::from_ref(&key)).unwrap_err().to_string();
        assert!(refused.contains(&format!("revokes {}", key.public())), "{refused}");
        book.save(&[next]).unwrap();
        let text = fs::read_to_string(folder.join(FILE)).unwrap();
        let manifest = Manifest::parse(&text, name).unwrap();
        assert_eq!((manifest.next_keys.len(), manifest.revoked_keys.len()), (0, 1));
        let refused = book.announce(&key.public()).unwrap_err().to_string();
        assert!(refused.contains(&format!("revokes {}", key.public())), "{refused}");
        // Devices pass over what they can't remember.
        for number in 1..MAX_REVOKED {
            book.revoke(&format!("key {number}")).unwrap();
        }
        book.revoke("key 1").unwrap();
        assert!(book.revoke("one more").unwrap_err().to_string().contains("32 keys"));
    }
}
