//! Whether an answer is the server's, and meant for this request. Pure.

use ed25519_dalek::{Signature, VerifyingKey};
use stint_wire::bootagent::register;
use stint_wire::bootagent::sign::{AnswerText, key_id};
use stint_wire::text::from_base64;

/// What an answer carries to prove itself.
pub struct Proof<'a> {
    /// The header `Stint-Key`.
    pub key: Option<&'a str>,
    /// The header `Stint-Signature`.
    pub signature: Option<&'a str>,
}

/// Whom this node believes.
pub struct Trust<'a> {
    /// The keys it has pinned, or the configured one before it has any.
    pub keys: &'a [[u8; 32]],
    /// There is no key yet, and the answer may bring the first.
    pub first_contact: bool,
    /// Answers that nobody signed are good enough: the configuration says so.
    pub unsigned: bool,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// A key that is trusted, or is from now on, has signed it.
    Signed,
    /// Nobody has signed it, and nobody needs to.
    Unsigned,
    /// A refusal at the first contact, which can be read and changes nothing.
    Refusal,
}

/// Judges an answer.
///
/// # Errors
/// It isn't to be believed; the text says why and what would help.
pub fn judge(
    trust: &Trust<'_>,
    proof: &Proof<'_>,
    answer: &AnswerText<'_>,
) -> Result<Worth, &'static str> {
    let (Some(name), Some(signature)) = (proof.key, proof.signature) else {
        return match trust.unsigned {
            true => Ok(Worth::Unsigned),
            false => Err("the server hasn't signed it; if that is how it should be, say \
                          \"acceptUnsignedJobs\": true in the configuration's \"bootagent\""),
        };
    };
    let find = |keys: &[[u8; 32]]| keys.iter().find(|key| key_id(key) == name).copied();
    let brought = || {
        let body = std::str::from_utf8(answer.body).unwrap_or_default();
        register::Answer::read(body).unwrap_or_default()
    };
    let key = match find(trust.keys) {
        Some(key) => Some(key),
        None if trust.first_contact => {
            let brought = brought();
            if answer.status != 200 || brought.status != 0 {
                return Ok(Worth::Refusal);
            }
            find(&brought.serverkeys)
        }
        None => None,
    };
    match key {
        Some(key) if verify(&key, signature, &answer.to_sign()) => Ok(Worth::Signed),
        Some(_) => Err("its signature is wrong"),
        None if trust.unsigned => Ok(Worth::Unsigned),
        None => Err("it is signed by a key that this node doesn't know; if the server has new \
                     ones, register this node again"),
    }
}

/// Whether the holder of `key` has signed `text`.
fn verify(key: &[u8; 32], signature: &str, text: &str) -> bool {
    let key = VerifyingKey::from_bytes(key).ok();
    let signature = from_base64(signature).and_then(|bytes| Signature::from_slice(&bytes).ok());
    key.zip(signature).is_some_and(|(key, made)| key.verify_strict(text.as_bytes(), &made).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::KeyPair;
    use stint_wire::keys::{KeyType, parse_ed25519_public_key};

    struct Server(KeyPair);

    impl Server {
        fn new() -> Server {
            Server(KeyPair::generate(KeyType::Ed25519).unwrap())
        }

        fn key(&self) -> [u8; 32] {
            parse_ed25519_public_key(&self.0.public().unwrap()).unwrap()
        }
    }

    fn text<'a>(status: u16, nonce: &'a str, body: &'a str) -> AnswerText<'a> {
        AnswerText { status, path: "/p", agentsn: "a", nonce, body: body.as_bytes() }
    }

    fn ask(
        trust: &Trust<'_>,
        signer: Option<&Server>,
        signed: &AnswerText<'_>,
        seen: &AnswerText<'_>,
    ) -> Result<Worth, &'static str> {
        let name = signer.map(|signer| key_id(&signer.key()));
        let signature = signer.map(|signer| signer.0.sign(&signed.to_sign()).unwrap());
        judge(trust, &Proof { key: name.as_deref(), signature: signature.as_deref() }, seen)
    }

    #[test]
    fn only_a_pinned_key_and_only_what_it_signed_is_believed() {
        let (server, other) = (Server::new(), Server::new());
        let keys = [server.key()];
        let trust = Trust { keys: &keys, first_contact: false, unsigned: false };
        let answer = text(200, "n", "{}");
        assert_eq!(ask(&trust, Some(&server), &answer, &answer), Ok(Worth::Signed));
        for changed in [text(201, "n", "{}"), text(200, "m", "{}"), text(200, "n", "{ }")] {
            let said = ask(&trust, Some(&server), &answer, &changed);
            assert_eq!(said, Err("its signature is wrong"));
        }
        assert!(ask(&trust, Some(&other), &answer, &answer).unwrap_err().contains("doesn't know"));
        let said = ask(&trust, None, &answer, &answer).unwrap_err();
        assert!(said.contains("acceptUnsignedJobs"));
        let proof = Proof { key: Some(&key_id(&server.key())), signature: Some("!") };
        assert_eq!(judge(&trust, &proof, &answer), Err("its signature is wrong"));
    }

    #[test]
    fn where_the_configuration_says_so_nobody_needs_to_sign_but_nobody_may_sign_wrongly() {
        let server = Server::new();
        let keys = [server.key()];
        let trust = Trust { keys: &keys, first_contact: false, unsigned: true };
        let answer = text(200, "n", "{}");
        assert_eq!(ask(&trust, None, &answer, &answer), Ok(Worth::Unsigned));
        assert_eq!(ask(&trust, Some(&Server::new()), &answer, &answer), Ok(Worth::Unsigned));
        let said = ask(&trust, Some(&server), &answer, &text(200, "n", "{1}"));
        assert_eq!(said, Err("its signature is wrong"));
    }

    #[test]
    fn the_first_contact_believes_the_key_that_comes_with_the_answer() {
        let server = Server::new();
        let trust = Trust { keys: &[], first_contact: true, unsigned: false };
        let body = register::Answer { serverkeys: vec![server.key()], ..Default::default() };
        let body = body.write();
        let answer = text(200, "n", &body);
        assert_eq!(ask(&trust, Some(&server), &answer, &answer), Ok(Worth::Signed));
        assert!(ask(&trust, Some(&Server::new()), &answer, &answer).is_err());
        assert!(ask(&trust, None, &answer, &answer).is_err());
        let refused = text(403, "n", r#"{"status":6,"message":"no"}"#);
        assert_eq!(ask(&trust, Some(&server), &refused, &refused), Ok(Worth::Refusal));
    }
}
