//! smux version 1: many streams over the one stream of a data channel, for forwarding ports.
//!
//! The client opens streams, with odd numbers from 3 on; this side never does. A frame is 8 bytes
//! of header – version, command, length and stream, the last two little-endian, unlike all else
//! in a data channel – and what the length says. There is no window in this version: what a stream
//! can't take holds the whole session up.

/// Bytes of a frame's header.
pub const HEADER: usize = 8;

/// The most that one frame of ours holds, bytes; what the client's library sends at most, too.
pub const MAX_DATA: usize = 32_768;

const VERSION: u8 = 1;

/// What a frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens a stream.
    Open,
    /// Its sender says no more on the stream.
    End,
    /// Bytes of the stream.
    Data,
    /// Nothing: a sign of life.
    Nothing,
}

impl Command {
    fn code(self) -> u8 {
        match self {
            Command::Open => 0,
            Command::End => 1,
            Command::Data => 2,
            Command::Nothing => 3,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it does.
    pub command: Command,
    /// To which stream.
    pub stream: u32,
    /// The bytes of [`Command::Data`]; otherwise empty.
    pub data: Vec<u8>,
}

/// What came is no smux of version 1; nothing behind it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSmux;

/// The header of a frame with so many bytes behind it, at most [`MAX_DATA`].
pub fn header(command: Command, stream: u32, length: u16) -> [u8; HEADER] {
    let [l0, l1] = length.to_le_bytes();
    let [s0, s1, s2, s3] = stream.to_le_bytes();
    [VERSION, command.code(), l0, l1, s0, s1, s2, s3]
}

/// Takes a byte stream apart, however it was cut. It holds one unfinished frame at most: 64 KiB.
#[derive(Debug, Default)]
pub struct Reader {
    rest: Vec<u8>,
}

impl Reader {
    /// Takes in what came, and gives the frames that are whole now, in order.
    ///
    /// # Errors
    /// See [`NotSmux`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, NotSmux> {
        self.rest.extend_from_slice(bytes);
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Some((frame, length)) = first(self.rest.get(at..).unwrap_or_default())? {
            frames.push(frame);
            at += length;
        }
        self.rest.drain(..at);
        Ok(frames)
    }
}

/// The first frame of `bytes` and its whole length, if it is there to its end.
fn first(bytes: &[u8]) -> Result<Option<(Frame, usize)>, NotSmux> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [version, command, l0, l1, s0, s1, s2, s3] = *head;
    let command = match command {
        0 => Command::Open,
        1 => Command::End,
        2 => Command::Data,
        3 => Command::Nothing,
        _ => return Err(NotSmux),
    };
    if version != VERSION {
        return Err(NotSmux);
    }
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let Some(data) = rest.get(..length) else { return Ok(None) };
    let stream = u32::from_le_bytes([s0, s1, s2, s3]);
    // Bytes of other commands mean nothing, and are skipped.
    let data = if command == Command::Data { data.to_vec() } else { Vec::new() };
    Ok(Some((Frame { command, stream, data }, HEADER + length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(stream: u32, data: &[u8]) -> Frame {
        Frame { command: Command::Data, stream, data: data.to_vec() }
    }

    #[test]
    fn the_captured_conversation_is_read_and_written() {
        let client = b"\x01\0\0\0\x03\0\0\0\x01\x02\x05\0\x03\0\0\0ping!\x01\x01\0\0\x03\0\0\0";
        let bare = |command| Frame { command, stream: 3, data: Vec::new() };
        let frames = Reader::default().feed(client).unwrap();
        assert_eq!(frames, [bare(Command::Open), data(3, b"ping!"), bare(Command::End)]);
        assert_eq!(header(Command::Data, 3, 10), *b"\x01\x02\x0a\0\x03\0\0\0");
        assert_eq!(header(Command::End, 3, 0), *b"\x01\x01\0\0\x03\0\0\0");
        assert_eq!(header(Command::Nothing, 0, 0), *b"\x01\x03\0\0\0\0\0\0");
    }

    #[test]
    fn what_is_no_smux_is_refused() {
        assert_eq!(Reader::default().feed(b"\x02\0\0\0\x03\0\0\0"), Err(NotSmux));
        assert_eq!(Reader::default().feed(b"\x01\x04\0\0\x03\0\0\0"), Err(NotSmux));
        assert_eq!(Reader::default().feed(b"\x01\0\0"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn frames_come_back_however_the_stream_is_cut(
            sent in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
            cut in 1usize..40,
        ) {
            let frames: Vec<Frame> = sent.iter().map(|(stream, bytes)| data(*stream, bytes)).collect();
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend(header(frame.command, frame.stream, frame.data.len() as u16));
                stream.extend(&frame.data);
            }
            let mut reader = Reader::default();
            let mut read = Vec::new();
            for piece in stream.chunks(cut) {
                read.extend(reader.feed(piece).unwrap());
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn nothing_that_comes_makes_it_panic_or_grow(bytes: Vec<u8>) {
            let mut reader = Reader::default();
            let _ = reader.feed(&bytes);
            prop_assert!(reader.rest.len() <= bytes.len());
        }
    }
}
