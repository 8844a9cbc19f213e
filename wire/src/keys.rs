//! A node's public key as it crosses the wire: base64 of an X.509 SubjectPublicKeyInfo.

use crate::text;

/// What kind of key a node signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// Ed25519 (RFC 8032). stint's own default; AWS does not know it.
    Ed25519,
    /// RSA of 2048 bits, signing RSASSA-PSS with SHA-256 and a salt of 32 bytes, as
    /// amazon-ssm-agent does.
    Rsa,
}

impl KeyType {
    /// The spelling in `PublicKeyType`.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyType::Ed25519 => "Ed25519",
            KeyType::Rsa => "Rsa",
        }
    }

    /// Reads `PublicKeyType`, in any case of letters.
    pub fn parse(text: &str) -> Option<KeyType> {
        [KeyType::Ed25519, KeyType::Rsa]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
    }
}

/// DER of a SubjectPublicKeyInfo for Ed25519 up to the 32 bytes of the key (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The `PublicKey` member for an Ed25519 key.
pub fn ed25519_public_key(key: &[u8; 32]) -> String {
    let mut der = ED25519_SPKI.to_vec();
    der.extend_from_slice(key);
    text::base64(&der)
}

/// Reads an Ed25519 `PublicKey` member; `None` if it is anything else.
pub fn parse_ed25519_public_key(member: &str) -> Option<[u8; 32]> {
    text::from_base64(member)?.strip_prefix(&ED25519_SPKI)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_ed25519_key_comes_back(key: [u8; 32]) {
            prop_assert_eq!(parse_ed25519_public_key(&ed25519_public_key(&key)), Some(key));
        }

        #[test]
        fn what_is_no_key_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assume!(!bytes.starts_with(&ED25519_SPKI));
            prop_assert_eq!(parse_ed25519_public_key(&text::base64(&bytes)), None);
        }
    }

    #[test]
    fn key_types_are_read_in_any_case() {
        assert_eq!(KeyType::parse("rsa"), Some(KeyType::Rsa));
        assert_eq!(KeyType::parse("ED25519"), Some(KeyType::Ed25519));
        assert_eq!(KeyType::parse("dsa"), None);
    }
}
