//! The node's own key pair, of whichever kind its server understands.

use super::ed25519;
#[cfg(feature = "ssm")]
use super::rsa;
use std::fmt;
use stint_wire::keys::KeyType;
use stint_wire::text;
use zeroize::Zeroizing;

/// What a kind of key can do.
pub trait PrivateKey: Send + Sync {
    /// Its kind.
    fn kind(&self) -> KeyType;

    /// The private key in its kind's own form.
    ///
    /// # Errors
    /// It can't be encoded.
    fn private(&self) -> Result<Zeroizing<Vec<u8>>, KeyError>;

    /// The public half as it crosses the wire.
    ///
    /// # Errors
    /// It can't be encoded.
    fn public(&self) -> Result<String, KeyError>;

    /// The signature of a string to sign.
    ///
    /// # Errors
    /// The mathematics refuse, which a key made by [`KeyPair::generate`] never meets.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// A private key and its public half.
pub struct KeyPair(Box<dyn PrivateKey>);

/// Why a key can't be made, read or used.
#[derive(Debug)]
pub enum KeyError {
    /// The system gave no randomness, or the mathematics refused it.
    Generation(String),
    /// The stored text is no key of its type.
    Stored(KeyType),
    /// Signing failed.
    Signing,
    /// This build has no keys of that type.
    #[cfg(not(feature = "ssm"))]
    NotBuiltIn(KeyType),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Generation(cause) => write!(f, "can't make a key pair: {cause}"),
            KeyError::Stored(kind) => write!(
                f,
                "the private key in the registration is no {} key; register again",
                kind.as_str()
            ),
            KeyError::Signing => f.write_str("can't sign with the private key"),
            #[cfg(not(feature = "ssm"))]
            KeyError::NotBuiltIn(kind) => {
                write!(f, "this stint was built without {} keys", kind.as_str())
            }
        }
    }
}

impl std::error::Error for KeyError {}

impl KeyPair {
    /// Makes a new one. RSA takes seconds on a small board: 2 to 6 on an ARMv7, up to a minute
    /// on a slow one.
    ///
    /// # Errors
    /// The system has no randomness, or this build has no such keys.
    pub fn generate(kind: KeyType) -> Result<KeyPair, KeyError> {
        match kind {
            KeyType::Ed25519 => Ok(KeyPair(Box::new(ed25519::Key::generate()?))),
            #[cfg(feature = "ssm")]
            KeyType::Rsa => Ok(KeyPair(Box::new(rsa::Key::generate()?))),
            #[cfg(not(feature = "ssm"))]
            KeyType::Rsa => Err(KeyError::NotBuiltIn(kind)),
        }
    }

    /// Reads what [`KeyPair::to_stored`] wrote.
    ///
    /// # Errors
    /// It isn't that.
    pub fn from_stored(kind: KeyType, stored: &str) -> Result<KeyPair, KeyError> {
        let bytes = Zeroizing::new(text::from_base64(stored).ok_or(KeyError::Stored(kind))?);
        match kind {
            KeyType::Ed25519 => Ok(KeyPair(Box::new(ed25519::Key::read(&bytes)?))),
            #[cfg(feature = "ssm")]
            KeyType::Rsa => Ok(KeyPair(Box::new(rsa::Key::read(&bytes)?))),
            #[cfg(not(feature = "ssm"))]
            KeyType::Rsa => Err(KeyError::NotBuiltIn(kind)),
        }
    }

    /// Its type.
    pub fn kind(&self) -> KeyType {
        self.0.kind()
    }

    /// The private key as the registration file holds it: base64 of the Ed25519 seed, or of a
    /// PKCS#1 RSAPrivateKey as in the original's vault.
    ///
    /// # Errors
    /// The key can't be encoded.
    pub fn to_stored(&self) -> Result<Zeroizing<String>, KeyError> {
        Ok(Zeroizing::new(text::base64(&self.0.private()?)))
    }

    /// The public half as it crosses the wire.
    ///
    /// # Errors
    /// The key can't be encoded.
    pub fn public(&self) -> Result<String, KeyError> {
        self.0.public()
    }

    /// The base64 signature of a string to sign.
    ///
    /// # Errors
    /// See [`PrivateKey::sign`].
    pub fn sign(&self, message: &str) -> Result<String, KeyError> {
        Ok(text::base64(&self.0.sign(message.as_bytes())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused() {
        for kind in [KeyType::Ed25519, KeyType::Rsa] {
            for stored in ["", "!", "AAAA"] {
                assert!(KeyPair::from_stored(kind, stored).is_err());
            }
        }
    }

    #[test]
    fn a_key_comes_back_from_its_file() {
        let key = KeyPair::generate(KeyType::Ed25519).unwrap();
        let again = KeyPair::from_stored(KeyType::Ed25519, &key.to_stored().unwrap()).unwrap();
        assert_eq!(key.public().unwrap(), again.public().unwrap());
        assert_eq!(key.sign("text").unwrap(), again.sign("text").unwrap());
    }
}
