//! The data channel against a client in the same process, on a pair of sockets that can be cut.

use super::super::command::Running;
use super::super::mux::Mux;
use super::super::order::{Program, Target};
use super::super::port::Port;
use super::super::shell::Shell;
use super::*;
use crate::session::ANNOUNCED;
use crate::testing::Folder;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use stint_wire::json::{Node, Value};
use stint_wire::mgs::stream::{Flag, Size};
use stint_wire::smux::{self, Command, Reader};

/// The agent's end: one datagram is one message, and an empty one the end.
struct Pair {
    socket: UnixDatagram,
    unsent: VecDeque<Vec<u8>>,
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

    fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn pongs(&self) -> u32 {
        0
    }
}

/// Hands the other end of each connection to the client.
struct Server(Sender<UnixDatagram>);

impl Dial for Server {
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let gone = |_| DialError { is_final: true, what: "there is no such session".to_owned() };
        self.0.send(theirs).map_err(gone)?;
        Ok(Box::new(Pair { socket: ours, unsent: VecDeque::new() }))
    }
}

/// A client that numbers, acknowledges and sorts as session-manager-plugin does.
struct Client {
    dials: Receiver<UnixDatagram>,
    line: UnixDatagram,
    next: i64,
    expected: i64,
    early: BTreeMap<i64, (u32, Vec<u8>)>,
    got: Vec<(u32, Vec<u8>)>,
    states: Vec<String>,
    acknowledged: Vec<i64>,
    /// Every so many messages of the agent are lost on their way, if this isn't 0; and likewise their
    /// acknowledgements.
    loses: usize,
    heard: usize,
}

