//! The attachment store: an index in the database, and one file for each content in the data
//! directory.

use super::Attachment;
use crate::error::{ApiError, ApiResult, StartError};
use crate::store::Store;
use crate::store::data_dir::DataDir;
use sha2::{Digest, Sha256};
use sqlx::{Any, FromRow, Transaction};
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use stint_wire::text::hex;
use stint_wire::time::Utc;

/// The folder of the files, in the data directory.
const FOLDER: &str = "attachments";

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// How long a content that nothing names is left in place: it may be about to be named.
const SPARED: Duration = Duration::from_secs(3600);

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
    let failed = |e: io::Error| {
        StartError::new(
            format!("can't copy {} to the attachment store: {e}", source.display()),
            "check that the file can be read and that the data directory has room",
        )
    };
    let (temporary, hash, size) = copy(dir, source).map_err(failed)?;
    // Index and file change while the database is locked, so that a sweep sees both or neither.
    let mut tx = store.begin().await.map_err(database)?;
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
    .execute(&mut *tx)
    .await
    .map_err(database)?;
    keep(dir, &temporary, &stored.hash).map_err(failed)?;
    tx.commit().await.map_err(database)?;
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

/// Takes a file out of the store. Its content goes too, unless a document or another path has it;
/// where a link may still lead to it, it goes with a later sweep.
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
    let used = is_used(&mut tx, &hash).await.map_err(database)?;
    tx.commit().await.map_err(database)?;
    if !used {
        fs::remove_file(blob(dir, &hash)).map_err(|e| {
            StartError::new(format!("can't remove the content of {path}: {e}"), "see the cause")
        })?;
    }
    Ok(())
}

/// Whether anything names the content with this hash, or a link to it was given out.
///
/// # Errors
/// Those of the database.
async fn is_used(tx: &mut Transaction<'static, Any>, hash: &str) -> Result<bool, sqlx::Error> {
    let users: i64 = sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM attachment WHERE hash = $1)
           + (SELECT COUNT(*) FROM package WHERE hash = $1)
           + (SELECT COUNT(*) FROM promised_content WHERE hash = $1)
           + (SELECT COUNT(*) FROM document_version WHERE attachments LIKE $2)",
    )
    .bind(hash)
    .bind(format!("%{hash}%"))
    .fetch_one(&mut **tx)
    .await?;
    Ok(users > 0)
}

/// Removes contents that neither a path, a package nor a document names any more, and copies that
/// were never finished, when they are older than [`SPARED`]. What a link or an unfinished job
/// leads to stays. Answers how many went.
///
/// # Errors
/// Those of the file system and the database.
pub async fn sweep(store: &Store, dir: &DataDir, now: SystemTime) -> ApiResult<usize> {
    let folder = dir.file(FOLDER);
    if !folder.exists() {
        return Ok(0);
    }
    let mut tx = store.begin().await?;
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let paths: Vec<String> = sqlx::query_scalar(
        "SELECT hash FROM attachment UNION SELECT hash FROM package
         UNION SELECT hash FROM promised_content WHERE until > $1
         UNION SELECT j.hash FROM boot_job j JOIN invocation i
           ON i.command_id = j.command_id AND i.node_id = j.node_id
         WHERE j.hash <> '' AND i.finished_at IS NULL",
    )
    .bind(i64::try_from(millis).unwrap_or(i64::MAX))
    .fetch_all(&mut *tx)
    .await?;
    let mut named: HashSet<String> = paths.into_iter().collect();
    let versions: Vec<String> =
        sqlx::query_scalar("SELECT attachments FROM document_version WHERE attachments <> '[]'")
            .fetch_all(&mut *tx)
            .await?;
    for version in versions {
        let taken: Vec<Attachment> = serde_json::from_str(&version).map_err(ApiError::internal)?;
        named.extend(taken.into_iter().map(|attachment| attachment.hash));
    }
    let mut gone = 0_usize;
    for entry in fs::read_dir(&folder).map_err(ApiError::internal)? {
        let entry = entry.map_err(ApiError::internal)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if named.contains(&name) || !is_ours(&name) {
            continue;
        }
        // A copy may have been finished or given up in between: then there is nothing to do.
        let Ok(changed) = entry.metadata().and_then(|m| m.modified()) else { continue };
        if now.duration_since(changed).is_ok_and(|age| age > SPARED) {
            fs::remove_file(entry.path()).map_err(ApiError::internal)?;
            gone += 1;
        }
    }
    tx.rollback().await?;
    Ok(gone)
}

