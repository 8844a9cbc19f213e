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

/// So long a connection may still speak when the client has nothing more to say on it, milliseconds. The plugin
/// doesn't listen by then; and there are targets that don't end for it.
const LAST_WORDS: u64 = 60_000;

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
    broken: bool,
    /// It has been logged that there are too many connections.
    was_full: bool,
}

struct Stream {
    id: u32,
    link: Link,
    /// The target has nothing more to say, and the client knows.
    ended: bool,
    /// When it is closed in any case: the client has nothing more to say.
    until: Option<u64>,
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
            broken: false,
            was_full: false,
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
        self.streams.push(Stream { id, link: Link::default(), ended: false, until: None });
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
            (Command::Open, None) => {
                if !std::mem::replace(&mut self.was_full, true) {
                    log::warn!("a forwarded port has {MAX_STREAMS} connections; others are closed");
                }
                self.replies.push(Reply::Ended(id));
            }
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
fn carry(stream: &mut Stream, replies: &mut Vec<Reply>, out: &mut dyn Sink, now: u64) -> bool {
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
        if stream.link.is_done_with() && now >= *stream.until.get_or_insert(now + LAST_WORDS) {
            return Err(std::io::ErrorKind::TimedOut.into());
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
        self.streams.retain_mut(|stream| carry(stream, replies, out, now));
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
        None
    }

    fn take(&mut self, kind: PayloadType, payload: &[u8]) -> bool {
        if kind == PayloadType::Output {
            if self.pending() > MAX_PENDING {
                return false;
            }
            match self.reader.feed(payload) {
                Ok(frames) => frames.into_iter().for_each(|frame| self.frame(frame)),
                Err(_) => self.broken = true,
            }
        }
        true
    }

    fn deadline(&self) -> Option<u64> {
        self.streams.iter().filter_map(|stream| stream.until).chain(self.alive).min()
    }

    fn close(&mut self) {
        self.streams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
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

    /// A client that takes nothing at the moment.
    struct Full;

    impl Sink for Full {
        fn has_room(&self) -> bool {
            false
        }

        fn send(&mut self, _: PayloadType, _: &[u8]) {}
    }

    fn target(host: &str, port: u16) -> Target {
        let properties = Node { line: 1, value: Value::Object(Vec::new()) };
        Target { host: host.to_owned(), port, forwards: true, properties }
    }

    /// A stream with number 3, and the target that has taken it.
    fn opened() -> (Mux, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut mux = Mux::start(&target("127.0.0.1", port), false).unwrap();
        mux.take(PayloadType::Output, &smux::header(Command::Open, 3, 0));
        (mux, listener.accept().unwrap().0)
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
    fn a_target_that_does_not_end_with_its_client_is_left_after_a_minute() {
        let (mut mux, mut peer) = opened();
        let mut client = Client::default();
        mux.take(PayloadType::Output, &smux::header(Command::End, 3, 0));
        let mut byte = [0];
        while mux.deadline().is_none() {
            wait(&mux);
            assert_eq!(mux.turn(&mut client, 1000), None);
        }
        // It hears the client's end, and may still answer.
        assert_eq!(peer.read(&mut byte).unwrap(), 0);
        peer.write_all(b"still here").unwrap();
        while client.0.is_empty() {
            wait(&mux);
            assert_eq!(mux.turn(&mut client, 60_999), None);
        }
        assert_eq!((mux.streams.len(), mux.deadline()), (1, Some(61_000)));
        assert_eq!(mux.turn(&mut client, 61_000), None);
        assert!(mux.streams.is_empty() && mux.deadline().is_none());
        assert!(client.0.ends_with(&smux::header(Command::End, 3, 0)));
        // Not half: nobody takes what it says any more.
        drop(mux);
        until_refused(&mut peer);
    }

    /// Writes until the other side is gone.
    fn until_refused(peer: &mut TcpStream) {
        while peer.write_all(b"x").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    fn a_target_that_closes_early_is_heard_and_its_end_told() {
        let (mut mux, mut peer) = opened();
        let mut client = Client::default();
        peer.write_all(b"413 too large").unwrap();
        // It has more to write than the connection takes, and in the middle of it the target goes.
        let full = [&smux::header(Command::Data, 3, 32_000)[..], &[b'x'; 32_000][..]].concat();
        while mux.pending() <= MAX_PENDING {
            assert!(mux.take(PayloadType::Output, &full));
            assert_eq!(mux.turn(&mut Full, 0), None);
        }
        drop(peer);
        while !mux.streams.is_empty() {
            wait(&mux);
            assert_eq!(mux.turn(&mut client, 0), None);
            mux.take(PayloadType::Output, &smux::header(Command::End, 3, 0));
        }
        let said = [&smux::header(Command::Data, 3, 13)[..], b"413 too large"].concat();
        let end = smux::header(Command::End, 3, 0);
        assert_eq!(client.0, [&said[..], &end[..]].concat());
    }

    #[test]
    fn a_port_has_so_many_connections_and_closes_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut mux = Mux::start(&target("127.0.0.1", port), false).unwrap();
        let mut client = Client::default();
        for id in 0..=MAX_STREAMS as u32 {
            mux.take(PayloadType::Output, &smux::header(Command::Open, 2 * id + 3, 0));
        }
        assert_eq!((mux.streams.len(), mux.was_full), (MAX_STREAMS, true));
        assert_eq!(mux.turn(&mut client, 0), None);
        assert!(client.0.ends_with(&smux::header(Command::End, 2 * MAX_STREAMS as u32 + 3, 0)));
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
