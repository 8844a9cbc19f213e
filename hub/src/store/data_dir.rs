//! The one directory that holds everything a hub must not lose.

use crate::error::StartError;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The database.
pub const DATABASE: &str = "hub.db";
/// 32 bytes under which secrets in the database are sealed.
pub const MASTER_KEY: &str = "master-key";
/// The first operator's key, for `AWS_SHARED_CREDENTIALS_FILE`.
pub const OPERATOR_CREDENTIALS: &str = "operator-credentials";
/// Held by the hub that serves from the directory; tells its process id.
const LOCK: &str = "hub.lock";

/// An existing, private data directory.
#[derive(Clone)]
pub struct DataDir(PathBuf);

/// Proof that no other hub serves from the same directory, as long as it lives.
pub struct ServingLock {
    _file: File,
}

impl DataDir {
    /// Opens the directory, creating it with mode 0700.
    ///
    /// # Errors
    /// When it can't be created, or is no directory.
    pub fn open(path: &Path) -> Result<DataDir, StartError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
            StartError::new(
                format!("can't create the data directory {}: {e}", path.display()),
                "name one with --data that this user may write",
            )
        })?;
        let path = fs::canonicalize(path).map_err(|e| not_writable(path, &e))?;
        Ok(DataDir(path))
    }

    /// Opens the directory of a hub that has served before, and makes nothing: a mistyped name must not become
    /// a new hub.
    ///
    /// # Errors
    /// When there is no hub in it, or this user may not see it.
    pub fn existing(path: &Path) -> Result<DataDir, StartError> {
        let found = fs::metadata(path.join(DATABASE)).and_then(|_| fs::canonicalize(path));
        found.map(DataDir).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => StartError::new(
                format!("there is no hub in {}", path.display()),
                "name its data directory with --data; `stint-hub serve` makes a new one",
            ),
            _ => StartError::new(
                format!("can't read the data directory {}: {e}", path.display()),
                "do it as the user who runs the hub",
            ),
        })
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes the directory for one serving hub. The lock ends with the process, however it ends.
    ///
    /// # Errors
    /// When another hub has it, or the directory can't be written.
    pub fn lock(&self) -> Result<ServingLock, StartError> {
        let path = self.file(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| not_writable(&self.0, &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                return Err(StartError::new(
                    format!(
                        "another hub (process {}) serves from {}",
                        owner.trim(),
                        self.0.display()
                    ),
                    "stop it first, or name another directory with --data",
                ));
            }
            Err(TryLockError::Error(e)) => return Err(not_writable(&self.0, &e)),
        }
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|e| not_writable(&self.0, &e))?;
        Ok(ServingLock { _file: file })
    }
}

fn not_writable(path: &Path, error: &std::io::Error) -> StartError {
    StartError::new(
        format!("can't write to the data directory {}: {error}", path.display()),
        "give it to the user who runs the hub, or name another with --data",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_serves_one_hub_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let dir = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let lock = dir.lock().unwrap();
        let refused = DataDir::open(&path).unwrap().lock().err().unwrap().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        assert!(dir.lock().is_ok());
    }

    #[test]
    fn a_name_without_a_hub_is_refused_and_nothing_is_made() {
        let outer = tempfile::tempdir().unwrap();
        let (typo, file) = (outer.path().join("typo"), outer.path().join("file"));
        fs::write(&file, "").unwrap();
        for path in [&typo, &typo.join("deep"), &file, &outer.path().to_path_buf()] {
            let error = DataDir::existing(path).err().unwrap().to_string();
            assert!(
                error.starts_with(&format!("there is no hub in {}", path.display())),
                "{error}"
            );
        }
        assert!(!typo.exists());
        let hub = outer.path().join("hub");
        DataDir::open(&hub).unwrap();
        assert!(DataDir::existing(&hub).is_err());
        fs::write(hub.join(DATABASE), "").unwrap();
        assert!(DataDir::existing(&hub).is_ok());
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDir::open(&path).err().unwrap().to_string();
        assert!(error.contains("file") && error.contains("--data"), "{error}");
    }
}
