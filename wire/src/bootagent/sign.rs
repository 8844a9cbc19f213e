//! The signed exchange: what is signed, and how keys are named. The signatures themselves are
//! Ed25519 (RFC 8032), made and verified by whoever holds the keys.

use crate::text;

/// The request's header with the agent's id.
pub const AGENT: &str = "stint-agent";
/// The request's header with its time, Unix seconds.
pub const DATE: &str = "stint-date";
/// The request's header with 32 random hexadecimal digits.
pub const NONCE: &str = "stint-nonce";
/// The request's header with the ids of the server keys that the node trusts.
pub const PINS: &str = "stint-pins";
/// The header with the signature, of both directions: base64.
pub const SIGNATURE: &str = "stint-signature";
/// The answer's header with the id of the key that signed it.
pub const KEY: &str = "stint-key";

/// How far a request's time may be from the server's, seconds.
pub const MAX_AGE: u64 = 300;

/// The `errcode` and `status` of a request whose time is further off; the body has `date`.
pub const STALE: i64 = 4;

/// The `errcode` and `status` for a node that the server doesn't know, or not any more: it has to
/// register.
pub const UNKNOWN: i64 = 3;

/// How many server keys a node keeps: the one in use, its successor, and room for a mistake.
pub const MAX_KEYS: usize = 8;

/// What a request's signature covers.
pub struct RequestText<'a> {
    /// `POST`
    pub method: &'a str,
    /// `/agent/status`
    pub path: &'a str,
    /// As in its header.
    pub agentsn: &'a str,
    /// As in its header.
    pub date: &'a str,
    /// As in its header.
    pub nonce: &'a str,
    /// As in its header.
    pub pins: &'a str,
    /// The body as it is sent.
    pub body: &'a [u8],
}

impl RequestText<'_> {
    /// The lines to sign.
    pub fn to_sign(&self) -> String {
        lines(&[
            "STINT1-REQUEST",
            self.method,
            self.path,
            self.agentsn,
            self.date,
            self.nonce,
            self.pins,
            &text::sha256_hex(self.body),
        ])
    }
}

/// What an answer's signature covers. Agent and nonce are the request's, so that no answer can be
/// used a second time or for another node.
pub struct AnswerText<'a> {
    /// The HTTP status.
    pub status: u16,
    /// `/agent/status`
    pub path: &'a str,
    /// The request's.
    pub agentsn: &'a str,
    /// The request's.
    pub nonce: &'a str,
    /// The body as it is sent.
    pub body: &'a [u8],
}

impl AnswerText<'_> {
    /// The lines to sign.
    pub fn to_sign(&self) -> String {
        lines(&[
            "STINT1-ANSWER",
            &self.status.to_string(),
            self.path,
            self.agentsn,
            self.nonce,
            &text::sha256_hex(self.body),
        ])
    }
}

fn lines(lines: &[&str]) -> String {
    lines.join("\n")
}

/// The id of a public key: the first 16 hexadecimal digits of its SHA-256.
pub fn key_id(key: &[u8; 32]) -> String {
    text::head(&text::sha256_hex(key), 16).to_owned()
}

/// The ids of several keys, as in the header `Stint-Pins`.
pub fn key_ids(keys: &[[u8; 32]]) -> String {
    let ids: Vec<String> = keys.iter().map(key_id).collect();
    ids.join(",")
}

/// A public key as text: `ed25519:` and base64.
pub fn key_text(key: &[u8; 32]) -> String {
    format!("ed25519:{}", text::base64(key))
}

/// Reads what [`key_text`] writes; `None` if it is anything else.
pub fn parse_key(text: &str) -> Option<[u8; 32]> {
    text::from_base64(text.strip_prefix("ed25519:")?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_lines_to_sign_are_as_documented() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let request = RequestText {
            method: "POST",
            path: "/agent/status",
            agentsn: "a",
            date: "1",
            nonce: "n",
            pins: "p,q",
            body: b"",
        };
        let wanted = format!("STINT1-REQUEST\nPOST\n/agent/status\na\n1\nn\np,q\n{empty}");
        assert_eq!(request.to_sign(), wanted);
        let answer =
            AnswerText { status: 200, path: "/agent/status", agentsn: "a", nonce: "n", body: b"" };
        assert_eq!(answer.to_sign(), format!("STINT1-ANSWER\n200\n/agent/status\na\nn\n{empty}"));
    }

    #[test]
    fn a_key_is_named_by_its_digest() {
        assert_eq!(key_id(&[0; 32]), "66687aadf862bd77");
        assert_eq!(key_ids(&[[0; 32], [0; 32]]), "66687aadf862bd77,66687aadf862bd77");
        assert_eq!(key_ids(&[]), "");
    }

    proptest! {
        #[test]
        fn a_key_comes_back_from_its_text(key: [u8; 32]) {
            prop_assert_eq!(parse_key(&key_text(&key)), Some(key));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:!"] {
            assert_eq!(parse_key(text), None, "{text}");
        }
    }
}