impl Client {
    fn new(dials: Receiver<UnixDatagram>) -> Client {
        let line = dials.recv_timeout(Duration::from_secs(20)).unwrap();
        Client {
            dials,
            line,
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

    fn send(&mut self, kind: PayloadType, payload: &[u8]) {
        let number = self.next;
        self.next += 1;
        self.send_as(number, kind, payload);
    }

    fn send_as(&mut self, sequence: i64, kind: PayloadType, payload: &[u8]) {
        let data = message(kind::INPUT_STREAM_DATA, payload);
        let data = Message { sequence, payload_type: kind as u32, ..data };
        self.line.send(&data.write()).unwrap();
    }

    fn tell(&mut self, kind: &str) {
        self.line.send(&message(kind, b"").write()).unwrap();
    }

    /// Takes one message in. `false`: the agent has closed the connection.
    fn hear(&mut self) -> bool {
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

    fn data(&mut self, frame: &Message<'_>) {
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
    fn of(&self, kind: PayloadType) -> Vec<u8> {
        let of_it = self.got.iter().filter(|(got, _)| *got == kind as u32);
        of_it.flat_map(|(_, payload)| payload.clone()).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.of(PayloadType::Output)).unwrap()
    }

    fn until(&mut self, wanted: &str) {
        while !self.text().contains(wanted) {
            assert!(self.hear(), "only {}", self.text());
        }
    }

    fn hear_all(&mut self) {
        while self.hear() {}
    }

    /// Has the connection break, and takes the next one.
    fn cut(&mut self) {
        let _ = self.line.send(b"");
        self.line = self.dials.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    /// Answers the handshake as a client of that version.
    fn shake_hands(&mut self, version: &str) {
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

fn bare() -> Manner {
    Manner { handshake: None, tells_its_end: true }
}

fn asking(kind: &str) -> Manner {
    let request = HandshakeRequest {
        agent_version: ANNOUNCED.to_owned(),
        session_type: kind.to_owned(),
        properties: None,
    };
    Manner { handshake: Some(request), tells_its_end: kind != "Port" }
}

/// Has a session run in one thread and `client` in another.
fn session(
    manner: Manner,
    mut begin: impl FnMut(&str) -> Result<Box<dyn Work>, String>,
    client: impl FnOnce(&mut Client) + Send + 'static,
) -> Over {
    let (sender, receiver) = channel();
    let client = thread::spawn(move || client(&mut Client::new(receiver)));
    let signals = Signals::catch().unwrap();
    let mut server = Server(sender);
    let (over, _) = Channel::new("s-1", &mut server, &signals, manner, None).run(&mut begin);
    drop(server);
    client.join().unwrap();
    over
}

fn sh(line: &str) -> impl FnMut(&str) -> Result<Box<dyn Work>, String> {
    move |_| Ok(Box::new(Shell::start(None, Some(line), "")?))
}

#[test]
fn a_shell_is_typed_into_resized_and_left() {
    let over = session(
        bare(),
        |_| Ok(Box::new(Shell::start(None, None, "echo pro''file")?)),
        |client| {
            client.until("profile");
            client.send(PayloadType::Size, Size { columns: 101, rows: 33 }.write().as_bytes());
            client.send(PayloadType::Output, b"stty size; echo $HOME-$TERM\n");
            client.until("33 101");
            client.until("-xterm-256color");
            client.send(PayloadType::Output, b"exit\n");
            client.hear_all();
            assert_eq!(client.states, ["Connected", "Terminating"]);
            assert_eq!(client.acknowledged, [0, 1, 2]);
        },
    );
    assert_eq!(over, Over::Done);
}

#[test]
fn nothing_is_lost_when_messages_acknowledgements_and_connections_are() {
    let over = session(bare(), sh("seq 1 20000; read done"), |client| {
        client.loses = 31;
        while client.expected < 60 {
            assert!(client.hear());
        }
        client.cut();
        // Of what was early all may be used at once; the connection has to be there to be cut.
        while client.expected < 120 || client.states.len() < 2 {
            assert!(client.hear());
        }
        client.loses = 0;
        client.cut();
        client.until("\n20000\r\n");
        let wanted: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
        assert_eq!(client.text(), wanted);
        client.send(PayloadType::Output, b"\n");
        client.hear_all();
        assert_eq!(client.states, ["Connected", "Connected", "Connected", "Terminating"]);
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn what_comes_doubled_and_in_disorder_is_typed_once_and_in_order() {
    let over = session(bare(), sh("read line; echo got $line"), |client| {
        client.send_as(2, PayloadType::Output, b"cc\n");
        client.send_as(0, PayloadType::Output, b"aa");
        client.send_as(0, PayloadType::Output, b"aa");
        client.send_as(2, PayloadType::Output, b"cc\n");
        client.send_as(1, PayloadType::Output, b"bb");
        client.until("got aabbcc");
        client.hear_all();
        assert_eq!(client.acknowledged, [2, 0, 0, 2, 1]);
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn a_pause_stops_the_output_and_an_endless_one_waits_in_its_program() {
    let over = session(bare(), sh("yes"), |client| {
        client.tell(kind::PAUSE_PUBLICATION);
        // Until the window is full, or the pause is heard.
        client.line.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut bytes = vec![0; 65_536];
        let mut unacknowledged = 0;
        while let Ok(count) = client.line.recv(&mut bytes) {
            unacknowledged += count;
            assert!(unacknowledged < 2 * WINDOW);
        }
        client.line.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.tell(kind::START_PUBLICATION);
        while client.expected < 200 {
            assert!(client.hear());
        }
        client.tell(kind::CHANNEL_CLOSED);
        client.hear_all();
        // Only the agent's own end is told to the server.
        assert!(!client.states.contains(&"Terminating".to_owned()));
    });
    assert_eq!(over, Over::Closed);
}

#[test]
fn a_typed_interrupt_ends_a_flood() {
    let over = session(bare(), sh("yes"), |client| {
        client.until("y\r\ny");
        client.send(PayloadType::Output, &[3]);
        client.hear_all();
        assert_eq!(client.states.last().map(String::as_str), Some("Terminating"));
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn a_command_s_streams_come_apart_and_its_code_at_the_end() {
    let start = |words: &[&str], separate| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let prefixes = [String::new(), "E:".to_owned()];
        Program { words, separate, prefixes }
    };
    let line = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    let begin = |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Running::start(None, start(&line, true))?))
    };
    let over = session(asking("NonInteractiveCommands"), begin, |client| {
        client.shake_hands("1.2.650.0");
        client.hear_all();
        assert_eq!(client.of(PayloadType::Output), b"out\n");
        assert_eq!(client.of(PayloadType::StdErr), b"E:err\n");
        assert_eq!(client.of(PayloadType::ExitCode), b"EXIT_CODE: 7");
        assert_eq!(client.got.last().unwrap().0, PayloadType::ExitCode as u32);
    });
    assert_eq!(over, Over::Done);
    let begin = |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Running::start(None, start(&line, false))?))
    };
    let over = session(asking("NonInteractiveCommands"), begin, |client| {
        client.shake_hands("1.2.650.0");
        client.hear_all();
        assert_eq!(client.text(), "out\nerr\n");
        assert!(client.of(PayloadType::ExitCode).is_empty());
    });
    assert_eq!(over, Over::Done);
    let missing = Running::start(None, start(&["/no/such/program"], true));
    assert!(missing.err().unwrap().starts_with("Unable to start command: /no/such/program"));
}

#[test]
fn a_client_that_can_t_do_what_it_is_asked_ends_the_session() {
    let begin = |_: &str| -> Result<Box<dyn Work>, String> { panic!("it was begun") };
    let over = session(asking("Port"), begin, |client| {
        let answer = r#"{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":3,"Error":"what?"}]}"#;
        client.send(PayloadType::HandshakeResponse, answer.as_bytes());
        client.hear_all();
    });
    assert_eq!(over, Over::Failed("the client can't do SessionType: what?".to_owned()));
}

fn target(port: u16, forwards: bool) -> Target {
    let properties = Node { line: 1, value: Value::Null };
    Target { host: String::new(), port, forwards, properties }
}

/// A server that sends back what it gets, for so many connections.
fn echo(connections: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..count]).unwrap();
                }
            });
        }
    });
    port
}

