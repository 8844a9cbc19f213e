//! SecureString at rest. Each key id has a key of its own under the hub's master key; the name,
//! the version and the key id of a value are sealed in with it, so that no row stands in for
//! another.

use crate::app::App;
use crate::auth::seal::{Seal, SealError};
use crate::error::{ApiError, ApiResult};
use zeroize::Zeroizing;

/// The key of who names none, as AWS calls it.
pub const DEFAULT_KEY: &str = "alias/aws/ssm";

/// The other keys that AWS manages can't be used for parameters.
const MANAGED_KEYS: &str = "alias/aws/";

/// Judges a key id. Every other one names a key that this hub holds.
///
/// # Errors
/// `InvalidKeyId`.
pub fn check_key(key_id: &str) -> ApiResult<()> {
    // An alias may stand at the end of its ARN.
    let alias = key_id.rsplit(':').next().unwrap_or(key_id);
    let foreign = alias.starts_with(MANAGED_KEYS) && alias != DEFAULT_KEY;
    if foreign || alias.is_empty() || alias == "alias/" {
        return Err(ApiError::new(
            "InvalidKeyId",
            format!(
                "The key ID {key_id} can't be used for parameters. Leave it out for {DEFAULT_KEY}, \
                 or name a key of your own, such as alias/fleet."
            ),
        ));
    }
    Ok(())
}

/// The text that is kept and shown in place of the value.
///
/// # Errors
/// `InternalServerError` when there is no randomness.
pub fn seal(app: &App, name: &str, version: i64, key_id: &str, value: &str) -> ApiResult<String> {
    Ok(key(app, key_id).seal(&place(name, version, key_id), value)?)
}

/// The value in what is kept.
///
/// # Errors
/// `InvalidKeyId`, saying why, when it was sealed under another master key, for another parameter
/// or version, or has been changed. The log has it, too.
pub fn open(
    app: &App,
    name: &str,
    version: i64,
    key_id: &str,
    sealed: &str,
) -> ApiResult<Zeroizing<String>> {
    key(app, key_id).open(&place(name, version, key_id), sealed).map_err(|error| {
        tracing::error!(%error, "a SecureString can't be decrypted");
        let why = match error {
            SealError::OtherKey { found, own, .. } => format!(
                "it is sealed under master key {found}, and this hub has {own}. Restore the master \
                 key that belongs to this database"
            ),
            SealError::Damaged(_) | SealError::Random(_) => "its row was changed, or moved from \
                 another parameter or version. Restore the database, or put the parameter again"
                .to_owned(),
        };
        ApiError::new(
            "InvalidKeyId",
            format!("Version {version} of {name} can't be decrypted: {why}."),
        )
    })
}

fn key(app: &App, key_id: &str) -> Seal {
    app.seal.derive(&format!("parameter/{key_id}"))
}

fn place(name: &str, version: i64, key_id: &str) -> String {
    format!("parameter {name} version {version} key {key_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;

    #[tokio::test]
    async fn a_value_opens_only_as_what_it_was_sealed() {
        let (mut app, _dir) = testing::app().await;
        let sealed = seal(&app, "/a", 1, DEFAULT_KEY, "s3cret").unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_eq!(*open(&app, "/a", 1, DEFAULT_KEY, &sealed).unwrap(), "s3cret");
        for (name, version, key) in
            [("/b", 1, DEFAULT_KEY), ("/a", 2, DEFAULT_KEY), ("/a", 1, "alias/x")]
        {
            let error = open(&app, name, version, key, &sealed).unwrap_err();
            assert_eq!(error.code, "InvalidKeyId");
            assert!(error.message.contains("moved"), "{error}");
        }
        app.seal = Seal::new([9; 32]);
        let error = open(&app, "/a", 1, DEFAULT_KEY, &sealed).unwrap_err();
        assert!(error.message.contains("Restore the master key"), "{error}");
    }

    #[test]
    fn aws_s_own_keys_but_one_are_refused() {
        for good in [DEFAULT_KEY, "alias/fleet", "arn:aws:kms:r:1:key/1-2", "fleet"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["alias/aws/s3", "arn:aws:kms:r:1:alias/aws/s3", "alias/", "arn:"] {
            assert_eq!(check_key(bad).unwrap_err().code, "InvalidKeyId", "{bad}");
        }
    }
}
