//! The index of packages.

use super::arch;
use crate::error::StartError;
use crate::store::Store;
use crate::store::data_dir::DataDir;
use crate::tools::documents::attachments;
use sqlx::FromRow;
use std::io;
use std::path::Path;
use stint_wire::bootagent::{is_child_name, is_version};
use stint_wire::time::Utc;

/// A package of the store.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub struct Package {
    /// The child agent that it installs.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it runs; [`super::ANY`] if everywhere.
    pub arch: String,
    /// The name of the file, by whose end nodes know what kind of package it is.
    pub file_name: String,
    /// SHA-256 in hexadecimal digits.
    pub hash: String,
    /// Bytes.
    pub size: i64,
}

/// Copies a file into the store. What was there under the same name, version and architecture is
/// replaced.
///
/// # Errors
/// For names that a job could not have, and those of the file system and the database.
pub async fn put(
    store: &Store,
    dir: &DataDir,
    source: &Path,
    (name, version, architecture): (&str, &str, &str),
    now: Utc,
) -> Result<Package, StartError> {
    let file_name = source.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let arch = arch(architecture);
    check(name, version, &arch, file_name)?;
    let failed = |e: io::Error| {
        StartError::new(
            format!("can't copy {} to the package store: {e}", source.display()),
            "check that the file can be read and that the data directory has room",
        )
    };
    let (temporary, hash, size) = attachments::copy(dir, source).map_err(failed)?;
    let package = Package {
        name: name.to_owned(),
        version: version.to_owned(),
        arch,
        file_name: file_name.to_owned(),
        hash,
        size,
    };
    let mut tx = store.begin().await.map_err(database)?;
    sqlx::query(
        "INSERT INTO package (name, version, arch, file_name, hash, size, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (name, version, arch) DO UPDATE SET file_name = excluded.file_name,
           hash = excluded.hash, size = excluded.size, created_at = excluded.created_at",
    )
    .bind(&package.name)
    .bind(&package.version)
    .bind(&package.arch)
    .bind(&package.file_name)
    .bind(&package.hash)
    .bind(package.size)
    .bind(now.0 as i64)
    .execute(&mut *tx)
    .await
    .map_err(database)?;
    attachments::keep(dir, &temporary, &package.hash).map_err(failed)?;
    tx.commit().await.map_err(database)?;
    Ok(package)
}

fn check(name: &str, version: &str, arch: &str, file: &str) -> Result<(), StartError> {
    let plain = |text: &str, more: &str, most: usize| {
        (1..=most).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    let (what, remedy) = if !is_child_name(name) {
        (format!("'{name}' can't be a child agent's name"), "use 1 to 50 letters, digits, _ and -")
    } else if !is_version(version) || version.contains(['=', ',']) {
        (format!("'{version}' can't be a version"), "use up to 100 letters, digits, '.', '-', '+'")
    } else if !plain(arch, "_-", 20) {
        (format!("'{arch}' can't be an architecture"), "write it as `uname -m` does, or `any`")
    } else if !plain(file, "._+~-", 128) {
        (
            format!("'{file}' can't be the name of a package's file"),
            "rename it: up to 128 letters, digits, '.', '_', '+', '~' and '-'",
        )
    } else {
        return Ok(());
    };
    Err(StartError::new(what, remedy))
}

/// All packages, by name, version and architecture.
///
/// # Errors
/// Those of the database.
pub async fn list(store: &Store) -> Result<Vec<Package>, StartError> {
    let mut all: Vec<Package> =
        sqlx::query_as("SELECT name, version, arch, file_name, hash, size FROM package")
            .fetch_all(&store.read)
            .await
            .map_err(database)?;
    all.sort_by(|one, other| {
        let by_version = || super::version::compare(&one.version, &other.version);
        one.name.cmp(&other.name).then_with(by_version).then_with(|| one.arch.cmp(&other.arch))
    });
    Ok(all)
}

/// Takes a version out of the store: for one architecture, or for all. Answers how many went. The
/// contents go with the next sweep, unless something else has them: a node may be fetching one.
///
/// # Errors
/// When there is no such package, and those of the database.
pub async fn delete(
    store: &Store,
    name: &str,
    version: &str,
    architecture: Option<&str>,
) -> Result<u64, StartError> {
    let done = sqlx::query(
        "DELETE FROM package WHERE name = $1 AND version = $2 AND ($3 = '' OR arch = $3)",
    )
    .bind(name)
    .bind(version)
    .bind(architecture.map(arch).unwrap_or_default())
    .execute(&store.write)
    .await
    .map_err(database)?;
    match done.rows_affected() {
        0 => Err(StartError::new(
            format!("there is no package {name}={version}"),
            "`stint-hub package list` shows those there are",
        )),
        gone => Ok(gone),
    }
}

fn database(error: sqlx::Error) -> StartError {
    StartError::new(format!("the package store can't be used: {error}"), "see the cause")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite;
    use std::fs;
    use std::time::{Duration, SystemTime};

    #[tokio::test]
    async fn a_package_is_kept_as_long_as_its_row_and_replaced_by_its_like() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let source = outer.path().join("sensor-1.2.tar.gz");
        let mut hashes = Vec::new();
        for (text, version, arch) in
            [("one", "1.2", "amd64"), ("two", "1.2", "x86_64"), ("three", "1.10", "any")]
        {
            fs::write(&source, text).unwrap();
            let put = put(&store, &dir, &source, ("sensor", version, arch), Utc(1)).await.unwrap();
            hashes.push(put.hash);
        }
        let kept = list(&store).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|p| (p.version.as_str(), p.arch.as_str())).collect();
        assert_eq!(kept, [("1.2", "x86_64"), ("1.10", "any")]);

        assert_eq!(delete(&store, "sensor", "1.2", Some("amd64")).await.unwrap(), 1);
        assert!(delete(&store, "sensor", "1.2", None).await.is_err());
        let later = SystemTime::now() + Duration::from_secs(2 * 3600);
        assert_eq!(attachments::sweep(&store, &dir, later).await.unwrap(), 2);
        let there: Vec<bool> =
            hashes.iter().map(|hash| attachments::blob(&dir, hash).exists()).collect();
        assert_eq!(there, [false, false, true]);
    }

    #[tokio::test]
    async fn what_no_job_could_name_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&outer.path().join("data")).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let good = outer.path().join("a.deb");
        let bad = outer.path().join("a b.deb");
        for path in [&good, &bad] {
            fs::write(path, "x").unwrap();
        }
        for (source, name, version, arch) in [
            (&bad, "a", "1", "any"),
            (&good, "a/b", "1", "any"),
            (&good, "", "1", "any"),
            (&good, "a", "../1", "any"),
            (&good, "a", "1=2", "any"),
            (&good, "a", "1", "x 86"),
        ] {
            let refused = put(&store, &dir, source, (name, version, arch), Utc(1)).await;
            assert!(refused.is_err(), "{name} {version} {arch}");
        }
        assert!(list(&store).await.unwrap().is_empty());
    }
}
