//! A client's end of a websocket, on a connection that was made as requests have theirs.
//!
//! Opening one waits; after that nothing does but [`WebSocket::finish`]: who attends it waits with poll(2)
//! for [`WebSocket::as_fd`], reads events until there are none, and writes what is left to write.

use super::http::{Http, no_answer};
use super::socket::{Metered, Wire};
use super::{NoAnswer, Obstacle, endpoint};
use crate::sys::{random, tcp};
use rustls::ClientConnection;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stint_wire::websocket::{self as frames, Fault, Reader};
pub use stint_wire::websocket::{Event, Opcode};

/// What is read at once, bytes. A record of TLS is 16 KiB at most.
const PIECE: usize = 16 * 1024;

/// A server that takes nothing for so long while it is being written to has gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// So many bytes at least are written together where more are to follow. A call for each message of a busy
/// session, and one for each of its acknowledgements, would cost more than what is in them.
const TOGETHER: usize = 32 * 1024;

/// Why there is no websocket, or none any more.
#[derive(Debug)]
pub enum Broken {
    /// There is no connection to the server.
    NoConnection(NoAnswer),
    /// The connection broke, or TLS on it.
    Io(io::Error),
    /// What the other side says makes no sense, or is a refusal.
    Fault(Fault),
    /// The other side has closed it, with this code; 0 if it went without a word.
    Closed(u16),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::NoConnection(cause) => f.write_str(&cause.words),
            Broken::Io(cause) => write!(f, "{cause}"),
            Broken::Fault(cause) => write!(f, "{cause}"),
            Broken::Closed(0) => f.write_str("the server has closed the connection"),
            Broken::Closed(code) => write!(f, "the server has closed the websocket: code {code}"),
        }
    }
}

impl std::error::Error for Broken {}

impl From<io::Error> for Broken {
    fn from(cause: io::Error) -> Broken {
        Broken::Io(cause)
    }
}

impl From<Fault> for Broken {
    fn from(cause: Fault) -> Broken {
        Broken::Fault(cause)
    }
}

impl From<Broken> for NoAnswer {
    fn from(broken: Broken) -> NoAnswer {
        match broken {
            Broken::NoConnection(cause) => cause,
            Broken::Io(cause) => no_answer(super::http::broken_off(cause)),
            other => NoAnswer { obstacle: Obstacle::Broken, words: other.to_string() },
        }
    }
}

/// A websocket. Dropping it closes the connection, without a word.
pub struct WebSocket {
    wire: Arc<Wire>,
    tls: Option<Box<ClientConnection>>,
    reader: Reader,
    /// What is to be written and not in TLS's hands.
    out: Vec<u8>,
    /// Bytes since the last [`WebSocket::flush`].
    queued: usize,
    /// Bytes that were put into TLS's hands and are still to be written, about: TLS adds its own.
    sealed: usize,
}

/// What is asked for.
pub struct Request<'a> {
    /// The server's URL, without a path: `https://hub.example:7400`.
    pub url: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// More headers than the websocket's own and `host`.
    pub headers: &'a [(&'a str, &'a str)],
    /// No message is longer, bytes.
    pub limit: usize,
    /// How long the server may take to answer.
    pub patience: Duration,
}

