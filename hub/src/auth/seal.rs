//! Secrets at rest: ChaCha20-Poly1305 (RFC 8439) under the master key.
//!
//! A sealed secret is `v1.<key id>.<base64 of nonce and ciphertext>`. The place it is kept in
//! goes into the authentication tag, so that a sealed secret moved to another row does not open.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use stint_wire::text;
use zeroize::Zeroizing;

/// Bytes of a master key.
pub const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 12;
const VERSION: &str = "v1";
/// Hexadecimal digits of the key's digest that name it in sealed secrets.
const KEY_ID_LENGTH: usize = 8;

/// Goes into the derivation of every key below the master key, so that no other use of the master
/// key could ever make the same one.
const DERIVATION: &[u8] = b"stint-hub derived key 1\0";

/// Encrypts and decrypts under the master key, or under one derived from it.
pub struct Seal {
    key: Zeroizing<[u8; KEY_LENGTH]>,
    cipher: ChaCha20Poly1305,
    /// Names the master key, also in a derived seal: that is the file to restore.
    key_id: String,
}

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The kernel gave no nonce.
    #[error("no randomness for a nonce: {0}")]
    Random(#[from] getrandom::Error),
    /// It was sealed under another master key.
    #[error(
        "{place} is sealed under master key {found}, but the hub has {own}; restore the master key that belongs to this database"
    )]
    OtherKey {
        /// Where the secret is kept.
        place: String,
        /// The id of the key it names.
        found: String,
        /// The id of this hub's key.
        own: String,
    },
    /// It is damaged, or was sealed for another place.
    #[error("{0} does not open under the master key: the row was changed or moved")]
    Damaged(String),
}

impl From<SealError> for crate::error::ApiError {
    fn from(error: SealError) -> Self {
        crate::error::ApiError::internal(error)
    }
}

impl Seal {
    /// Seals under this key.
    pub fn new(key: [u8; KEY_LENGTH]) -> Seal {
        let digest = text::sha256_hex(&key);
        Seal {
            cipher: ChaCha20Poly1305::new(&key.into()),
            key: Zeroizing::new(key),
            key_id: text::head(&digest, KEY_ID_LENGTH).to_owned(),
        }
    }

    /// A seal under a key of its own, made from this one's key and `label` with HMAC-SHA256. The
    /// same label always gives the same key.
    pub fn derive(&self, label: &str) -> Seal {
        // HMAC takes keys of every length, so there is no other case.
        let key = match <Hmac<Sha256> as Mac>::new_from_slice(self.key.as_slice()) {
            Ok(mac) => mac.chain_update(DERIVATION).chain_update(label).finalize().into_bytes(),
            Err(_) => (*self.key).into(),
        };
        Seal {
            cipher: ChaCha20Poly1305::new(&key),
            key: Zeroizing::new(key.into()),
            key_id: self.key_id.clone(),
        }
    }

    /// Seals `secret` for one place, such as `access_key/AKIA…`.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn seal(&self, place: &str, secret: &str) -> Result<String, SealError> {
        let nonce: [u8; NONCE_LENGTH] = crate::random::bytes()?;
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(Nonce::from_slice(&nonce), payload)
            .map_err(|_| SealError::Damaged(place.to_owned()))?;
        let mut bytes = nonce.to_vec();
        bytes.extend_from_slice(&sealed);
        Ok(format!("{VERSION}.{}.{}", self.key_id, text::base64(&bytes)))
    }

    /// Opens what [`Seal::seal`] made for the same place.
    ///
    /// # Errors
    /// [`SealError::OtherKey`] and [`SealError::Damaged`].
    pub fn open(&self, place: &str, sealed: &str) -> Result<Zeroizing<String>, SealError> {
        let damaged = || SealError::Damaged(place.to_owned());
        let mut parts = sealed.splitn(3, '.');
        let (Some(VERSION), Some(key_id), Some(body)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(damaged());
        };
        if key_id != self.key_id {
            return Err(SealError::OtherKey {
                place: place.to_owned(),
                found: key_id.to_owned(),
                own: self.key_id.clone(),
            });
        }
        let bytes = text::from_base64(body).ok_or_else(damaged)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LENGTH).ok_or_else(damaged)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let plain =
            self.cipher.decrypt(Nonce::from_slice(nonce), payload).map_err(|_| damaged())?;
        String::from_utf8(plain).map(Zeroizing::new).map_err(|_| damaged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_opens_only_in_its_own_place_and_under_its_own_key() {
        let seal = Seal::new([1; KEY_LENGTH]);
        let sealed = seal.seal("access_key/A", "secret").unwrap();
        assert!(!sealed.contains("secret"));
        assert_eq!(*seal.open("access_key/A", &sealed).unwrap(), "secret");
        assert!(matches!(seal.open("access_key/B", &sealed), Err(SealError::Damaged(_))));
        let other = Seal::new([2; KEY_LENGTH]);
        assert!(matches!(other.open("access_key/A", &sealed), Err(SealError::OtherKey { .. })));
    }

    #[test]
    fn each_label_has_a_key_of_its_own() {
        let master = Seal::new([1; KEY_LENGTH]);
        let (one, other) = (master.derive("alias/a"), master.derive("alias/b"));
        let sealed = one.seal("p", "secret").unwrap();
        assert_eq!(*master.derive("alias/a").open("p", &sealed).unwrap(), "secret");
        for wrong in [&other, &master, &one.derive("alias/a")] {
            assert!(matches!(wrong.open("p", &sealed), Err(SealError::Damaged(_))));
        }
        let elsewhere = Seal::new([2; KEY_LENGTH]).derive("alias/a");
        assert!(matches!(elsewhere.open("p", &sealed), Err(SealError::OtherKey { .. })));
    }

    #[test]
    fn the_same_secret_never_looks_the_same_twice() {
        let seal = Seal::new([1; KEY_LENGTH]);
        assert_ne!(seal.seal("p", "s").unwrap(), seal.seal("p", "s").unwrap());
    }

    proptest! {
        #[test]
        fn every_changed_character_is_noticed(at in 12usize..60, secret in "[a-z]{20}") {
            let seal = Seal::new([1; KEY_LENGTH]);
            let mut sealed = seal.seal("p", &secret).unwrap().into_bytes();
            sealed[at] = if sealed[at] == b'A' { b'B' } else { b'A' };
            prop_assert!(seal.open("p", &String::from_utf8(sealed).unwrap()).is_err());
        }

        #[test]
        fn no_text_makes_opening_panic(text: String) {
            let seal = Seal::new([1; KEY_LENGTH]);
            prop_assert!(seal.open("p", &text).is_err());
            let named = format!("v1.{}.{text}", seal.key_id);
            prop_assert!(seal.open("p", &named).is_err());
        }
    }
}
