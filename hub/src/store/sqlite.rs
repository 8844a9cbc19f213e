//! Opens a SQLite database for one hub.

use super::Store;
use crate::error::StartError;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Connection, Executor};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Readers at the same time. Each costs a thread and up to 2 MB of page cache, and answers in
/// well under a millisecond.
const READERS: u32 = 4;

/// Set on every connection. `FULL` because a command that the hub accepted must survive a power
/// cut; 10 s because `access-key` in another process never holds the lock for longer.
const PRAGMAS: [&str; 4] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 10000",
];

/// Set on the readers' connections in addition, so that a statement that writes can't slip past
/// the single writer.
const READ_ONLY: &str = "PRAGMA query_only = ON";

/// A wait for the single writer that is worth a line in the log. A thousand nodes that reply at
/// once make each other wait for a few seconds, and that is all right.
const SLOW_WRITE: Duration = Duration::from_secs(10);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Opens the database file, creating it (mode 0600) and bringing its tables up to date.
///
/// # Errors
/// When the file can't be made, is no database, or was written by a newer hub.
pub async fn open(path: &Path) -> Result<Store, StartError> {
    sqlx::any::install_default_drivers();
    let place = path.display();
    let unusable = |what: String| {
        StartError::new(
            what,
            "check that its owner is the user who runs the hub, or restore it from a backup",
        )
    };
    let failed = |e: std::io::Error| unusable(format!("can't open the database {place}: {e}"));
    create_private(path).map_err(failed)?;
    let url = url_of(path);
    try_out(&url).await.map_err(|e| unusable(format!("can't open the database {place}: {e}")))?;
    let write = pool(&url, 1, false)
        .await
        .map_err(|e| unusable(format!("can't open the database {place}: {e}")))?;
    migrate(&write, path)
        .await
        .map_err(|e| unusable(format!("can't bring the tables of {place} up to date: {e}")))?;
    let read = pool(&url, READERS, true)
        .await
        .map_err(|e| unusable(format!("can't open the database {place}: {e}")))?;
    Ok(Store { read, write })
}

/// Makes sure that the file exists with mode 0600; SQLite gives its log files the mode of the
/// database. The descriptor must be closed before SQLite opens the file: closing one later would
/// drop the record locks that SQLite holds in this process.
fn create_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// Two processes that start at the same moment must not both create the tables, so the folder is
/// locked meanwhile.
async fn migrate(write: &AnyPool, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let folder = File::open(path.parent().unwrap_or(Path::new(".")))?;
    folder.lock()?;
    Ok(MIGRATIONS.run(write).await?)
}

/// A pool tries again for half a minute where a single connection fails at once and says why.
async fn try_out(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect(url).await?;
    prepare(&mut connection, false).await?;
    connection.close().await
}

async fn prepare(connection: &mut AnyConnection, read_only: bool) -> Result<(), sqlx::Error> {
    for pragma in PRAGMAS {
        connection.execute(pragma).await?;
    }
    if read_only {
        connection.execute(READ_ONLY).await?;
    }
    Ok(())
}

async fn pool(url: &str, size: u32, read_only: bool) -> Result<AnyPool, sqlx::Error> {
    AnyPoolOptions::new()
        .max_connections(size)
        .acquire_slow_threshold(SLOW_WRITE)
        // A file goes nowhere, and to ask costs as many changes of threads as a statement does.
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(prepare(connection, read_only)))
        .connect(url)
        .await
}

/// A path may hold what a URL gives a meaning.
fn url_of(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut url = "sqlite://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                url.push(char::from(*byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row;

    async fn store() -> (Store, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (open(&dir.path().join("odd name?%.db")).await.unwrap(), dir)
    }

    #[tokio::test]
    async fn the_pragmas_hold_on_every_connection() {
        let (store, _dir) = store().await;
        let mut connections = Vec::new();
        for _ in 0..READERS {
            connections.push((store.read.acquire().await.unwrap(), 1));
        }
        connections.push((store.write.acquire().await.unwrap(), 0));
        for (connection, query_only) in &mut connections {
            let journal = connection.fetch_one("PRAGMA journal_mode").await.unwrap();
            assert_eq!(journal.get::<String, _>(0), "wal");
            for (pragma, value) in [
                ("PRAGMA synchronous", 2),
                ("PRAGMA foreign_keys", 1),
                ("PRAGMA busy_timeout", 10_000),
                ("PRAGMA query_only", *query_only),
            ] {
                let row = connection.fetch_one(pragma).await.unwrap();
                assert_eq!(row.get::<i64, _>(0), value, "{pragma}");
            }
        }
    }

    #[tokio::test]
    async fn only_the_owner_can_read_the_database_and_its_log() {
        use std::os::unix::fs::PermissionsExt;
        let (store, dir) = store().await;
        store.set_setting("a", "b").await.unwrap();
        let mut files = 0;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            files += 1;
        }
        assert_eq!(files, 3);
    }

    #[tokio::test]
    async fn a_second_start_finds_what_the_first_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.db");
        let first = open(&path).await.unwrap();
        first.set_setting("account", "1").await.unwrap();
        first.set_setting("account", "2").await.unwrap();
        first.close().await;
        let second = open(&path).await.unwrap();
        assert_eq!(second.setting("account").await.unwrap().as_deref(), Some("2"));
        assert_eq!(second.setting("other").await.unwrap(), None);
        second.check().await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let (store, _dir) = store().await;
        let written = sqlx::query("DELETE FROM setting").execute(&store.read).await;
        assert!(written.unwrap_err().to_string().contains("readonly"));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.db");
        std::fs::write(&path, "this is a letter, not a database".repeat(100)).unwrap();
        let error = open(&path).await.err().unwrap().to_string();
        assert!(error.contains("hub.db") && error.contains("backup"), "{error}");
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("this is a letter"));
    }
}