impl WebSocket {
    /// Opens one, and waits for that.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn open(http: &Http, request: &Request<'_>) -> Result<WebSocket, Broken> {
        let until = Instant::now() + request.patience;
        let wire = http.connect(request.url).map_err(Broken::NoConnection)?;
        let key = frames::key(random::bytes()?);
        let mut socket = WebSocket {
            tls: None,
            reader: Reader::new(request.limit, false),
            out: Vec::new(),
            queued: 0,
            sealed: 0,
            wire,
        };
        let stream = socket.wire.stream();
        stream.set_read_timeout(Some(request.patience))?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        if request.url.starts_with("https://") {
            let mut tls = http.tls().begin(endpoint::host(request.url))?;
            let mut through = stream;
            tls.complete_io(&mut through)?;
            http.tls().begun(&tls);
            // What is kept back is bounded by those who send.
            tls.set_buffer_limit(None);
            socket.tls = Some(Box::new(tls));
        }
        let host = endpoint::authority(request.url);
        let head = frames::request(request.target, host, &key, request.headers);
        socket.write(head.as_bytes())?;
        socket.shake_hands(&key, until)?;
        tcp::be_quiet(socket.wire.stream())?;
        socket.wire.stream().set_nonblocking(true)?;
        Ok(socket)
    }

    fn shake_hands(&mut self, key: &str, until: Instant) -> Result<(), Broken> {
        self.flush()?;
        let mut answer = Vec::new();
        loop {
            if let Some(end) = frames::answered(&answer, key)? {
                self.reader.push(answer.get(end..).unwrap_or_default());
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::Io(ErrorKind::TimedOut.into()));
            }
            self.wire.stream().set_read_timeout(Some(left))?;
            let mut piece = [0; 1024];
            match self.read(&mut piece)? {
                Some(0) => return Err(Broken::Closed(0)),
                Some(length) => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
                None => {}
            }
        }
    }

    /// The next event, if there is one now. Pings are answered here.
    ///
    /// # Errors
    /// The websocket is over. See [`Broken`].
    pub fn receive(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            match self.reader.event()? {
                Some(Event::Ping(payload)) => self.send(Opcode::Pong, &payload)?,
                Some(Event::Close(code)) => return Err(Broken::Closed(code)),
                Some(event) => return Ok(Some(event)),
                None => {
                    let mut piece = [0; PIECE];
                    match self.read(&mut piece)? {
                        None => return Ok(None),
                        Some(0) => return Err(Broken::Closed(0)),
                        Some(length) => {
                            self.reader.push(piece.get(..length).unwrap_or_default());
                        }
                    }
                }
            }
        }
    }

    /// Sends a message, a ping or a close, as far as that can be done without waiting. What is left waits in
    /// memory ([`WebSocket::unsent`]) for [`WebSocket::flush`].
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Broken> {
        self.queue(opcode, payload)?;
        self.flush()?;
        Ok(())
    }

    /// The same with [`WebSocket::flush`] left to the caller, unless much waits for it already.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn queue(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), Broken> {
        let mask = Some(random::bytes()?);
        match &mut self.tls {
            Some(tls) => {
                let mut frame = Vec::new();
                frames::write(opcode, payload, mask, &mut frame);
                tls.writer().write_all(&frame)?;
                self.sealed += frame.len();
            }
            None => frames::write(opcode, payload, mask, &mut self.out),
        }
        self.queued += payload.len();
        if self.queued >= TOGETHER {
            self.flush()?;
        }
        Ok(())
    }

    /// Bytes that are still to be written, about; only while there are any should one wait until it can be written to.
    pub fn unsent(&self) -> usize {
        match &self.tls {
            Some(tls) if tls.wants_write() => self.sealed.max(1),
            Some(_) => 0,
            None => self.out.len(),
        }
    }

    /// Writes as much as can be written without waiting.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> io::Result<()> {
        self.queued = 0;
        let mut stream = Metered(self.wire.stream());
        loop {
            let written = match &mut self.tls {
                Some(tls) if tls.wants_write() => tls
                    .write_tls(&mut stream)
                    .map(|length| self.sealed = self.sealed.saturating_sub(length)),
                None if !self.out.is_empty() => {
                    stream.write(&self.out).map(|length| drop(self.out.drain(..length)))
                }
                _ => {
                    self.sealed = 0;
                    return Ok(());
                }
            };
            match written {
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                other => other?,
            }
        }
    }

    /// Writes all of it, and waits for that.
    ///
    /// # Errors
    /// The connection is broken, or the server has taken nothing for 20 s.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.unsent() == 0 {
            return Ok(());
        }
        self.wire.stream().set_nonblocking(false)?;
        let result = self.flush();
        self.wire.stream().set_nonblocking(true)?;
        match self.unsent() {
            0 => result,
            _ => result.and(Err(ErrorKind::TimedOut.into())),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(bytes),
            None => {
                self.out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// `None`: nothing is there yet. 0: the end.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<Option<usize>> {
        let mut stream = Metered(self.wire.stream());
        let result = match &mut self.tls {
            None => stream.read(piece),
            Some(tls) => read_tls(tls, &mut stream, piece),
        };
        match result {
            Err(cause)
                if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            // Without TLS's own farewell: for a websocket the same.
            Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => Ok(Some(0)),
            other => other.map(Some),
        }
    }
}

