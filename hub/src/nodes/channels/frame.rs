//! Binary messages of the channels: a header of 120 bytes, then the payload.
//!
//! The hub makes and reads only what it is itself a party of; what it relays stays as it is.

use sha2::{Digest, Sha256};
use stint_wire::time::Utc;

const HEADER: usize = 120;
/// What the header says of its own length: it doesn't count the payload's length.
const HEADER_LENGTH: u32 = 116;
const SCHEMA_VERSION: u32 = 1;
/// Bytes of the type's name, filled with spaces.
const TYPE_LENGTH: usize = 32;

/// What the hub looks at in a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'f> {
    /// `agent_job_reply` and the like.
    pub kind: &'f str,
    /// The sender's id of the message, as text.
    pub id: String,
    /// Everything after the header.
    pub payload: &'f [u8],
}

impl<'f> Frame<'f> {
    /// Reads a message; `None` if it is none.
    pub fn read(bytes: &'f [u8]) -> Option<Frame<'f>> {
        let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        if length == 0 {
            return None;
        }
        let kind = std::str::from_utf8(bytes.get(4..4 + TYPE_LENGTH)?).ok()?;
        let kind = kind.trim_matches('\0').trim();
        let id = bytes.get(64..80)?;
        let payload = bytes.get(length.checked_add(4)?.max(HEADER)..)?;
        Some(Frame { kind, id: uuid_text(id)?, payload })
    }
}

/// A message of the hub's own.
pub fn message(kind: &str, id: [u8; 16], now: Utc, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend(HEADER_LENGTH.to_be_bytes());
    out.extend(kind.bytes().chain(std::iter::repeat(b' ')).take(TYPE_LENGTH));
    out.extend(SCHEMA_VERSION.to_be_bytes());
    out.extend(now.0.to_be_bytes());
    // The sequence number and the flags.
    out.extend([0; 16]);
    let (high, low) = id.split_at(8);
    out.extend(low.iter().chain(high));
    out.extend(Sha256::digest(payload));
    // The payload's type.
    out.extend([0; 4]);
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out
}

/// The id's halves stand the other way round on the wire.
fn uuid_text(bytes: &[u8]) -> Option<String> {
    let (low, high) = bytes.split_at_checked(8)?;
    let hex = stint_wire::text::hex(&[high, low].concat());
    let parts =
        [hex.get(..8)?, hex.get(8..12)?, hex.get(12..16)?, hex.get(16..20)?, hex.get(20..)?];
    Some(parts.join("-"))
}