/// Whether the store itself gives files such a name; another's are left alone.
fn is_ours(name: &str) -> bool {
    let hash = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
    hash || (name.starts_with('.') && name.ends_with(".tmp"))
}

/// What the model allows as the name of an attachment.
fn is_name(part: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (3..=128).contains(&part.len()) && part.bytes().all(good)
}

/// Copies a file of any size into the store's folder, under a name for the time being. Answers the
/// path of the copy, the hash and the size.
///
/// # Errors
/// Those of the file system.
pub fn copy(dir: &DataDir, source: &Path) -> io::Result<(PathBuf, String, i64)> {
    let folder = dir.file(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let temporary = folder.join(format!(".{}.tmp", std::process::id()));
    let _ = fs::remove_file(&temporary);
    match write(source, &temporary) {
        Ok((hash, size)) => Ok((temporary, hash, size)),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Gives a copy the name of its hash; durable when this returns. To be done while the database is
/// locked, so that a sweep sees the content and its name, or neither.
///
/// # Errors
/// Those of the file system.
pub fn keep(dir: &DataDir, temporary: &Path, hash: &str) -> io::Result<()> {
    fs::rename(temporary, blob(dir, hash))?;
    File::open(dir.file(FOLDER))?.sync_all()
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
    async fn contents_that_nothing_names_any_more_go_after_an_hour() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let now = SystemTime::now();
        assert_eq!(sweep(&store, &dir, now).await.unwrap(), 0);
        let source = outer.path().join("tool.zip");
        let mut contents = Vec::new();
        for text in ["taken", "replaced", "current"] {
            fs::write(&source, text).unwrap();
            contents.push(put(&store, &dir, "tools", &source, Utc(1)).await.unwrap());
        }
        let taken = Attachment { name: "tool.zip".into(), hash: contents[0].hash.clone(), size: 5 };
        for statement in [
            "INSERT INTO document (name, document_type, default_version, last_version, created_at)
             VALUES ('doc', 'Command', 1, 1, 0)",
            "INSERT INTO document_version (name, version, document_format, content, hash,
               platforms, requires, attachments, created_at)
             VALUES ('doc', 1, 'JSON', '{}', 'x', '[]', '[]', $1, 0)",
        ] {
            let query = sqlx::query(statement);
            let query = match statement.contains("$1") {
                true => query.bind(serde_json::to_string(&[&taken]).unwrap()),
                false => query,
            };
            query.execute(&store.write).await.unwrap();
        }
        let folder = dir.file(FOLDER);
        for name in [".1.tmp", "README"] {
            fs::write(folder.join(name), "x").unwrap();
        }
        let there = || contents.iter().map(|c| blob(&dir, &c.hash).exists()).collect::<Vec<_>>();
        let minutes = |n: u64| now + Duration::from_secs(60 * n);
        assert_eq!(sweep(&store, &dir, minutes(59)).await.unwrap(), 0);
        assert_eq!(there(), [true, true, true]);
        assert_eq!(sweep(&store, &dir, minutes(62)).await.unwrap(), 2);
        assert_eq!(there(), [true, false, true]);
        assert!(!folder.join(".1.tmp").exists() && folder.join("README").exists());
        let gone = "DELETE FROM document_version";
        sqlx::query(gone).execute(&store.write).await.unwrap();
        assert_eq!(sweep(&store, &dir, minutes(62)).await.unwrap(), 1);
        assert_eq!(there(), [false, false, true]);
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
