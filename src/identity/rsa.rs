//! RSA-2048 keys: what AWS knows. ring signs; it makes no keys, so `make` does (decision 0037).

mod der;
mod make;
mod number;

use super::keys::{KeyError, PrivateKey};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use stint_wire::keys::KeyType;
use stint_wire::text;
use zeroize::Zeroizing;

/// A key. Its own form is a PKCS#1 RSAPrivateKey; it signs RSASSA-PSS with SHA-256 and a salt of
/// 32 bytes.
pub struct Key {
    stored: Zeroizing<Vec<u8>>,
    pair: RsaKeyPair,
}

impl Key {
    /// Makes a new one, which takes a while.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn generate() -> Result<Key, KeyError> {
        let numbers = make::numbers().map_err(|error| KeyError::Generation(error.to_string()))?;
        Key::read(&der::private(&numbers))
    }

    /// Reads DER.
    ///
    /// # Errors
    /// It is no RSAPrivateKey, or its numbers don't belong together.
    pub fn read(bytes: &[u8]) -> Result<Key, KeyError> {
        let pair = RsaKeyPair::from_der(bytes).map_err(|_| KeyError::Stored(KeyType::Rsa))?;
        Ok(Key { stored: Zeroizing::new(bytes.to_vec()), pair })
    }
}

impl PrivateKey for Key {
    fn kind(&self) -> KeyType {
        KeyType::Rsa
    }

    fn private(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(self.stored.clone())
    }

    fn public(&self) -> Result<String, KeyError> {
        let public: RsaPublicKeyComponents<Vec<u8>> = self.pair.public().into();
        Ok(text::base64(&der::public(&public.n)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let signed = self.pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_| KeyError::Signing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::RsaPrivateKey;
    use rsa::RsaPublicKey;
    use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
    use rsa::pkcs8::{DecodePublicKey, EncodePublicKey};
    use rsa::pss::{Signature, VerifyingKey};
    use rsa::sha2::Sha256;
    use rsa::signature::Verifier;
    use rsa::traits::PublicKeyParts;

    fn verifies(public: &str, key: &Key) {
        let spki = text::from_base64(public).unwrap();
        let public = RsaPublicKey::from_public_key_der(&spki).unwrap();
        let verifier = VerifyingKey::<Sha256>::new(public);
        let signature = Signature::try_from(key.sign(b"text").unwrap().as_slice()).unwrap();
        verifier.verify(b"text", &signature).unwrap();
        assert!(verifier.verify(b"other", &signature).is_err());
    }

    #[test]
    fn a_key_comes_back_and_its_pss_signature_verifies() {
        let key = Key::generate().unwrap();
        let again = Key::read(&key.private().unwrap()).unwrap();
        let public = key.public().unwrap();
        // The original checks that a public key has at least this length.
        assert_eq!((public.len(), &public), (392, &again.public().unwrap()));
        verifies(&public, &again);
    }

    #[test]
    fn another_library_finds_the_numbers_of_a_key_right_and_writes_the_same_bytes() {
        for _ in 0..3 {
            let key = Key::generate().unwrap();
            let stored = key.private().unwrap();
            let other = RsaPrivateKey::from_pkcs1_der(&stored).unwrap();
            other.validate().unwrap();
            assert_eq!(other.n().bits(), 2048);
            assert_eq!(other.to_pkcs1_der().unwrap().as_bytes(), stored.as_slice());
            let spki = RsaPublicKey::from(&other).to_public_key_der().unwrap();
            assert_eq!(key.public().unwrap(), text::base64(spki.as_bytes()));
        }
    }

    #[test]
    fn a_key_that_another_library_made_signs() {
        let mut random = rsa::rand_core::OsRng;
        let other = RsaPrivateKey::new(&mut random, 2048).unwrap();
        let key = Key::read(other.to_pkcs1_der().unwrap().as_bytes()).unwrap();
        verifies(&key.public().unwrap(), &key);
    }

    #[test]
    fn numbers_that_do_not_belong_together_are_no_key() {
        let numbers = make::numbers().unwrap();
        let swapped = make::Numbers { modulus: make::numbers().unwrap().modulus, ..numbers };
        assert!(Key::read(&der::private(&swapped)).is_err());
    }
}
