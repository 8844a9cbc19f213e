//! A client and a server in the same process, on a pair of sockets that can be cut.

use super::super::stream::message;
use super::super::*;
use crate::session::ANNOUNCED;
use crate::session::shell::Shell;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use stint_wire::mgs::message::{Message, kind};
use stint_wire::mgs::stream::{Acknowledge, SessionState};

/// The agent's end: one datagram is one message, and an empty one the end.
pub struct Pair {
    pub socket: UnixDatagram,
    pub unsent: VecDeque<Vec<u8>>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.socket.set_nonblocking(false);
        let _ = self.flush();
        let _ = self.socket.send(b"");
    }
}

impl Line for Pair {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut bytes = vec![0; 65_536];
        match self.socket.recv(&mut bytes) {
            Ok(0) => Err("cut".to_owned()),
            Ok(count) => {
                bytes.truncate(count);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        while let Some(frame) = self.unsent.front() {
            match self.socket.send(frame) {
                Ok(_) => drop(self.unsent.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        self.unsent.push_back(frame.to_vec());
        self.flush()
    }

    fn ping(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn unsent(&self) -> usize {
        self.unsent.iter().map(Vec::len).sum()
    }

    fn pongs(&self) -> u32 {
        0
    }
}

/// The client's end of a connection, and a copy of the agent's: who writes to an end that is closed loses what it
/// hasn't read, which may be the agent's last words.
pub type Ends = (UnixDatagram, UnixDatagram);

/// Hands the other end of each connection to the client.
pub struct Server(pub Sender<Ends>);

impl Dial for Server {
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let gone = |_| DialError { is_final: true, what: "there is no such session".to_owned() };
        let copy = ours.try_clone().unwrap();
        self.0.send((theirs, copy)).map_err(gone)?;
        Ok(Box::new(Pair { socket: ours, unsent: VecDeque::new() }))
    }
}

/// A client that numbers, acknowledges and sorts as session-manager-plugin does.
pub struct Client {
    pub dials: Receiver<Ends>,
    pub line: UnixDatagram,
    pub agents: UnixDatagram,
    pub next: i64,
    pub expected: i64,
    pub early: BTreeMap<i64, (u32, Vec<u8>)>,
    pub got: Vec<(u32, Vec<u8>)>,
    pub states: Vec<String>,
    pub acknowledged: Vec<i64>,
    /// Every so many messages of the agent are lost on their way, if this isn't 0; and likewise their
    /// acknowledgements.
    pub loses: usize,
    pub heard: usize,
}

impl Client {
    pub fn new(dials: Receiver<Ends>) -> Client {
        let (line, agents) = dials.recv_timeout(Duration::from_secs(20)).unwrap();
        Client {
            dials,
            line,
            agents,
            next: 0,
            expected: 0,
            early: BTreeMap::new(),
            got: Vec::new(),
            states: Vec::new(),
            acknowledged: Vec::new(),
            loses: 0,
            heard: 0,
        }
    }

    pub fn send(&mut self, kind: PayloadType, payload: &[u8]) {
        let number = self.next;
        self.next += 1;
        self.send_as(number, kind, payload);
    }

    pub fn send_as(&mut self, sequence: i64, kind: PayloadType, payload: &[u8]) {
        let data = message(kind::INPUT_STREAM_DATA, payload);
        let data = Message { sequence, payload_type: kind as u32, ..data };
        self.line.send(&data.write()).unwrap();
    }

    pub fn tell(&mut self, kind: &str) {
        self.line.send(&message(kind, b"").write()).unwrap();
    }

    /// Takes one message in. `false`: the agent has closed the connection.
    pub fn hear(&mut self) -> bool {
        let mut bytes = vec![0; 65_536];
        let count = match self.line.recv(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing comes"),
            Err(_) => return false,
        };
        if count == 0 {
            return false;
        }
        let frame = Message::parse(&bytes[..count]).unwrap();
        match frame.kind {
            kind::AGENT_SESSION_STATE => {
                self.states.push(SessionState::read(frame.payload).unwrap().state);
            }
            kind::ACKNOWLEDGE => {
                self.acknowledged.push(Acknowledge::read(frame.payload).unwrap().sequence);
            }
            kind::OUTPUT_STREAM_DATA => self.data(&frame),
            other => panic!("{other}"),
        }
        true
    }

    pub fn data(&mut self, frame: &Message<'_>) {
        self.heard += 1;
        let is_lost = self.loses > 0 && self.heard.is_multiple_of(self.loses);
        if is_lost || frame.sequence < self.expected {
            return;
        }
        let text = Acknowledge {
            kind: kind::OUTPUT_STREAM_DATA.to_owned(),
            id: frame.id,
            sequence: frame.sequence,
        };
        let text = text.write();
        if self.loses == 0 || !self.heard.is_multiple_of(self.loses + 2) {
            let sent = message(kind::ACKNOWLEDGE, text.as_bytes()).write();
            let _ = self.line.send(&sent);
        }
        self.early.insert(frame.sequence, (frame.payload_type, frame.payload.to_vec()));
        while let Some(next) = self.early.remove(&self.expected) {
            self.expected += 1;
            self.got.push(next);
        }
    }

    /// What has come of one type, as one.
    pub fn of(&self, kind: PayloadType) -> Vec<u8> {
        let of_it = self.got.iter().filter(|(got, _)| *got == kind as u32);
        of_it.flat_map(|(_, payload)| payload.clone()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.of(PayloadType::Output)).unwrap()
    }

    pub fn until(&mut self, wanted: &str) {
        while !self.text().contains(wanted) {
            assert!(self.hear(), "only {}", self.text());
        }
    }

    pub fn hear_all(&mut self) {
        while self.hear() {}
    }

    /// Has the connection break, and takes the next one. What was still under way is lost, and holds nobody up: an end
    /// that isn't read any more takes nothing, and this one's breaking shows only to who reads or writes.
    pub fn cut(&mut self) {
        let _ = self.line.send(b"");
        self.line.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        (self.line, self.agents) = loop {
            match self.dials.try_recv() {
                Ok(ends) => break ends,
                Err(_) => assert!(Instant::now() < until, "the agent makes no other connection"),
            }
            let _ = self.line.recv(&mut [0; 65_536]);
        };
    }

    /// Answers the handshake as a client of that version.
    pub fn shake_hands(&mut self, version: &str) {
        while self.got.is_empty() {
            assert!(self.hear());
        }
        let request = HandshakeRequest::read(&self.got[0].1).unwrap();
        assert_eq!(request.agent_version, ANNOUNCED);
        let answer = format!(
            r#"{{"ClientVersion":"{version}","ProcessedClientActions":[{{"ActionType":"SessionType","ActionStatus":1}}]}}"#
        );
        self.send(PayloadType::HandshakeResponse, answer.as_bytes());
        while self.got.len() < 2 {
            assert!(self.hear());
        }
        assert_eq!(self.got[1].0, PayloadType::HandshakeComplete as u32);
        assert_eq!(self.acknowledged, [0], "before the handshake was complete");
    }
}

pub fn bare() -> Manner {
    Manner { handshake: None, tells_its_end: true }
}

pub fn asking(kind: &str) -> Manner {
    let request = HandshakeRequest {
        agent_version: ANNOUNCED.to_owned(),
        session_type: kind.to_owned(),
        properties: None,
    };
    Manner { handshake: Some(request), tells_its_end: kind != "Port" }
}

/// Has a session run in one thread and `client` in another.
pub fn session(
    manner: Manner,
    begin: impl FnMut(&str) -> Result<Box<dyn Work>, String>,
    client: impl FnOnce(&mut Client) + Send + 'static,
) -> Over {
    let (sender, dials) = channel();
    let signals = Signals::catch().unwrap();
    session_over((Box::new(Server(sender)), dials), &signals, manner, begin, client)
}

/// The same with connections and signals of the test's own.
pub fn session_over(
    (dial, dials): (Box<dyn Dial>, Receiver<Ends>),
    signals: &Signals,
    manner: Manner,
    mut begin: impl FnMut(&str) -> Result<Box<dyn Work>, String>,
    client: impl FnOnce(&mut Client) + Send + 'static,
) -> Over {
    let client = thread::spawn(move || client(&mut Client::new(dials)));
    let (over, _) = Channel::new("s-1", dial, signals, manner, None).run(&mut begin);
    client.join().unwrap();
    over
}

pub fn sh(line: &str) -> impl FnMut(&str) -> Result<Box<dyn Work>, String> {
    move |_| Ok(Box::new(Shell::start(None, Some(line), "")?))
}
