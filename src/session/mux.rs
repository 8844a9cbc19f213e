//! A port with many connections at a time, each a stream of smux.

use super::link::Link;
use super::lookup::Lookup;
use super::order::Target;
use super::port::CHUNK;
use super::work::{PER_TURN, Sink, Work};
use crate::sys::descriptors::Set;
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
    /// Where the port is, while that is being looked for: streams wait for it.
    lookup: Option<Lookup>,
    /// It has been found once.
    found: bool,
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
        let mut mux = Mux {
            host: target.host.clone(),
            port: target.port,
            lookup: Some(Lookup::begin(&target.host, target.port)),
            found: false,
            reader: Reader::default(),
            streams: Vec::new(),
            replies: Vec::new(),
            alive: keep_alive.then_some(0),
            over: false,
            broken: false,
        };
        mux.look()?;
        Ok(mux)
    }

    /// Goes on with the look-up, and has the streams connect that waited for it.
    ///
    /// # Errors
    /// There is no address, or a denied one, and never was another.
    fn look(&mut self) -> Result<(), String> {
        let Some(found) = Lookup::take(&mut self.lookup) else { return Ok(()) };
        let addresses = match found {
            Err(what) if !self.found => return Err(what),
            found => found.unwrap_or_default(),
        };
        self.found = true;
        let replies = &mut self.replies;
        self.streams.retain_mut(|stream| {
            let lives = !stream.link.waits() || stream.link.dial(&addresses).is_ok();
            if !lives {
                replies.push(Reply::Refused(stream.id));
            }
            lives
        });
        Ok(())
    }

    /// A stream that waits for addresses. They are looked for each time: one may have changed since the last.
    fn open(&mut self, id: u32) {
        self.streams.push(Stream { id, link: Link::default(), ended: false });
        self.lookup.get_or_insert_with(|| Lookup::begin(&self.host, self.port));
        // An error is none once the port has been found, and before that it comes in the next turn.
        if self.found {
            let _ = self.look();
        }
    }

    fn frame(&mut self, frame: Frame) {
        let id = frame.stream;
        let has_room = self.streams.len() < MAX_STREAMS;
        let known = self.streams.iter_mut().find(|stream| stream.id == id);
        match (frame.command, known) {
            (Command::Open, None) if has_room => self.open(id),
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
        if let Some(lookup) = &self.lookup {
            lookup.watch(set);
        }
        for stream in &self.streams {
            stream.link.watch(set, room && !stream.ended);
        }
    }

    fn turn(&mut self, out: &mut dyn Sink, now: u64) -> Option<Result<(), String>> {
        if let Err(what) = self.look() {
            return Some(Err(what));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::sync::mpsc::channel;
    use stint_wire::json::{Node, Value};

    /// What the client gets.
    #[derive(Default)]
    struct Client(Vec<u8>);

    impl Sink for Client {
        fn has_room(&self) -> bool {
            true
        }

        fn send(&mut self, _: PayloadType, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    fn target(host: &str, port: u16) -> Target {
        let properties = Node { line: 1, value: Value::Object(Vec::new()) };
        Target { host: host.to_owned(), port, forwards: true, properties }
    }

    fn wait(mux: &Mux) {
        let mut set = Set::default();
        mux.watch(&mut set, true);
        set.wait(Some(20_000)).unwrap();
    }

    #[test]
    fn a_name_that_is_looked_up_for_long_holds_up_its_own_stream_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let mut mux = Mux::start(&target("127.0.0.1", here.port()), false).unwrap();
        let mut client = Client::default();
        mux.take(PayloadType::Output, &smux::header(Command::Open, 1, 0));
        let (mut first, _) = listener.accept().unwrap();
        let (tell, told) = channel::<()>();
        mux.lookup = Some(Lookup::of(move || {
            told.recv().unwrap();
            Ok(vec![here])
        }));
        mux.take(PayloadType::Output, &smux::header(Command::Open, 3, 0));
        assert!(mux.streams.iter().any(|stream| stream.link.waits()));
        first.write_all(b"meanwhile").unwrap();
        while client.0.is_empty() {
            wait(&mux);
            assert_eq!(mux.turn(&mut client, 0), None);
        }
        assert!(client.0.ends_with(b"meanwhile"));
        tell.send(()).unwrap();
        while mux.streams.iter().any(|stream| !stream.link.is_made()) {
            wait(&mux);
            assert_eq!(mux.turn(&mut client, 0), None);
        }
        listener.accept().unwrap();
    }

    #[test]
    fn a_port_that_was_never_found_ends_the_session_and_later_only_the_stream() {
        assert!(Mux::start(&target("169.254.169.254", 80), false).is_err());
        let mut mux = Mux::start(&target("127.0.0.1", 9), false).unwrap();
        let mut client = Client::default();
        mux.lookup = Some(Lookup::of(|| Err("no address".to_owned())));
        mux.take(PayloadType::Output, &smux::header(Command::Open, 1, 0));
        while mux.lookup.is_some() {
            wait(&mux);
            assert_eq!(mux.turn(&mut client, 0), None);
        }
        // What was found out while the frame was read is told in the next turn.
        assert_eq!(mux.turn(&mut client, 0), None);
        assert!(mux.streams.is_empty() && !client.0.is_empty());
        mux.found = false;
        mux.lookup = Some(Lookup::Done(Err("no address".to_owned())));
        assert_eq!(mux.turn(&mut client, 0), Some(Err("no address".to_owned())));
    }
}
