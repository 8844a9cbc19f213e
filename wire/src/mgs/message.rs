//! One binary message: a header of 120 bytes, then the payload to the end. Numbers are big-endian.

use crate::time::Utc;
use sha2::{Digest, Sha256};
use std::fmt;

/// Where the payload's length stands; the payload begins 4 bytes later.
const HEADER: u32 = 116;

/// The header's size, bytes.
pub const HEADER_BYTES: usize = HEADER as usize + 4;

/// The length of the message type's field, bytes.
const TYPE_BYTES: usize = 32;

/// `SchemaVersion`.
const VERSION: u32 = 1;

/// Types of messages. Readers ignore the ones they don't know.
pub mod kind {
    /// Server to agent, control channel: run or cancel a command.
    pub const AGENT_JOB: &str = "agent_job";
    /// Agent to server: the job is taken, or why not.
    pub const AGENT_JOB_ACK: &str = "agent_job_ack";
    /// Agent to server: what became of a job, or how far it is.
    pub const AGENT_JOB_REPLY: &str = "agent_job_reply";
    /// Server to agent: the reply is taken.
    pub const AGENT_JOB_REPLY_ACK: &str = "agent_job_reply_ack";
    /// Server to agent, control channel: start a session of any type.
    pub const INTERACTIVE_SHELL: &str = "interactive_shell";
    /// From the server on both channels: the session is to end, or has.
    pub const CHANNEL_CLOSED: &str = "channel_closed";
    /// Agent to server, control channel: a session is over.
    pub const AGENT_TASK_COMPLETE: &str = "agent_task_complete";
    /// Server to agent: that is known.
    pub const AGENT_TASK_ACKNOWLEDGE: &str = "agent_task_acknowledge";
    /// Agent to client, data channel.
    pub const OUTPUT_STREAM_DATA: &str = "output_stream_data";
    /// Client to agent, data channel.
    pub const INPUT_STREAM_DATA: &str = "input_stream_data";
    /// Both ways, data channel: one message of stream data has come.
    pub const ACKNOWLEDGE: &str = "acknowledge";
    /// Agent to server, data channel.
    pub const AGENT_SESSION_STATE: &str = "agent_session_state";
    /// From the server, data channel: nobody listens at the other end for now.
    pub const PAUSE_PUBLICATION: &str = "pause_publication";
    /// From the server, data channel: somebody does again.
    pub const START_PUBLICATION: &str = "start_publication";
}

/// The first message of a stream has this flag.
pub const SYN: u64 = 1;

/// What acknowledgements and session states are flagged with.
pub const SYN_FIN: u64 = 3;

/// The id of a message: a UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub [u8; 16]);

impl MessageId {
    /// A version 4 UUID made of 16 random bytes, or of a digest's.
    pub fn new(random: [u8; 16]) -> MessageId {
        let mut bytes = random;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        MessageId(bytes)
    }

    /// Reads the usual spelling, in either case.
    pub fn parse(text: &str) -> Option<MessageId> {
        crate::ids::is_uuid(text).then_some(())?;
        let mut digits = text.chars().filter_map(|digit| digit.to_digit(16));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            *byte = (digits.next()? << 4 | digits.next()?) as u8;
        }
        Some(MessageId(bytes))
    }

    /// With its halves exchanged: so it stands on the wire.
    fn swapped(self) -> [u8; 16] {
        let mut out = self.0;
        out.rotate_left(8);
        out
    }
}

impl fmt::Display for MessageId {
    /// Hyphenated, lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// They end within the header.
    Short,
    /// The header names a length of its own that can't be.
    Header,
    /// The type is no text.
    Type,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameError::Short => "the message ends within its header",
            FrameError::Header => "the message's header has an impossible length",
            FrameError::Type => "the message's type is no text",
        })
    }
}

impl std::error::Error for FrameError {}