#[test]
fn a_port_s_bytes_come_back_whole_both_ways_through_cuts() {
    let port = echo(1);
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Port::start(&target(port, false))?))
    };
    let over = session(asking("Port"), begin, |client| {
        client.shake_hands("1.0.0.0");
        let sent: Vec<u8> = (0..400_000_u32).map(|number| (number * 7 / 3) as u8).collect();
        for (at, piece) in sent.chunks(1024).enumerate() {
            client.send(PayloadType::Output, piece);
            // What isn't acknowledged would be sent again by a real client.
            while client.acknowledged.last() != Some(&(client.next - 1)) {
                assert!(client.hear());
            }
            if at == 200 {
                client.cut();
            }
        }
        while client.of(PayloadType::Output).len() < sent.len() {
            assert!(client.hear());
        }
        assert!(client.of(PayloadType::Output) == sent);
        client.send(PayloadType::Flag, &Flag::TerminateSession.write());
        client.hear_all();
        assert_eq!(client.states, ["Connected", "Connected"]);
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn many_connections_share_a_session_and_a_refused_one_is_told() {
    let port = echo(2);
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Mux::start(&target(port, true), false)?))
    };
    let over = session(asking("Port"), begin, |client| {
        client.shake_hands("1.2.650.0");
        let frame = |command, stream, data: &[u8]| {
            let mut frame = smux::header(command, stream, data.len() as u16).to_vec();
            frame.extend_from_slice(data);
            frame
        };
        let mut both = Vec::new();
        for stream in [3, 5] {
            both.extend(frame(Command::Open, stream, b""));
        }
        both.extend(frame(Command::Data, 5, b"five"));
        both.extend(frame(Command::Data, 3, b"three"));
        both.extend(frame(Command::End, 3, b""));
        for piece in both.chunks(9) {
            client.send(PayloadType::Output, piece);
        }
        let read =
            |client: &Client| Reader::default().feed(&client.of(PayloadType::Output)).unwrap();
        let of = |client: &Client, stream| {
            let frames = read(client).into_iter().filter(move |frame| frame.stream == stream);
            let frames: Vec<_> = frames.collect();
            let ended = frames.iter().any(|frame| frame.command == Command::End);
            (frames.into_iter().flat_map(|frame| frame.data).collect::<Vec<u8>>(), ended)
        };
        while of(client, 3) != (b"three".to_vec(), true)
            || of(client, 5) != (b"five".to_vec(), false)
        {
            assert!(client.hear());
        }
        client.send(PayloadType::Flag, &Flag::TerminateSession.write());
        client.hear_all();
    });
    assert_eq!(over, Over::Done);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Mux::start(&target(gone, true), false)?))
    };
    let over = session(asking("Port"), begin, |client| {
        client.shake_hands("1.2.650.0");
        client.send(PayloadType::Output, &smux::header(Command::Open, 3, 0));
        while client.got.len() < 4 {
            assert!(client.hear());
        }
        assert_eq!(client.of(PayloadType::Flag), Flag::ConnectToPortError.write());
        assert_eq!(client.of(PayloadType::Output), smux::header(Command::End, 3, 0));
        client.send(PayloadType::Flag, &Flag::TerminateSession.write());
        client.hear_all();
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn a_target_that_takes_nothing_for_a_while_loses_nothing_of_what_the_client_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent: Vec<u8> = (0..6_000_000_u32).map(|number| (number / 5) as u8).collect();
    let expected = sent.clone();
    let target_side = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        thread::sleep(Duration::from_millis(500));
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap();
        assert!(got == expected);
    });
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Port::start(&target(port, false))?))
    };
    let over = session(asking("Port"), begin, move |client| {
        client.shake_hands("1.0.0.0");
        // The socket itself holds the client up, as TCP does.
        for piece in sent.chunks(8192) {
            client.send(PayloadType::Output, piece);
        }
        client.hear_all();
    });
    assert_eq!(over, Over::Done);
    target_side.join().unwrap();
}

