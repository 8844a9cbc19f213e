//! The attachment store: an index in the database, and one file for each content in the data
//! directory.

use crate::error::StartError;
use crate::store::Store;
use crate::store::data_dir::DataDir;
use sha2::{Digest, Sha256};
use sqlx::FromRow;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use stint_wire::text::hex;
use stint_wire::time::Utc;

/// The folder of the files, in the data directory.
const FOLDER: &str = "attachments";

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// A file of the store.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Stored {
    /// `FOLDER/FILE`
    pub path: String,
    /// SHA-256 in hexadecimal digits.
    pub hash: String,
    /// Bytes.
    pub size: i64,
}

/// Where the content with this hash is kept.
pub fn blob(dir: &DataDir, hash: &str) -> PathBuf {
    dir.file(FOLDER).join(hash)
}

/// Copies a file into the store, as `folder/name`. What was there under that name is replaced in
/// the index; documents that took it keep it.
///
/// # Errors
/// For a folder or name that a document could not refer to, and those of the file system and the
/// database.
pub async fn put(
    store: &Store,
    dir: &DataDir,
    folder: &str,
    source: &Path,
    now: Utc,
) -> Result<Stored, StartError> {
    let name = source.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    for part in folder.split('/').chain([name]) {
        if !is_name(part) {
            return Err(StartError::new(
                format!("'{part}' can't be a folder or file of the attachment store"),
                "name it with 3 to 128 letters, digits, '_', '-' and '.'",
            ));
        }
    }
    let copied = copy(dir, source).map_err(|e| {
        StartError::new(
            format!("can't copy {} to the attachment store: {e}", source.display()),
            "check that the file can be read and that the data directory has room",
        )
    });
    let (hash, size) = copied?;
    let stored = Stored { path: format!("{folder}/{name}"), hash, size };
    sqlx::query(
        "INSERT INTO attachment (path, hash, size, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (path) DO UPDATE SET hash = excluded.hash, size = excluded.size,
           created_at = excluded.created_at",
    )
    .bind(&stored.path)
    .bind(&stored.hash)
    .bind(stored.size)
    .bind(now.0 as i64)
    .execute(&store.write)
    .await
    .map_err(database)?;
    Ok(stored)
}

/// Every file of the store, by path.
///
/// # Errors
/// Those of the database.
pub async fn list(store: &Store) -> Result<Vec<Stored>, StartError> {
    sqlx::query_as("SELECT path, hash, size FROM attachment ORDER BY path")
        .fetch_all(&store.read)
        .await
        .map_err(database)
}

/// Takes a file out of the store. Its content goes too, unless a document or another path has it.
///
/// # Errors
/// When there is no such file, and those of the file system and the database.
pub async fn delete(store: &Store, dir: &DataDir, path: &str) -> Result<(), StartError> {
    let mut tx = store.begin().await.map_err(database)?;
    let hash: Option<String> = sqlx::query_scalar("SELECT hash FROM attachment WHERE path = $1")
        .bind(path)
        .fetch_optional(&mut *tx)
        .await
        .map_err(database)?;
    let Some(hash) = hash else {
        return Err(StartError::new(
            format!("there is no attachment {path}"),
            "`stint-hub attachment list` shows those there are",
        ));
    };
    sqlx::query("DELETE FROM attachment WHERE path = $1")
        .bind(path)
        .execute(&mut *tx)
        .await
        .map_err(database)?;
    let users: i64 = sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM attachment WHERE hash = $1)
           + (SELECT COUNT(*) FROM document_version WHERE attachments LIKE $2)",
    )
    .bind(&hash)
    .bind(format!("%{hash}%"))
    .fetch_one(&mut *tx)
    .await
    .map_err(database)?;
    tx.commit().await.map_err(database)?;
    if users == 0 {
        fs::remove_file(blob(dir, &hash)).map_err(|e| {
            StartError::new(format!("can't remove the content of {path}: {e}"), "see the cause")
        })?;
    }
    Ok(())
}

/// What the model allows as the name of an attachment.
fn is_name(part: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (3..=128).contains(&part.len()) && part.bytes().all(good)
}

/// Copies a file of any size under the name of its hash; durable when this returns.
fn copy(dir: &DataDir, source: &Path) -> io::Result<(String, i64)> {
    let folder = dir.file(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let temporary = folder.join(format!(".{}.tmp", std::process::id()));
    let _ = fs::remove_file(&temporary);
    let copied = write(source, &temporary).and_then(|(hash, size)| {
        fs::rename(&temporary, folder.join(&hash))?;
        File::open(&folder)?.sync_all()?;
        Ok((hash, size))
    });
    if copied.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    copied
}

fn write(source: &Path, target: &Path) -> io::Result<(String, i64)> {
    let mut from = File::open(source)?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    let (mut digest, mut size) = (Sha256::new(), 0_i64);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk)?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        digest.update(bytes);
        to.write_all(bytes)?;
        size = size.saturating_add(read as i64);
    }
    to.sync_all()?;
    Ok((hex(&digest.finalize()), size))
}

fn database(error: sqlx::Error) -> StartError {
    StartError::new(format!("the attachment store can't be used: {error}"), "see the cause")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite;

    #[tokio::test]
    async fn a_file_is_stored_under_its_hash_and_goes_with_its_last_user() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let source = outer.path().join("tool.zip");
        fs::write(&source, "abc").unwrap();
        let stored = put(&store, &dir, "tools/v1.0", &source, Utc(1)).await.unwrap();
        assert_eq!(stored.path, "tools/v1.0/tool.zip");
        assert_eq!(stored.hash, stint_wire::text::sha256_hex(b"abc"));
        assert_eq!(stored.size, 3);
        assert_eq!(fs::read(blob(&dir, &stored.hash)).unwrap(), b"abc");
        put(&store, &dir, "tools/v1.1", &source, Utc(2)).await.unwrap();
        assert_eq!(list(&store).await.unwrap().len(), 2);

        delete(&store, &dir, "tools/v1.0/tool.zip").await.unwrap();
        assert!(blob(&dir, &stored.hash).exists());
        delete(&store, &dir, "tools/v1.1/tool.zip").await.unwrap();
        assert!(!blob(&dir, &stored.hash).exists());
        let again = delete(&store, &dir, "tools/v1.1/tool.zip").await.unwrap_err();
        assert!(again.to_string().contains("there is no attachment"), "{again}");
    }

    #[tokio::test]
    async fn what_no_document_could_name_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let source = outer.path().join("tool.zip");
        fs::write(&source, "abc").unwrap();
        for folder in ["", "..", "a/b/c", "/tools", "tools/", "my tools"] {
            assert!(put(&store, &dir, folder, &source, Utc(1)).await.is_err(), "{folder}");
        }
        let missing = outer.path().join("none.zip");
        let error = put(&store, &dir, "tools", &missing, Utc(1)).await.unwrap_err().to_string();
        assert!(error.contains("none.zip"), "{error}");
        assert!(list(&store).await.unwrap().is_empty());
    }
}
