//! Websockets (RFC 6455) as pure functions over bytes: the handshake of a client, frames of both sides.
//! No extension is offered, and none is taken.

use crate::sha1;
use crate::text::base64;
use std::fmt;

/// What is added to the client's nonce (RFC 6455 §1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The longest payload of a ping, a pong or a close, bytes.
pub const MAX_CONTROL: usize = 125;

/// The longest head of an answer to the handshake, bytes.
pub const MAX_HEAD: usize = 8 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0,
    /// The beginning of a message of text, or all of it.
    Text = 1,
    /// The same, of bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// To be answered by a pong with the same payload.
    Ping = 9,
    /// The answer.
    Pong = 10,
}

/// Why the other side can't be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It breaks the rules of frames.
    Frame,
    /// A message is longer than what is taken here.
    TooLong,
    /// The answer to the handshake is none, or not to this one.
    Handshake,
    /// The handshake was refused, with this status.
    Status(u16),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Frame => f.write_str("the other side breaks the rules of websockets"),
            Fault::TooLong => f.write_str("a message on the websocket is too long"),
            Fault::Handshake => f.write_str("what answers there is no websocket"),
            Fault::Status(status) => {
                write!(f, "the websocket was refused with HTTP status {status}")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// The client's nonce of 16 random bytes, as its header has it.
pub fn key(random: [u8; 16]) -> String {
    base64(&random)
}

/// What the server must answer to that.
pub fn accept(key: &str) -> String {
    base64(&sha1::digest(format!("{key}{MAGIC}").as_bytes()))
}

/// The client's request. `target` is path and query; `headers` come after `host`.
pub fn request(target: &str, host: &str, key: &str, headers: &[(&str, &str)]) -> String {
    let mut out = format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
    );
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            out.push_str(part);
        }
    }
    out.push_str("\r\n");
    out
}

/// Judges the answer to a request with this key. `None`: its head isn't whole yet. Else its length; what
/// follows are frames.
///
/// # Errors
/// See [`Fault`].
pub fn answered(bytes: &[u8], key: &str) -> Result<Option<usize>, Fault> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD { Err(Fault::Handshake) } else { Ok(None) };
    };
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default());
    let mut lines = head.map_err(|_| Fault::Handshake)?.split("\r\n");
    let first = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
    let status = first.and_then(|line| line.get(2..5)).and_then(|status| status.parse().ok());
    match status {
        Some(101) => {}
        Some(status) => return Err(Fault::Status(status)),
        None => return Err(Fault::Handshake),
    }
    let (mut upgraded, mut connected, mut accepted) = (false, false, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("upgrade") {
            upgraded = value.eq_ignore_ascii_case("websocket");
        } else if is("connection") {
            connected = value.split(',').any(|it| it.trim().eq_ignore_ascii_case("upgrade"));
        } else if is("sec-websocket-accept") {
            accepted = value == accept(key);
        } else if is("sec-websocket-extensions") || is("sec-websocket-protocol") {
            return Err(Fault::Handshake);
        }
    }
    if upgraded && connected && accepted { Ok(Some(end + 4)) } else { Err(Fault::Handshake) }
}