#[test]
fn a_session_that_the_server_no_longer_knows_ends_and_so_do_its_programs() {
    let folder = Folder::new();
    let pid = folder.path().join("pid");
    let line = format!("echo $$ >{}; echo up; sleep 600", pid.display());
    let over = session(bare(), sh(&line), |client| {
        client.until("up");
        // The other end of the dials goes with the client.
        let _ = client.line.send(b"");
    });
    assert_eq!(over, Over::Failed("there is no such session".to_owned()));
    let pid = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    crate::testing::wait_for_death(pid);
}

/// A work that takes one message a turn, and notes it.
struct Reluctant {
    got: Rc<RefCell<Vec<u8>>>,
    ready: bool,
}

impl Work for Reluctant {
    fn watch(&self, _: &mut Set, _: bool) {}

    fn turn(&mut self, _: &mut dyn Sink, _: u64) -> Option<Result<(), String>> {
        self.ready = true;
        None
    }

    fn take(&mut self, _: PayloadType, payload: &[u8]) -> bool {
        if self.ready {
            self.got.borrow_mut().extend_from_slice(payload);
        }
        std::mem::take(&mut self.ready)
    }

    fn close(&mut self) {}
}

/// Does something with a channel that is connected but doesn't run, and the client's end of it. What the
/// returned list has, a [`Reluctant`] work has taken.
fn standing(act: impl FnOnce(&mut Channel<'_>, &Receiver<UnixDatagram>, &Rc<RefCell<Vec<u8>>>)) {
    let (sender, dials) = channel();
    let signals = Signals::catch().unwrap();
    let mut server = Server(sender);
    let mut channel = Channel::new("s-1", &mut server, &signals, bare(), None);
    let got = Rc::default();
    channel.work = Some(Box::new(Reluctant { got: Rc::clone(&got), ready: true }));
    channel.connect();
    act(&mut channel, &dials, &got);
}

fn unexpected(_: &str) -> Result<Box<dyn Work>, String> {
    panic!("nothing is to be begun")
}

fn typed(sequence: i64, text: &[u8]) -> Vec<u8> {
    let data = message(kind::INPUT_STREAM_DATA, text);
    Message { sequence, payload_type: PayloadType::Output as u32, ..data }.write()
}

#[test]
fn input_that_came_early_is_used_when_a_slow_work_can_take_it() {
    standing(|channel, dials, got| {
        let client = dials.recv().unwrap();
        for (number, text) in [(1, b"b"), (2, b"c"), (0, b"a"), (3, b"d")] {
            client.send(&typed(number, text)).unwrap();
        }
        channel.receive(&mut unexpected);
        assert_eq!(*got.borrow(), b"a");
        assert!(!channel.reads() && !channel.looks_at_once(), "it can't take the next one");
        channel.turn();
        channel.turn();
        assert_eq!(*got.borrow(), b"abc");
        assert!(channel.looks_at_once(), "a message is left that nobody has looked at");
        channel.receive(&mut unexpected);
        channel.turn();
        assert_eq!(*got.borrow(), b"abcd");
        channel.receive(&mut unexpected);
        assert!(channel.reads() && !channel.looks_at_once(), "all has been read");
    });
}

#[test]
fn what_was_begun_is_sent_even_in_a_pause() {
    standing(|channel, dials, _| {
        drop(dials.recv().unwrap());
        let (socket, client) = UnixDatagram::pair().unwrap();
        let unsent = VecDeque::from([b"rest".to_vec()]);
        channel.line.as_mut().unwrap().line = Box::new(Pair { socket, unsent });
        channel.stream.send(PayloadType::Output, b"more");
        channel.stream.paused = true;
        channel.send_due();
        let mut bytes = [0; 16];
        assert_eq!(client.recv(&mut bytes).unwrap(), 4);
        client.set_nonblocking(true).unwrap();
        assert!(client.recv(&mut bytes).is_err(), "the pause holds up what is new");
    });
}

#[test]
fn connections_that_break_at_once_are_made_at_longer_and_longer_intervals() {
    standing(|channel, dials, _| {
        for doubled in 1..12 {
            channel.lose();
            assert_eq!(channel.pause, (FIRST_PAUSE << doubled).min(MAX_PAUSE));
            channel.retry = 0;
            channel.connect();
        }
        let client = dials.try_iter().last().unwrap();
        client.send(&message(kind::START_PUBLICATION, b"").write()).unwrap();
        channel.receive(&mut unexpected);
        channel.lose();
        assert_eq!(channel.pause, 2 * FIRST_PAUSE, "one that has carried something was good");
        channel.retry = 0;
        channel.connect();
        channel.begun = channel.begun.checked_sub(Duration::from_millis(SOUND)).unwrap();
        channel.lose();
        assert_eq!(channel.pause, 2 * FIRST_PAUSE, "and so was one that has lived for a while");
        channel.lost = Some(0);
        channel.retry = 0;
        channel.connect();
        channel.line.as_mut().unwrap().opened = LOST + 1;
        channel.begun = channel.begun.checked_sub(Duration::from_millis(LOST)).unwrap();
        channel.lose();
        assert!(matches!(channel.over, Some(Over::Failed(_))), "not for ever");
    });
}

#[test]
fn whatever_comes_is_a_sign_of_life_and_an_acknowledgement_counts_once() {
    standing(|channel, dials, _| {
        let client = dials.recv().unwrap();
        channel.stream.send(PayloadType::Output, b"x");
        channel.begun = channel.begun.checked_sub(Duration::from_millis(PING)).unwrap();
        channel.look_after_the_line();
        let later = Duration::from_millis(SILENCE + 1);
        channel.begun = channel.begun.checked_sub(later).unwrap();
        let id = MessageId::new([1; 16]);
        let kind = kind::OUTPUT_STREAM_DATA.to_owned();
        let text = Acknowledge { kind, id, sequence: 0 }.write();
        let acknowledge = message(kind::ACKNOWLEDGE, text.as_bytes()).write();
        client.send(&acknowledge).unwrap();
        channel.receive(&mut unexpected);
        assert!(channel.acknowledged > 0);
        channel.look_after_the_line();
        assert!(channel.line.is_some());
        channel.acknowledged = 0;
        client.send(&acknowledge).unwrap();
        channel.receive(&mut unexpected);
        assert_eq!(channel.acknowledged, 0);
        for _ in 0..2 {
            channel.begun = channel.begun.checked_sub(later).unwrap();
            channel.look_after_the_line();
        }
        assert!(channel.line.is_none(), "nothing comes any more");
    });
}
