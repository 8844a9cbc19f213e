//! A node's own key: what is accepted at registration, and whether it made a signature.

use rsa::RsaPublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use stint_wire::keys::{self, KeyType};
use stint_wire::text;

/// The smallest RSA key, bits: what amazon-ssm-agent makes.
const RSA_MIN_BITS: usize = 2048;
/// The largest, bits: verifying a longer one would cost the hub more than it is worth.
const RSA_MAX_BITS: usize = 4096;
/// Characters of the base64 of a [`RSA_MAX_BITS`] key, rounded up; nothing longer is decoded.
const MAX_LENGTH: usize = 1024;

/// A public key of a kind that nodes sign with.
#[derive(Clone, Debug)]
pub enum NodeKey {
    /// Signs RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    Rsa(RsaPublicKey),
    /// Signs Ed25519.
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl NodeKey {
    /// Reads the members `PublicKey` and `PublicKeyType`.
    ///
    /// # Errors
    /// What is wrong with the key and which ones are accepted.
    pub fn parse(kind: &str, key: &str) -> Result<NodeKey, String> {
        if key.len() > MAX_LENGTH {
            return Err(format!("the public key is longer than {MAX_LENGTH} characters"));
        }
        match KeyType::parse(kind) {
            Some(KeyType::Rsa) => parse_rsa(key),
            Some(KeyType::Ed25519) => parse_ed25519(key),
            None => Err(format!("the key type '{kind}' is unknown; use Rsa or Ed25519")),
        }
    }

    /// Whether this key made the signature (base64) of the message.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Some(bytes) = text::from_base64(signature) else { return false };
        match self {
            NodeKey::Rsa(key) => {
                rsa::pss::Signature::try_from(bytes.as_slice()).is_ok_and(|signature| {
                    rsa::pss::VerifyingKey::<Sha256>::new(key.clone())
                        .verify(message, &signature)
                        .is_ok()
                })
            }
            NodeKey::Ed25519(key) => ed25519_dalek::Signature::from_slice(&bytes)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

fn parse_rsa(key: &str) -> Result<NodeKey, String> {
    let der = text::from_base64(key).ok_or("the public key is no base64")?;
    let key = RsaPublicKey::from_public_key_der(&der)
        .map_err(|e| format!("the public key is no RSA SubjectPublicKeyInfo: {e}"))?;
    let bits = key.n().bits();
    if !(RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits) {
        return Err(format!("the RSA key has {bits} bits; use {RSA_MIN_BITS} to {RSA_MAX_BITS}"));
    }
    Ok(NodeKey::Rsa(key))
}

fn parse_ed25519(key: &str) -> Result<NodeKey, String> {
    let bytes = keys::parse_ed25519_public_key(key)
        .ok_or("the public key is no Ed25519 SubjectPublicKeyInfo in base64")?;
    ed25519_dalek::VerifyingKey::from_bytes(&bytes)
        .ok()
        .filter(|key| !key.is_weak())
        .map(NodeKey::Ed25519)
        .ok_or_else(|| "the public key is no point that Ed25519 signs with".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::request::testing::parse;
    use super::super::signature::{Coverage, read};
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use stint_wire::time::Utc;

    fn registered_key() -> NodeKey {
        let text = include_str!("../../../tests/fixtures/amazon-ssm-agent/register.http");
        let body: serde_json::Value = serde_json::from_slice(&parse(text).body).unwrap();
        let member = |name: &str| body[name].as_str().unwrap().to_owned();
        NodeKey::parse(&member("PublicKeyType"), &member("PublicKey")).unwrap()
    }

    #[test]
    fn the_key_signed_requests_of_the_real_agent_verify() {
        for text in [
            include_str!("../../../tests/fixtures/amazon-ssm-agent/request-role-token.http"),
            include_str!("../../../tests/fixtures/amazon-ssm-agent/update-public-key.http"),
        ] {
            let request = parse(text);
            let now = Utc::parse_amz(request.header("x-amz-date").unwrap()).unwrap();
            let claim = read(&request, "ssm", Coverage::AllButContentHash, now).unwrap();
            assert_eq!(claim.key, "mi-0123456789abcdef0");
            let signed = claim.string_to_sign.as_bytes();
            assert!(registered_key().verifies(signed, &claim.signature));
            assert!(!registered_key().verifies(&signed[1..], &claim.signature));
            assert!(!registered_key().verifies(signed, ""));
            let strict = read(&request, "ssm", Coverage::All, now).unwrap_err();
            assert!(strict.message.contains("x-amz-content-sha256"));
        }
    }

    #[test]
    fn a_changed_body_of_a_key_signed_request_does_not_verify() {
        let text = include_str!("../../../tests/fixtures/amazon-ssm-agent/request-role-token.http");
        let mut request = parse(text);
        let now = Utc::parse_amz(request.header("x-amz-date").unwrap()).unwrap();
        request.body = br#"{"Fingerprint":"other"}"#.as_slice().into();
        let refused = read(&request, "ssm", Coverage::AllButContentHash, now).unwrap_err();
        assert!(refused.message.contains("x-amz-content-sha256"));
        request.headers.retain(|(name, _)| name != "x-amz-content-sha256");
        let claim = read(&request, "ssm", Coverage::AllButContentHash, now).unwrap();
        assert!(!registered_key().verifies(claim.string_to_sign.as_bytes(), &claim.signature));
    }

    #[test]
    fn an_ed25519_key_verifies_its_own_signatures_only() {
        let signer = SigningKey::from_bytes(&[3; 32]);
        let member = keys::ed25519_public_key(&signer.verifying_key().to_bytes());
        let key = NodeKey::parse("Ed25519", &member).unwrap();
        let signature = text::base64(&signer.sign(b"message").to_bytes());
        assert!(key.verifies(b"message", &signature));
        assert!(!key.verifies(b"another", &signature));
        assert!(!registered_key().verifies(b"message", &signature));
    }

    #[test]
    fn weak_and_malformed_keys_are_refused_with_the_reason() {
        let small = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1P\
                     t8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==";
        for (kind, key, reason) in [
            ("Rsa", small, "512 bits"),
            ("Rsa", "bm90IGEga2V5", "SubjectPublicKeyInfo"),
            ("Rsa", "!", "base64"),
            ("Dsa", "bm90IGEga2V5", "use Rsa or Ed25519"),
            ("Ed25519", "bm90IGEga2V5", "SubjectPublicKeyInfo"),
            ("Ed25519", &keys::ed25519_public_key(&[0; 32]), "no point"),
            ("Rsa", &"A".repeat(MAX_LENGTH + 4), "longer"),
        ] {
            let error = NodeKey::parse(kind, key).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
