//! RSA-2048 keys: what AWS knows.

use super::keys::{KeyError, PrivateKey};
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::EncodePublicKey;
use rsa::pss::BlindedSigningKey;
use rsa::rand_core::{CryptoRng, Error, RngCore};
use rsa::sha2::Sha256;
use rsa::signature::{RandomizedSigner, SignatureEncoding};
use rsa::{RsaPrivateKey, RsaPublicKey};
use stint_wire::keys::KeyType;
use stint_wire::text;
use zeroize::Zeroizing;

/// What AWS and amazon-ssm-agent use.
const BITS: usize = 2048;

/// A key. Its own form is a PKCS#1 RSAPrivateKey; it signs RSASSA-PSS with SHA-256 and a salt of
/// 32 bytes.
pub struct Key(RsaPrivateKey);

impl Key {
    /// Makes a new one, which takes a while.
    ///
    /// # Errors
    /// The mathematics found no primes.
    pub fn generate() -> Result<Key, KeyError> {
        let key = RsaPrivateKey::new(&mut Kernel, BITS);
        key.map(Key).map_err(|error| KeyError::Generation(error.to_string()))
    }

    /// Reads DER.
    ///
    /// # Errors
    /// It is no RSAPrivateKey.
    pub fn read(bytes: &[u8]) -> Result<Key, KeyError> {
        let key = RsaPrivateKey::from_pkcs1_der(bytes);
        key.map(Key).map_err(|_| KeyError::Stored(KeyType::Rsa))
    }
}

impl PrivateKey for Key {
    fn kind(&self) -> KeyType {
        KeyType::Rsa
    }

    fn private(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let der = self.0.to_pkcs1_der().map_err(|_| KeyError::Stored(KeyType::Rsa))?;
        Ok(Zeroizing::new(der.as_bytes().to_vec()))
    }

    fn public(&self) -> Result<String, KeyError> {
        let spki = RsaPublicKey::from(&self.0).to_public_key_der();
        Ok(text::base64(spki.map_err(|_| KeyError::Stored(KeyType::Rsa))?.as_bytes()))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signer = BlindedSigningKey::<Sha256>::new(self.0.clone());
        let signature = signer.try_sign_with_rng(&mut Kernel, message);
        Ok(signature.map_err(|_| KeyError::Signing)?.to_vec())
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

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Kernel {}

#[cfg(test)]
mod tests {
    use super::*;
    use rsa::pkcs8::DecodePublicKey;
    use rsa::pss::{Signature, VerifyingKey};
    use rsa::signature::Verifier;

    #[test]
    fn a_key_comes_back_and_its_pss_signature_verifies() {
        let key = Key::generate().unwrap();
        let again = Key::read(&key.private().unwrap()).unwrap();
        let public = key.public().unwrap();
        // The original checks that a public key has at least this length.
        assert_eq!((public.len(), &public), (392, &again.public().unwrap()));
        let spki = text::from_base64(&public).unwrap();
        let verifier =
            VerifyingKey::<Sha256>::new(RsaPublicKey::from_public_key_der(&spki).unwrap());
        let signature = Signature::try_from(again.sign(b"text").unwrap().as_slice()).unwrap();
        verifier.verify(b"text", &signature).unwrap();
        assert!(verifier.verify(b"other", &signature).is_err());
    }
}