/// Appends a frame that is a whole message. A client masks it with 4 random bytes.
pub fn write(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    out.reserve(payload.len() + 14);
    out.push(0x80 | opcode as u8);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ ..126 => out.push(masked | len as u8),
        len @ ..0x1_0000 => {
            out.push(masked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(masked | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    let begin = out.len() + 4;
    match mask {
        Some(mask) => {
            out.extend(mask);
            out.extend_from_slice(payload);
            unmask(out.get_mut(begin..).unwrap_or_default(), mask);
        }
        None => out.extend_from_slice(payload),
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    for piece in bytes.chunks_mut(4) {
        for (byte, mask) in piece.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message, of text or of bytes.
    Message(Vec<u8>),
    /// It wants a pong with this payload.
    Ping(Vec<u8>),
    /// A pong.
    Pong,
    /// The other side wants an end, with this code; 1005 if it says none.
    Close(u16),
}

/// Makes events of the bytes that come from the other side.
#[derive(Debug)]
pub struct Reader {
    /// No message is longer, bytes.
    limit: usize,
    /// The other side is a client, which masks.
    from_client: bool,
    /// What came, from `at` on not looked at yet.
    bytes: Vec<u8>,
    at: usize,
    /// The beginning of a message whose end has yet to come.
    message: Option<Vec<u8>>,
}

impl Reader {
    /// One that takes messages of up to `limit` bytes from a server, or from a client.
    pub fn new(limit: usize, from_client: bool) -> Reader {
        Reader { limit, from_client, bytes: Vec::new(), at: 0, message: None }
    }

    /// Takes bytes in. All events should be taken before more comes: so at most one frame is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event, if it is whole.
    ///
    /// # Errors
    /// The other side breaks the rules; nothing that follows makes sense.
    pub fn event(&mut self) -> Result<Option<Event>, Fault> {
        while let Some(frame) = self.frame()? {
            if let Some(event) = self.take(frame)? {
                return Ok(Some(event));
            }
        }
        if self.at == self.bytes.len() {
            // An idle connection keeps no memory of its longest message.
            (self.bytes, self.at) = (Vec::new(), 0);
        }
        Ok(None)
    }

    fn take(
        &mut self,
        (last, opcode, payload): (bool, u8, Vec<u8>),
    ) -> Result<Option<Event>, Fault> {
        if opcode >= Opcode::Close as u8 {
            return match opcode {
                it if it == Opcode::Ping as u8 => Ok(Some(Event::Ping(payload))),
                it if it == Opcode::Pong as u8 => Ok(Some(Event::Pong)),
                it if it == Opcode::Close as u8 => match payload.as_slice() {
                    [] => Ok(Some(Event::Close(1005))),
                    [high, low, ..] => Ok(Some(Event::Close(u16::from_be_bytes([*high, *low])))),
                    _ => Err(Fault::Frame),
                },
                _ => Err(Fault::Frame),
            };
        }
        let begins = match opcode {
            0 => false,
            1 | 2 => true,
            _ => return Err(Fault::Frame),
        };
        let message = match (self.message.take(), begins) {
            (None, true) => payload,
            (Some(mut message), false) if message.len() + payload.len() <= self.limit => {
                message.extend_from_slice(&payload);
                message
            }
            (Some(_), false) => return Err(Fault::TooLong),
            _ => return Err(Fault::Frame),
        };
        if last {
            return Ok(Some(Event::Message(message)));
        }
        self.message = Some(message);
        Ok(None)
    }

    /// The next frame, if it is whole: whether it is the last of its message, opcode, payload.
    fn frame(&mut self) -> Result<Option<(bool, u8, Vec<u8>)>, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let &[first, second, ref rest @ ..] = rest else { return Ok(None) };
        let (last, opcode, short) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let is_control = opcode >= Opcode::Close as u8;
        let is_masked = second & 0x80 != 0;
        if first & 0x70 != 0
            || is_masked != self.from_client
            || (is_control && (!last || short > 125))
        {
            return Err(Fault::Frame);
        }
        let (length_bytes, mask_bytes) = match short {
            126 => (2, 4 * usize::from(is_masked)),
            127 => (8, 4 * usize::from(is_masked)),
            _ => (0, 4 * usize::from(is_masked)),
        };
        let Some(length) = rest.get(..length_bytes) else { return Ok(None) };
        let length = match length_bytes {
            0 => u64::from(short),
            _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        let length = usize::try_from(length).ok();
        let length = length.filter(|length| is_control || *length <= self.limit);
        let length = length.ok_or(Fault::TooLong)?;
        let Some(mask) = rest.get(length_bytes..length_bytes + mask_bytes) else { return Ok(None) };
        let begin = length_bytes + mask_bytes;
        let Some(payload) = rest.get(begin..begin + length) else { return Ok(None) };
        let mut payload = payload.to_vec();
        if let Ok(mask) = mask.try_into() {
            unmask(&mut payload, mask);
        }
        self.at += 2 + begin + length;
        Ok(Some((last, opcode, payload)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn answer(more: &str) -> Result<Option<usize>, Fault> {
        let text = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, \
             Upgrade\r\n{more}\r\n\r\n"
        );
        answered(text.as_bytes(), KEY)
    }

    #[test]
    fn the_handshake_of_the_standard_is_accepted_and_others_are_not() {
        assert_eq!(accept(KEY), ACCEPT);
        let good = format!("Sec-WebSocket-Accept: {ACCEPT}");
        assert!(answer(&good).is_ok_and(|end| end.is_some()));
        assert_eq!(answer("Sec-WebSocket-Accept: x"), Err(Fault::Handshake));
        let extended = format!("{good}\r\nSec-WebSocket-Extensions: permessage-deflate");
        assert_eq!(answer(&extended), Err(Fault::Handshake));
        assert_eq!(answered(b"HTTP/1.1 403 Forbidden\r\n\r\n", KEY), Err(Fault::Status(403)));
        assert_eq!(answered(b"HTTP/1.1 101 Switching\r\nUpg", KEY), Ok(None));
        assert_eq!(answered(b"SSH-2.0\r\n\r\n", KEY), Err(Fault::Handshake));
        assert_eq!(answered(&[b'x'; MAX_HEAD + 1], KEY), Err(Fault::Handshake));
    }

    #[test]
    fn a_request_has_what_a_server_needs() {
        let text = request("/v1/a?b=c", "h:1", KEY, &[("authorization", "x")]);
        assert!(text.starts_with("GET /v1/a?b=c HTTP/1.1\r\nhost: h:1\r\n"));
        assert!(text.ends_with("authorization: x\r\n\r\n"));
    }

    fn events(reader: &mut Reader, bytes: &[u8]) -> Result<Vec<Event>, Fault> {
        reader.push(bytes);
        std::iter::from_fn(|| reader.event().transpose()).collect()
    }

    #[test]
    fn the_frames_of_the_standard_are_read_and_written() {
        let mut server = Reader::new(100, false);
        let mut client = Reader::new(100, true);
        let hello = Event::Message(b"Hello".to_vec());
        let plain = [0x81, 5, b'H', b'e', b'l', b'l', b'o'];
        assert_eq!(events(&mut server, &plain), Ok(vec![hello.clone()]));
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(events(&mut client, &masked), Ok(vec![hello.clone()]));
        let mut out = Vec::new();
        write(Opcode::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut out);
        assert_eq!(out, masked);
        // In two pieces, with a ping between them.
        let pieces = [1, 3, b'H', b'e', b'l', 0x89, 1, b'x', 0x80, 2, b'l', b'o', 0x88, 0];
        let wanted = vec![Event::Ping(b"x".to_vec()), hello, Event::Close(1005)];
        assert_eq!(events(&mut server, &pieces), Ok(wanted));
    }

    #[test]
    fn who_breaks_the_rules_is_not_listened_to() {
        let mut long = vec![0x82, 127];
        long.extend(u64::MAX.to_be_bytes());
        for (bytes, fault) in [
            (vec![0xc1, 0], Fault::Frame), // an extension that nobody wanted
            (vec![0x81, 0x80, 0, 0, 0, 0], Fault::Frame), // a server that masks
            (vec![0x80, 0], Fault::Frame), // the end of nothing
            (vec![0x01, 0, 0x81, 0], Fault::Frame), // two messages in one another
            (vec![0x09, 0], Fault::Frame), // a ping in pieces
            (vec![0x89, 126, 0, 126], Fault::Frame), // a ping that is too long
            (vec![0x83, 0], Fault::Frame), // opcodes that mean nothing yet
            (vec![0x8b, 0], Fault::Frame),
            (vec![0x88, 1, 3], Fault::Frame), // half a code
            (vec![0x82, 126, 0, 101], Fault::TooLong),
            (long, Fault::TooLong),
            ([vec![0x02, 60], vec![0; 60], vec![0x80, 60], vec![0; 60]].concat(), Fault::TooLong),
        ] {
            assert_eq!(events(&mut Reader::new(100, false), &bytes), Err(fault), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn messages_come_whole_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..6),
            mask: Option<[u8; 4]>,
            cut in 1..50_usize,
        ) {
            let mut bytes = Vec::new();
            for message in &messages {
                write(Opcode::Binary, message, mask, &mut bytes);
            }
            let mut reader = Reader::new(400, mask.is_some());
            let mut read = Vec::new();
            for piece in bytes.chunks(cut) {
                read.extend(events(&mut reader, piece).unwrap());
            }
            let wanted: Vec<Event> = messages.into_iter().map(Event::Message).collect();
            prop_assert_eq!(read, wanted);
            prop_assert_eq!(reader.bytes.capacity(), 0);
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, from_client: bool) {
            let _ = events(&mut Reader::new(50, from_client), &bytes);
            let _ = answered(&bytes, KEY);
        }
    }
}
