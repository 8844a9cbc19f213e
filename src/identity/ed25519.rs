//! Ed25519 keys (RFC 8032): the default.

use super::keys::{KeyError, PrivateKey};
use crate::sys::random;
use ed25519_dalek::{Signer, SigningKey};
use stint_wire::keys::{KeyType, ed25519_public_key};
use zeroize::Zeroizing;

/// A key. Its own form is the seed, 32 bytes.
pub struct Key(SigningKey);

impl Key {
    /// Makes a new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Key, KeyError> {
        let seed = random::bytes().map_err(|error| KeyError::Generation(error.to_string()))?;
        Ok(Key(SigningKey::from_bytes(&Zeroizing::new(seed))))
    }

    /// Reads a seed.
    ///
    /// # Errors
    /// It has another length.
    pub fn read(bytes: &[u8]) -> Result<Key, KeyError> {
        let seed = bytes.try_into().map_err(|_| KeyError::Stored(KeyType::Ed25519))?;
        Ok(Key(SigningKey::from_bytes(&Zeroizing::new(seed))))
    }
}

impl PrivateKey for Key {
    fn kind(&self) -> KeyType {
        KeyType::Ed25519
    }

    fn private(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(Zeroizing::new(self.0.as_bytes().to_vec()))
    }

    fn public(&self) -> Result<String, KeyError> {
        Ok(ed25519_public_key(self.0.verifying_key().as_bytes()))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    use stint_wire::keys::parse_ed25519_public_key;

    #[test]
    fn a_signature_verifies_under_the_public_half_and_for_nothing_else() {
        let key = Key::generate().unwrap();
        let public = parse_ed25519_public_key(&key.public().unwrap()).unwrap();
        let verifier = VerifyingKey::from_bytes(&public).unwrap();
        let signature = Signature::from_slice(&key.sign(b"text").unwrap()).unwrap();
        verifier.verify(b"text", &signature).unwrap();
        assert!(verifier.verify(b"other", &signature).is_err());
    }
}
