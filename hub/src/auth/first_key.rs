//! The first operator's key: from the environment, or made up and written to a file.

use super::operator_keys::{self, AccessKey};
use super::seal::Seal;
use crate::error::StartError;
use crate::store::Store;
use crate::store::data_dir::{DataDir, OPERATOR_CREDENTIALS};
use crate::store::files;
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// The environment variable with the first operator's key id.
pub const ID_VARIABLE: &str = "STINT_HUB_ACCESS_KEY_ID";
/// The environment variable with its secret.
pub const SECRET_VARIABLE: &str = "STINT_HUB_SECRET_ACCESS_KEY";
/// Temporary keys of nodes start with this, so an operator's must not.
pub const NODE_PREFIX: &str = "ASIA";
/// botocore's bounds for a key id, and a length that no table minds.
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;
/// Shorter secrets could be guessed from one captured signature.
const SECRET_MINIMUM: usize = 16;

/// Judges the two variables: neither, or both and well-formed.
///
/// # Errors
/// When one is missing or can't be a key.
pub fn from_environment(
    id: Option<String>,
    secret: Option<String>,
) -> Result<Option<AccessKey>, StartError> {
    let (id, secret) = match (id, secret.map(Zeroizing::new)) {
        (None, None) => return Ok(None),
        (Some(id), Some(secret)) => (id, secret),
        _ => {
            return Err(StartError::new(
                format!("only one of {ID_VARIABLE} and {SECRET_VARIABLE} is set"),
                "set both, or neither to have a key made",
            ));
        }
    };
    let well_formed = ID_LENGTHS.contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !id.starts_with(NODE_PREFIX);
    if !well_formed {
        return Err(StartError::new(
            format!("{ID_VARIABLE} is no access key id"),
            "use 16 to 128 letters, digits and underscores, not starting with ASIA",
        ));
    }
    if secret.len() < SECRET_MINIMUM || secret.contains(|c: char| c.is_whitespace()) {
        return Err(StartError::new(
            format!("{SECRET_VARIABLE} is too short or holds white space"),
            format!("use at least {SECRET_MINIMUM} characters without spaces"),
        ));
    }
    Ok(Some(AccessKey { id, secret }))
}

/// Keeps the key from the environment. Without one, a hub that has no key at all gets one, which
/// is written to [`OPERATOR_CREDENTIALS`].
///
/// # Errors
/// When the file or the database can't be written.
pub async fn ensure(
    dir: &DataDir,
    store: &Store,
    seal: &Seal,
    given: Option<AccessKey>,
    now: Utc,
) -> Result<(), StartError> {
    let failed = |e: operator_keys::KeyError| {
        StartError::new(format!("can't keep the first access key: {e}"), "see the cause")
    };
    if let Some(key) = given {
        return operator_keys::put(store, seal, &key, "from the environment", now)
            .await
            .map_err(failed);
    }
    if !operator_keys::list(store).await.map_err(failed)?.is_empty() {
        return Ok(());
    }
    let key = AccessKey::generate()?;
    let path = dir.file(OPERATOR_CREDENTIALS);
    // The file first: a crash in between leaves a hub without keys, which makes another.
    files::replace(&path, key.credentials_file().as_bytes(), 0o600).map_err(|e| {
        StartError::new(
            format!("can't write {}: {e}", path.display()),
            "give the data directory to the user who runs the hub",
        )
    })?;
    operator_keys::put(store, seal, &key, "made at the first start", now).await.map_err(failed)?;
    tracing::info!(path = %path.display(), "wrote the first operator's credentials");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite;
    use std::os::unix::fs::PermissionsExt;

    fn given(id: &str, secret: &str) -> Result<Option<AccessKey>, StartError> {
        from_environment(Some(id.to_owned()), Some(secret.to_owned()))
    }

    #[test]
    fn half_a_key_and_a_malformed_one_are_refused() {
        assert!(from_environment(None, None).unwrap().is_none());
        assert!(from_environment(Some("AKIAIOSFODNN7EXAMPLE".to_owned()), None).is_err());
        assert!(from_environment(None, Some("x".repeat(40))).is_err());
        assert!(given("AKIAIOSFODNN7EXAMPLE", &"x".repeat(40)).unwrap().is_some());
        assert!(given("ASIAIOSFODNN7EXAMPLE", &"x".repeat(40)).is_err());
        assert!(given("AKIA/OSFODNN7EXAMPLE", &"x".repeat(40)).is_err());
        assert!(given("short", &"x".repeat(40)).is_err());
        assert!(given("AKIAIOSFODNN7EXAMPLE", "short").is_err());
        assert!(given("AKIAIOSFODNN7EXAMPLE", "with a space in its middle").is_err());
    }

    #[tokio::test]
    async fn the_first_start_writes_a_credentials_file_and_later_ones_leave_it() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let seal = Seal::new([1; 32]);
        ensure(&dir, &store, &seal, None, Utc(0)).await.unwrap();
        let path = dir.file(OPERATOR_CREDENTIALS);
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let keys = operator_keys::list(&store).await.unwrap();
        let secret = operator_keys::secret(&store, &seal, &keys[0].id).await.unwrap().unwrap();
        assert_eq!(
            written,
            format!(
                "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
                keys[0].id, *secret
            )
        );
        ensure(&dir, &store, &seal, None, Utc(0)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    }

    #[tokio::test]
    async fn a_key_from_the_environment_needs_no_file() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        let store = sqlite::open(&dir.file("hub.db")).await.unwrap();
        let seal = Seal::new([1; 32]);
        let key = given("AKIAIOSFODNN7EXAMPLE", &"x".repeat(40)).unwrap();
        ensure(&dir, &store, &seal, key, Utc(0)).await.unwrap();
        assert!(!dir.file(OPERATOR_CREDENTIALS).exists());
        assert_eq!(operator_keys::list(&store).await.unwrap().len(), 1);
    }
}
