//! The release key: an Ed25519 key pair in a file of its own.

use crate::error::StartError;
use crate::random;
use crate::store::files;
use ed25519_dalek::{Signer, SigningKey};
use std::fs;
use std::path::Path;
use stint_wire::bootagent::sign;
use stint_wire::manifest::signature_line;
use stint_wire::text;
use zeroize::Zeroizing;

/// What the file begins with; the seed in base64 follows.
const PREFIX: &str = "stint-release-key:";

/// A key that signs manifests.
pub struct ReleaseKey(SigningKey);

impl ReleaseKey {
    /// Makes one and keeps it in a new file that only its owner may read.
    ///
    /// # Errors
    /// The file exists or can't be written.
    pub fn create(path: &Path) -> Result<ReleaseKey, StartError> {
        let seed = Zeroizing::new(random::bytes::<32>()?);
        let content = Zeroizing::new(format!("{PREFIX}{}\n", text::base64(seed.as_ref())));
        files::create(path, content.as_bytes(), 0o600).map_err(|e| {
            StartError::new(
                format!("can't make the release key {}: {e}", path.display()),
                "name a file that doesn't exist yet, in a folder that this user may write",
            )
        })?;
        Ok(ReleaseKey(SigningKey::from_bytes(&seed)))
    }

    /// Reads one.
    ///
    /// # Errors
    /// The file isn't one that [`ReleaseKey::create`] has made.
    pub fn read(path: &Path) -> Result<ReleaseKey, StartError> {
        let failed = |why: String| {
            StartError::new(
                format!("{} is no release key: {why}", path.display()),
                "`stint-hub release key FILE` makes one",
            )
        };
        let content = Zeroizing::new(fs::read_to_string(path).map_err(|e| failed(e.to_string()))?);
        let seed = content.trim().strip_prefix(PREFIX).and_then(text::from_base64);
        let seed = seed.map(Zeroizing::new).and_then(|seed| <[u8; 32]>::try_from(&seed[..]).ok());
        let seed = seed.ok_or_else(|| failed(format!("it doesn't begin with {PREFIX}")))?;
        Ok(ReleaseKey(SigningKey::from_bytes(&Zeroizing::new(seed))))
    }

    /// The public half, as agents are told it.
    pub fn public(&self) -> String {
        sign::key_text(self.0.verifying_key().as_bytes())
    }

    /// The line with the signature of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> String {
        signature_line(self.0.verifying_key().as_bytes(), &self.0.sign(bytes).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_comes_back_from_its_file_is_private_and_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let made = ReleaseKey::create(&path).unwrap();
        assert_eq!(ReleaseKey::read(&path).unwrap().public(), made.public());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(ReleaseKey::create(&path).is_err());
        fs::write(&path, "x").unwrap();
        assert!(ReleaseKey::read(&path).is_err());
    }
}