fn read_tls(
    tls: &mut ClientConnection,
    stream: &mut Metered<'_>,
    piece: &mut [u8],
) -> io::Result<usize> {
    loop {
        match tls.reader().read(piece) {
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
        if tls.read_tls(stream)? == 0 {
            return Ok(0);
        }
        tls.process_new_packets().map_err(|cause| io::Error::new(ErrorKind::InvalidData, cause))?;
    }
}

impl AsFd for WebSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.stream().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptors;
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};

    /// A server without TLS that takes one client, and what it is there; the URL.
    fn server<T: Send + 'static>(
        serve: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (String, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (url, thread::spawn(move || serve(listener.accept().unwrap().0)))
    }

    /// Reads the head of the request and accepts it, with these bytes right behind.
    fn accept(stream: &mut TcpStream, more: &[u8]) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            frames::accept(key)
        );
        stream.write_all(&[answer.as_bytes(), more].concat()).unwrap();
        head
    }

    fn open(url: &str) -> Result<WebSocket, Broken> {
        let request = Request {
            url,
            target: "/v1/x?a=b",
            headers: &[("authorization", "me")],
            limit: 1_000_000,
            patience: Duration::from_secs(20),
        };
        WebSocket::open(&Http::trusting(Vec::new()), &request)
    }

    fn next(socket: &mut WebSocket) -> Result<Event, Broken> {
        loop {
            if let Some(event) = socket.receive()? {
                return Ok(event);
            }
            descriptors::wait([Some(socket.as_fd())], Some(Duration::from_secs(20))).unwrap();
        }
    }

    #[test]
    fn messages_go_both_ways_pings_are_answered_and_the_end_is_seen() {
        let (url, server) = server(|mut stream| {
            let mut first = Vec::new();
            frames::write(Opcode::Ping, b"p", None, &mut first);
            frames::write(Opcode::Binary, b"hello", None, &mut first);
            let head = accept(&mut stream, &first);
            let (mut reader, mut seen) = (Reader::new(1_000_000, true), Vec::new());
            while seen.len() < 3 {
                match reader.event().unwrap() {
                    Some(event) => seen.push(event),
                    None => {
                        let mut piece = [0; 4096];
                        let length = stream.read(&mut piece).unwrap();
                        reader.push(&piece[..length]);
                    }
                }
            }
            (head, seen)
        });
        let mut socket = open(&url).unwrap();
        assert_eq!(next(&mut socket).unwrap(), Event::Message(b"hello".to_vec()));
        // More than the kernel takes at once.
        let long = vec![b'x'; 1_000_000];
        socket.queue(Opcode::Ping, b"").unwrap();
        assert_eq!(socket.unsent(), 6);
        socket.send(Opcode::Binary, &long).unwrap();
        assert!(socket.unsent() < 1_000_020);
        socket.finish().unwrap();
        assert_eq!(socket.unsent(), 0);
        let (head, seen) = server.join().unwrap();
        assert!(head.starts_with("GET /v1/x?a=b HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
        assert!(head.contains("\r\nauthorization: me\r\n"), "{head}");
        assert_eq!(seen, [Event::Pong, Event::Ping(Vec::new()), Event::Message(long)]);
        assert!(matches!(next(&mut socket), Err(Broken::Closed(0) | Broken::Io(_))));
    }

    #[test]
    fn what_is_no_websocket_is_told_from_a_refusal() {
        let (url, _server) = server(|mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            stream
        });
        assert!(matches!(open(&url), Err(Broken::Fault(Fault::Status(403)))));
        let (url, _server) = server(|mut stream| {
            let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
            stream
        });
        assert!(matches!(open(&url), Err(Broken::Fault(Fault::Handshake))));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = open(&format!("http://{closed}"));
        let Err(Broken::NoConnection(cause)) = refused else { panic!("it is open") };
        assert_eq!(cause.obstacle, Obstacle::Refused);
    }

    #[test]
    fn a_close_is_an_end_with_its_code() {
        let (url, _server) = server(|mut stream| {
            let mut close = Vec::new();
            frames::write(Opcode::Close, &1001_u16.to_be_bytes(), None, &mut close);
            accept(&mut stream, &close);
            stream
        });
        let mut socket = open(&url).unwrap();
        assert!(matches!(next(&mut socket), Err(Broken::Closed(1001))));
    }
}
