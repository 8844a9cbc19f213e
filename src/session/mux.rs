//! A port with many connections at a time, each a stream of smux.

use super::link::{self, Link};
use super::order::Target;
use super::port::CHUNK;
use super::work::{PER_TURN, Sink, Work};
use crate::sys::descriptors::Set;
use std::net::SocketAddr;
use stint_wire::mgs::stream::{Flag, PayloadType};
use stint_wire::smux::{self, Command, Frame, Reader};

/// What the client has sent and its connections haven't taken, bytes at most, all together. The
/// protocol has no window, so one connection that takes nothing holds up the others then.
const MAX_PENDING: usize = 512 * 1024;

/// Connections at a time; further ones are closed at once.
const MAX_STREAMS: usize = 64;

/// Old clients take a session in which nothing happens for 30 s for dead, milliseconds.
const KEEP_ALIVE: u64 = 10_000;

/// The connections of one forwarded port.
pub struct Mux {
    host: String,
    port: u16,
    reader: Reader,
    streams: Vec<Stream>,
    /// What the client is to hear of streams that couldn't be opened, or have ended.
    replies: Vec<Reply>,
    /// When the client is to get a sign of life, if it wants any.
    alive: Option<u64>,
    over: bool,
    broken: bool,
}

struct Stream {
    id: u32,
    link: Link,
    /// The target has nothing more to say, and the client knows.
    ended: bool,
}

enum Reply {
    Refused(u32),
    Ended(u32),
}

impl Mux {
    /// No connections yet.
    ///
    /// # Errors
    /// The target has no address, or a denied one; in words for the operator.
    pub fn start(target: &Target, keep_alive: bool) -> Result<Mux, String> {
        link::addresses(&target.host, target.port)?;
        Ok(Mux {
            host: target.host.clone(),
            port: target.port,
            reader: Reader::default(),
            streams: Vec::new(),
            replies: Vec::new(),
            alive: keep_alive.then_some(0),
            over: false,
            broken: false,
        })
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        // An address may have changed since the last one.
        link::addresses(&self.host, self.port).unwrap_or_default()
    }

    fn frame(&mut self, frame: Frame) {
        let id = frame.stream;
        let has_room = self.streams.len() < MAX_STREAMS;
        let known = self.streams.iter_mut().find(|stream| stream.id == id);
        match (frame.command, known) {
            (Command::Open, None) if has_room => match Link::dial(&self.addresses()) {
                Ok(link) => self.streams.push(Stream { id, link, ended: false }),
                Err(_) => self.replies.push(Reply::Refused(id)),
            },
            (Command::Open, None) => self.replies.push(Reply::Ended(id)),
            (Command::Data, Some(stream)) => stream.link.pending.extend_from_slice(&frame.data),
            (Command::End, Some(stream)) => stream.link.end(),
            _ => {}
        }
    }

    fn pending(&self) -> usize {
        self.streams.iter().map(|stream| stream.link.pending.len()).sum()
    }
}

fn bare(out: &mut dyn Sink, command: Command, stream: u32) {
    out.send(PayloadType::Output, &smux::header(command, stream, 0));
}

/// Carries what a connection has to say to the client. `false`: the stream is over.
fn carry(stream: &mut Stream, replies: &mut Vec<Reply>, out: &mut dyn Sink) -> bool {
    let mut message = vec![0; smux::HEADER + CHUNK];
    let mut work = || -> std::io::Result<bool> {
        stream.link.advance()?;
        let mut taken = 0;
        while !stream.ended && taken < PER_TURN && out.has_room() {
            let Some((head, body)) = message.split_first_chunk_mut::<{ smux::HEADER }>() else {
                break;
            };
            match stream.link.read(body)? {
                None => break,
                Some(0) => {
                    stream.ended = true;
                    bare(out, Command::End, stream.id);
                }
                Some(count) => {
                    taken += count;
                    *head = smux::header(Command::Data, stream.id, count as u16);
                    let message = message.get(..smux::HEADER + count);
                    out.send(PayloadType::Output, message.unwrap_or_default());
                }
            }
        }
        Ok(!(stream.ended && stream.link.is_shut()))
    };
    match work() {
        Ok(goes_on) => goes_on,
        Err(_) => {
            if !stream.ended {
                let made = stream.link.is_made();
                replies.push(if made { Reply::Ended } else { Reply::Refused }(stream.id));
            }
            false
        }
    }
}

impl Work for Mux {
    fn watch(&self, set: &mut Set, room: bool) {
        for stream in &self.streams {
            stream.link.watch(set, room && !stream.ended);
        }
    }

    fn turn(&mut self, out: &mut dyn Sink, now: u64) -> Option<Result<(), String>> {
        let replies = &mut self.replies;
        self.streams.retain_mut(|stream| carry(stream, replies, out));
        // The next turn begins with another one, so that none waits for ever.
        if self.streams.len() > 1 {
            self.streams.rotate_left(1);
        }
        for reply in self.replies.drain(..) {
            let id = match reply {
                Reply::Refused(id) => {
                    out.send(PayloadType::Flag, &Flag::ConnectToPortError.write());
                    id
                }
                Reply::Ended(id) => id,
            };
            bare(out, Command::End, id);
        }
        if self.alive.is_some_and(|due| now >= due) {
            // Not at once: the client may not be listening to streams yet.
            if self.alive != Some(0) {
                bare(out, Command::Nothing, 0);
            }
            self.alive = Some(now + KEEP_ALIVE);
        }
        if self.broken {
            return Some(Err("the client sent what is no smux of version 1".to_owned()));
        }
        self.over.then_some(Ok(()))
    }

    fn take(&mut self, kind: PayloadType, payload: &[u8]) -> bool {
        match (kind, Flag::read(payload)) {
            (PayloadType::Flag, Some(Flag::TerminateSession)) => self.over = true,
            (PayloadType::Output, _) => {
                if self.pending() > MAX_PENDING {
                    return false;
                }
                match self.reader.feed(payload) {
                    Ok(frames) => frames.into_iter().for_each(|frame| self.frame(frame)),
                    Err(_) => self.broken = true,
                }
            }
            _ => {}
        }
        true
    }

    fn deadline(&self) -> Option<u64> {
        self.alive
    }

    fn close(&mut self) {
        self.streams.clear();
    }
}
