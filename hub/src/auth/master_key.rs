//! The file with the key under which all other secrets are sealed.

use super::seal::{KEY_LENGTH, Seal};
use crate::error::StartError;
use crate::store::data_dir::{DATABASE, DataDir, MASTER_KEY};
use crate::store::files;
use std::io::ErrorKind;
use zeroize::Zeroizing;

/// Reads the master key, or makes one for a data directory that has no database yet.
///
/// # Errors
/// When the file can't be read or written, has another length, or is missing beside a database
/// whose secrets only it can open.
pub fn load_or_create(dir: &DataDir) -> Result<Seal, StartError> {
    let path = dir.file(MASTER_KEY);
    match std::fs::read(&path).map(Zeroizing::new) {
        Ok(bytes) => parse(&bytes).ok_or_else(|| {
            StartError::new(
                format!(
                    "the master key {} has {} bytes, not {KEY_LENGTH}",
                    path.display(),
                    bytes.len()
                ),
                "restore it from a backup",
            )
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => create(dir),
        Err(e) => Err(StartError::new(
            format!("can't read the master key {}: {e}", path.display()),
            "let the user who runs the hub own it, mode 0600",
        )),
    }
}

fn create(dir: &DataDir) -> Result<Seal, StartError> {
    let path = dir.file(MASTER_KEY);
    if dir.file(DATABASE).exists() {
        return Err(StartError::new(
            format!(
                "the master key {} is missing, and the secrets in {DATABASE} don't open without it",
                path.display()
            ),
            "restore it from a backup",
        ));
    }
    let key = Zeroizing::new(crate::random::bytes::<KEY_LENGTH>()?);
    match files::create(&path, key.as_slice(), 0o600) {
        Ok(()) => Ok(Seal::new(*key)),
        // Another process was quicker; its key is the one.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => load_or_create(dir),
        Err(e) => Err(StartError::new(
            format!("can't write the master key {}: {e}", path.display()),
            "give the data directory to the user who runs the hub, or name another with --data",
        )),
    }
}

fn parse(bytes: &[u8]) -> Option<Seal> {
    <[u8; KEY_LENGTH]>::try_from(bytes).ok().map(Seal::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        let sealed = load_or_create(&dir).unwrap().seal("p", "secret").unwrap();
        assert_eq!(*load_or_create(&dir).unwrap().open("p", &sealed).unwrap(), "secret");
        let mode = std::fs::metadata(dir.file(MASTER_KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_lost_or_cut_key_is_never_replaced() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        std::fs::write(dir.file(DATABASE), "").unwrap();
        let lost = load_or_create(&dir).err().unwrap().to_string();
        assert!(lost.contains("backup"), "{lost}");
        assert!(!dir.file(MASTER_KEY).exists());
        std::fs::write(dir.file(MASTER_KEY), [0; 31]).unwrap();
        let cut = load_or_create(&dir).err().unwrap().to_string();
        assert!(cut.contains("31 bytes"), "{cut}");
    }
}
