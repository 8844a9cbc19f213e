//! The numbered messages of a session, and those of now.

use super::super::transcript::Transcript;
use super::super::work::Sink;
use crate::sys::{clock, random};
use stint_wire::mgs::message::{Message, MessageId, SYN, kind};
use stint_wire::mgs::stream::PayloadType;
use stint_wire::stream::{Incoming, Outgoing};

/// The numbered messages of both directions.
pub(super) struct Stream {
    pub(super) out: Outgoing,
    pub(super) inc: Incoming,
    /// Nobody listens at the other end.
    pub(super) paused: bool,
    pub(super) transcript: Option<Transcript>,
}

impl Sink for Stream {
    fn has_room(&self) -> bool {
        !self.paused && self.out.has_room()
    }

    fn send(&mut self, kind: PayloadType, bytes: &[u8]) {
        if let Some(transcript) = &mut self.transcript
            && matches!(kind, PayloadType::Output | PayloadType::StdErr)
        {
            transcript.add(bytes);
        }
        let sequence = self.out.next_number();
        let message = Message {
            sequence,
            flags: if sequence == 0 { SYN } else { 0 },
            payload_type: kind as u32,
            ..message(kind::OUTPUT_STREAM_DATA, bytes)
        };
        self.out.push(message.write());
    }
}

/// A message of now, outside the stream.
pub(super) fn message<'a>(kind: &'a str, payload: &'a [u8]) -> Message<'a> {
    // Ids are looked at by nobody; poor ones do no harm.
    let id = MessageId::new(random::bytes().unwrap_or_default());
    // A device without a clock is in 1970, and the other side refuses exactly 0.
    let created = stint_wire::time::Utc(clock::system().0.max(1));
    Message::new(kind, id, created, payload)
}
