//! The node's own key pair: Ed25519, or RSA-2048 where the server is AWS's.

use crate::sys::random;
use ed25519_dalek::{Signer, SigningKey};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::EncodePublicKey;
use rsa::pss::BlindedSigningKey;
use rsa::rand_core::{CryptoRng, RngCore};
use rsa::sha2::Sha256;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use std::fmt;
use stint_wire::keys::KeyType;
use stint_wire::text;
use zeroize::Zeroizing;

/// What AWS and amazon-ssm-agent use.
const RSA_BITS: usize = 2048;

/// A private key and its public half.
pub enum KeyPair {
    /// The default.
    Ed25519(Box<SigningKey>),
    /// For AWS.
    Rsa(Box<RsaPrivateKey>),
}

/// Why a key can't be made, read or used.
#[derive(Debug)]
pub enum KeyError {
    /// The system gave no randomness, or the key material was refused by the mathematics.
    Generation(String),
    /// The stored text is no key of its type.
    Stored(KeyType),
    /// Signing failed.
    Signing,
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
        }
    }
}

impl std::error::Error for KeyError {}

impl KeyPair {
    /// Makes a new one. RSA takes seconds on a small board: 2 to 6 on an ARMv7, up to a minute
    /// on a slow one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate(kind: KeyType) -> Result<KeyPair, KeyError> {
        match kind {
            KeyType::Ed25519 => {
                let seed = random::bytes().map_err(|e| KeyError::Generation(e.to_string()))?;
                Ok(KeyPair::Ed25519(Box::new(SigningKey::from_bytes(&Zeroizing::new(seed)))))
            }
            KeyType::Rsa => RsaPrivateKey::new(&mut Kernel, RSA_BITS)
                .map(|key| KeyPair::Rsa(Box::new(key)))
                .map_err(|e| KeyError::Generation(e.to_string())),
        }
    }

    /// Its type.
    pub fn kind(&self) -> KeyType {
        match self {
            KeyPair::Ed25519(_) => KeyType::Ed25519,
            KeyPair::Rsa(_) => KeyType::Rsa,
        }
    }

    /// The private key as the registration file holds it: base64 of the seed, or of a PKCS#1
    /// RSAPrivateKey as in the original's vault.
    ///
    /// # Errors
    /// The key can't be encoded.
    pub fn to_stored(&self) -> Result<Zeroizing<String>, KeyError> {
        Ok(Zeroizing::new(match self {
            KeyPair::Ed25519(key) => text::base64(key.as_bytes()),
            KeyPair::Rsa(key) => {
                let der = key.to_pkcs1_der().map_err(|_| KeyError::Stored(KeyType::Rsa))?;
                text::base64(der.as_bytes())
            }
        }))
    }

    /// Reads what [`KeyPair::to_stored`] wrote.
    ///
    /// # Errors
    /// It isn't that.
    pub fn from_stored(kind: KeyType, stored: &str) -> Result<KeyPair, KeyError> {
        let bytes = Zeroizing::new(text::from_base64(stored).ok_or(KeyError::Stored(kind))?);
        match kind {
            KeyType::Ed25519 => {
                let seed = bytes.as_slice().try_into().map_err(|_| KeyError::Stored(kind))?;
                Ok(KeyPair::Ed25519(Box::new(SigningKey::from_bytes(&Zeroizing::new(seed)))))
            }
            KeyType::Rsa => RsaPrivateKey::from_pkcs1_der(&bytes)
                .map(|key| KeyPair::Rsa(Box::new(key)))
                .map_err(|_| KeyError::Stored(kind)),
        }
    }

    /// The public half as it crosses the wire.
    ///
    /// # Errors
    /// The key can't be encoded.
    pub fn public(&self) -> Result<String, KeyError> {
        match self {
            KeyPair::Ed25519(key) => {
                Ok(stint_wire::keys::ed25519_public_key(key.verifying_key().as_bytes()))
            }
            KeyPair::Rsa(key) => {
                let spki = RsaPublicKey::from(key.as_ref()).to_public_key_der();
                Ok(text::base64(spki.map_err(|_| KeyError::Stored(KeyType::Rsa))?.as_bytes()))
            }
        }
    }

    /// The base64 signature of a string to sign: Ed25519, or RSASSA-PSS with SHA-256 and a salt
    /// of 32 bytes.
    ///
    /// # Errors
    /// The mathematics refuse, which a key made by [`KeyPair::generate`] never meets.
    pub fn sign(&self, message: &str) -> Result<String, KeyError> {
        match self {
            KeyPair::Ed25519(key) => Ok(text::base64(&key.sign(message.as_bytes()).to_bytes())),
            KeyPair::Rsa(key) => {
                let signer = BlindedSigningKey::<Sha256>::new(key.as_ref().clone());
                let signature = signer.try_sign_with_rng(&mut Kernel, message.as_bytes());
                Ok(text::base64(&signature.map_err(|_| KeyError::Signing)?.to_bytes()))
            }
        }
    }
}

/// The kernel's randomness as the RSA crate wants it.
struct Kernel;

impl RngCore for Kernel {
    fn next_u32(&mut self) -> u32 {
        let mut word = [0; 4];
        self.fill_bytes(&mut word);
        u32::from_le_bytes(word)
    }

    fn next_u64(&mut self) -> u64 {
        let mut word = [0; 8];
        self.fill_bytes(&mut word);
        u64::from_le_bytes(word)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        // A key made without randomness would be worse than no process at all, and a kernel that
        // ran out of it doesn't come back to its senses.
        if getrandom::getrandom(bytes).is_err() {
            log::error!("the kernel gives no randomness");
            std::process::abort();
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Kernel {}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Verifier;
    use rsa::pkcs8::DecodePublicKey;
    use rsa::pss::{Signature, VerifyingKey};

    #[test]
    fn an_ed25519_key_comes_back_from_its_file_and_signs() {
        let key = KeyPair::generate(KeyType::Ed25519).unwrap();
        let again = KeyPair::from_stored(KeyType::Ed25519, &key.to_stored().unwrap()).unwrap();
        assert_eq!(key.public().unwrap(), again.public().unwrap());
        let public = stint_wire::keys::parse_ed25519_public_key(&key.public().unwrap()).unwrap();
        let signature = text::from_base64(&again.sign("text").unwrap()).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        let verifier = ed25519_dalek::VerifyingKey::from_bytes(&public).unwrap();
        verifier.verify(b"text", &signature).unwrap();
        assert!(verifier.verify(b"other", &signature).is_err());
    }

    #[test]
    fn an_rsa_key_comes_back_from_its_file_and_signs_pss() {
        let key = KeyPair::generate(KeyType::Rsa).unwrap();
        let again = KeyPair::from_stored(KeyType::Rsa, &key.to_stored().unwrap()).unwrap();
        let public = key.public().unwrap();
        // The original checks that a public key has at least this length.
        assert_eq!((public.len(), &public), (392, &again.public().unwrap()));
        let spki = text::from_base64(&public).unwrap();
        let public = RsaPublicKey::from_public_key_der(&spki).unwrap();
        let signature = text::from_base64(&again.sign("text").unwrap()).unwrap();
        let signature = Signature::try_from(signature.as_slice()).unwrap();
        VerifyingKey::<Sha256>::new(public).verify(b"text", &signature).unwrap();
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for kind in [KeyType::Ed25519, KeyType::Rsa] {
            for stored in ["", "!", "AAAA"] {
                assert!(KeyPair::from_stored(kind, stored).is_err());
            }
        }
    }
}