/// A message. Its payload is borrowed: that of the bytes it was read from, or is written from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// One of [`kind`], or another.
    pub kind: &'a str,
    /// When it was made.
    pub created: Utc,
    /// Counts stream data in its direction from 0 on; 0 elsewhere.
    pub sequence: i64,
    /// [`SYN`], [`SYN_FIN`] or 0. No reader looks at them.
    pub flags: u64,
    /// Its id.
    pub id: MessageId,
    /// What stream data is ([`super::stream::PayloadType`]); 0 elsewhere.
    pub payload_type: u32,
    /// JSON, or what a stream carries.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// A message outside any stream.
    pub fn new(kind: &'a str, id: MessageId, created: Utc, payload: &'a [u8]) -> Message<'a> {
        Message { kind, created, sequence: 0, flags: 0, id, payload_type: 0, payload }
    }

    /// Reads one. The digest isn't looked at (see [`is_intact`]), nor is the payload's length: as with
    /// the original, the payload is all that follows the header.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn parse(frame: &'a [u8]) -> Result<Message<'a>, FrameError> {
        let header = u32::from_be_bytes(take(frame, 0)?);
        if header < HEADER {
            return Err(FrameError::Header);
        }
        let begin = (header as usize).checked_add(4).ok_or(FrameError::Header)?;
        let payload = frame.get(begin..).ok_or(FrameError::Short)?;
        let name: &[u8] = frame.get(4..4 + TYPE_BYTES).ok_or(FrameError::Short)?;
        let name = std::str::from_utf8(name).map_err(|_| FrameError::Type)?;
        let mut id = take::<16>(frame, 64)?;
        id.rotate_left(8);
        Ok(Message {
            kind: name.trim_matches('\0').trim(),
            created: Utc(u64::from_be_bytes(take(frame, 40)?)),
            sequence: i64::from_be_bytes(take(frame, 48)?),
            flags: u64::from_be_bytes(take(frame, 56)?),
            id: MessageId(id),
            payload_type: u32::from_be_bytes(take(frame, 112)?),
            payload,
        })
    }

    /// Writes it, its digest with it. Of a type longer than 32 bytes only these are written.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        out.extend(HEADER.to_be_bytes());
        out.extend(self.kind.bytes().chain(std::iter::repeat(b' ')).take(TYPE_BYTES));
        out.extend(VERSION.to_be_bytes());
        out.extend(self.created.0.to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.flags.to_be_bytes());
        out.extend(self.id.swapped());
        out.extend_from_slice(&Sha256::digest(self.payload));
        out.extend(self.payload_type.to_be_bytes());
        out.extend((self.payload.len() as u32).to_be_bytes());
        out.extend_from_slice(self.payload);
        out
    }
}

/// Whether the payload is the one that the header's digest is of. The original's agent doesn't look; its
/// client drops what isn't.
pub fn is_intact(frame: &[u8]) -> bool {
    let payload = Message::parse(frame).map(|message| message.payload);
    payload.is_ok_and(|payload| frame.get(80..112) == Some(&Sha256::digest(payload)[..]))
}

fn take<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], FrameError> {
    let bytes = frame.get(at..at + N).ok_or(FrameError::Short)?;
    bytes.try_into().map_err(|_| FrameError::Short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: MessageId = MessageId([
        0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
    ]);

    #[test]
    fn the_halves_of_a_uuid_are_exchanged() {
        assert_eq!(ID.to_string(), "00112233-4455-4677-8899-aabbccddeeff");
        assert_eq!(MessageId::parse("00112233-4455-4677-8899-AABBCCDDEEFF"), Some(ID));
        assert_eq!(MessageId::parse("00112233-4455-4677-8899-AABBCCDDEEF"), None);
        let frame = Message::new(kind::AGENT_JOB, ID, Utc(1), b"").write();
        assert_eq!(crate::text::hex(&frame[64..80]), "8899aabbccddeeff0011223344554677");
    }

    #[test]
    fn a_type_may_be_padded_with_zeros_and_a_header_may_have_grown() {
        let mut frame = Message::new(kind::AGENT_JOB, ID, Utc(1), b"{}").write();
        for byte in &mut frame[4 + kind::AGENT_JOB.len()..36] {
            *byte = 0;
        }
        assert_eq!(Message::parse(&frame).unwrap().kind, kind::AGENT_JOB);
        frame[3] = HEADER as u8 + 1;
        assert_eq!(Message::parse(&frame).unwrap().payload, b"}");
        frame[3] = HEADER as u8 - 1;
        assert_eq!(Message::parse(&frame), Err(FrameError::Header));
        frame[..4].copy_from_slice(&[0xff; 4]);
        assert!(Message::parse(&frame).is_err());
    }

    #[test]
    fn a_payload_that_was_changed_on_its_way_is_seen() {
        let mut frame = Message::new(kind::AGENT_JOB, ID, Utc(1), b"{}").write();
        assert!(is_intact(&frame));
        frame[HEADER_BYTES] = b'[';
        assert!(!is_intact(&frame));
        assert!(Message::parse(&frame).is_ok());
    }

    proptest! {
        #[test]
        fn a_message_comes_back_as_it_was(
            kind in "[a-z_]{1,32}", created: u64, sequence: i64, flags: u64, id: [u8; 16],
            payload_type: u32, payload: Vec<u8>,
        ) {
            let message = Message {
                kind: &kind, created: Utc(created), sequence, flags, id: MessageId(id), payload_type,
                payload: &payload,
            };
            let frame = message.write();
            prop_assert_eq!(Message::parse(&frame), Ok(message));
            prop_assert!(is_intact(&frame));
            prop_assert_eq!(MessageId::parse(&message.id.to_string()), Some(message.id));
        }

        #[test]
        fn what_is_cut_off_is_refused(len in 0..HEADER_BYTES) {
            let frame = Message::new(kind::AGENT_JOB, ID, Utc(1), b"").write();
            prop_assert!(Message::parse(&frame[..len]).is_err());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(frame: Vec<u8>, header: u32) {
            let _ = Message::parse(&frame);
            let mut frame = [header.to_be_bytes().to_vec(), frame].concat();
            frame.resize(200, b'x');
            let _ = (Message::parse(&frame), is_intact(&frame));
        }
    }
}
