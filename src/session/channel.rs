//! The data channel of a session: what carries the work's output to the client and the client's input
//! to the work, over as many connections as it takes.

use super::transcript::Transcript;
use super::work::{Sink, Work};
use crate::patience::Signals;
use crate::sys::descriptors::Set;
use crate::sys::{clock, random};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;
use stint_wire::mgs::message::{Message, MessageId, SYN, SYN_FIN, kind};
use stint_wire::mgs::stream::{
    Acknowledge, HandshakeComplete, HandshakeRequest, HandshakeResponse, PayloadType, SessionState,
};
use stint_wire::stream::{Incoming, Outgoing, Turn};

/// What the client hasn't acknowledged yet, bytes at most: what a slow link carries in a few seconds.
const WINDOW: usize = 128 * 1024;

/// Bytes after which it is seen whether the line takes more: what it doesn't take is in memory twice.
const BATCH: usize = 32 * 1024;

/// Messages that came too early, bytes at most. A client sends what got lost again one by one, a tenth of a second
/// each, and goes on with new ones meanwhile: room for some 40 lost ones at 1 MB/s. It is used then only.
const EARLY: usize = 4 * 1024 * 1024;

/// Between two pings, milliseconds. With the next, a connection that has died without a word is found
/// in under a minute.
const PING: u64 = 25_000;

/// A ping that isn't answered for so long won't be, milliseconds.
const SILENCE: u64 = 25_000;

/// How long a client may take to answer the handshake, milliseconds: links by satellite are slow, and
/// clients wait for their users.
const HANDSHAKE: u64 = 60_000;

/// At the end, the next acknowledgement of what is on its way may take so long, milliseconds.
const DRAIN: u64 = 15_000;

/// A session that can't reach its server for so long is over, milliseconds: that is when idle sessions
/// end.
const LOST: u64 = 20 * 60_000;

/// The first pause before another connection is tried, and the longest, milliseconds.
const FIRST_PAUSE: u64 = 100;
const MAX_PAUSE: u64 = 15_000;

/// A connection that has lived for so long, milliseconds, was a good one even if nothing came by it.
const SOUND: u64 = 5_000;

/// A connection to the server.
pub trait Line {
    /// Can be read when something has come.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// A message that has come; `None`: there is none at the moment. Doesn't wait.
    ///
    /// # Errors
    /// The connection is broken, or was closed.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, String>;

    /// Writes what is still to be written, as far as that can be done without waiting.
    ///
    /// # Errors
    /// The connection is broken.
    fn flush(&mut self) -> Result<(), String>;

    /// Sends a binary message, now or with [`Line::flush`]: together with others it is cheaper.
    ///
    /// # Errors
    /// The connection is broken.
    fn send(&mut self, frame: &[u8]) -> Result<(), String>;

    /// Asks whether the other side is there.
    ///
    /// # Errors
    /// The connection is broken.
    fn ping(&mut self) -> Result<(), String>;

    /// Whether something that was sent is still to be written; then the connection is waited for to be
    /// writable.
    fn has_unsent(&self) -> bool;

    /// How many pings were answered.
    fn pongs(&self) -> u32;
}

/// Why there is no connection.
#[derive(Debug)]
pub struct DialError {
    /// The server knows no such session any more.
    pub is_final: bool,
    /// In words.
    pub what: String,
}

/// Makes connections to the session's data channel.
pub trait Dial {
    /// Makes one, with its first text frame sent.
    ///
    /// # Errors
    /// See [`DialError`].
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError>;
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// Its work was done.
    Done,
    /// Somebody wanted it so.
    Closed,
    /// In words for the operator.
    Failed(String),
}

/// Makes the work as soon as the client is known; it is told its version, empty without a handshake.
pub type Begin<'a> = &'a mut dyn FnMut(&str) -> Result<Box<dyn Work>, String>;

/// What is special about a type of sessions.
pub struct Manner {
    /// What the client is asked first.
    pub handshake: Option<HandshakeRequest>,
    /// Whether the server is told that the work is done: not of ports.
    pub tells_its_end: bool,
}

/// The numbered messages of both directions.
struct Stream {
    out: Outgoing,
    inc: Incoming,
    /// Nobody listens at the other end.
    paused: bool,
    transcript: Option<Transcript>,
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
fn message<'a>(kind: &'a str, payload: &'a [u8]) -> Message<'a> {
    // Ids are looked at by nobody; poor ones do no harm.
    let id = MessageId::new(random::bytes().unwrap_or_default());
    // A device without a clock is in 1970, and the other side refuses exactly 0.
    let created = stint_wire::time::Utc(clock::system().0.max(1));
    Message::new(kind, id, created, payload)
}

/// A connection, and when it was last known to live.
struct Connected {
    line: Box<dyn Line>,
    opened: u64,
    pinged: u64,
    pongs: u32,
    answered: u64,
}

/// A session in its loop.
pub struct Channel<'a> {
    id: &'a str,
    dial: &'a mut dyn Dial,
    signals: &'a Signals,
    manner: Manner,
    begun: Instant,
    stream: Stream,
    line: Option<Connected>,
    work: Option<Box<dyn Work>>,
    /// In its turn, but the work couldn't take it: number, type, payload, id.
    refused: Option<(i64, u32, Vec<u8>, MessageId)>,
    /// Messages may have come that nobody has looked at: not all of them are seen by poll(2).
    unread: bool,
    /// When the client acknowledged something last.
    acknowledged: u64,
    retry: u64,
    pause: u64,
    /// Since when there was no connection, or none that was good for something.
    lost: Option<u64>,
    over: Option<Over>,
}

impl<'a> Channel<'a> {
    /// A session that hasn't begun.
    pub fn new(
        id: &'a str,
        dial: &'a mut dyn Dial,
        signals: &'a Signals,
        manner: Manner,
        transcript: Option<Transcript>,
    ) -> Channel<'a> {
        let out = Outgoing::new(WINDOW);
        let stream = Stream { out, inc: Incoming::new(EARLY), paused: false, transcript };
        Channel {
            id,
            dial,
            signals,
            manner,
            begun: Instant::now(),
            stream,
            line: None,
            work: None,
            refused: None,
            unread: false,
            acknowledged: 0,
            retry: 0,
            pause: FIRST_PAUSE,
            lost: None,
            over: None,
        }
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Carries the session to its end. Everything it has started is ended then; the transcript is
    /// handed back.
    pub fn run(mut self, begin: Begin<'_>) -> (Over, Option<Transcript>) {
        let mut set = Set::default();
        if let Some(request) = &self.manner.handshake {
            let text = request.write();
            self.stream.send(PayloadType::HandshakeRequest, text.as_bytes());
        }
        let over = loop {
            if let Some(over) = self.over.take() {
                break over;
            }
            self.connect();
            if self.work.is_none() && self.manner.handshake.is_none() && self.line.is_some() {
                self.begin(begin, "");
            }
            self.send_due();
            self.look_after_the_line();
            if let Err(error) = self.wait(&mut set) {
                break Over::Failed(error.to_string());
            }
            if self.signals.is_cancelled() {
                break Over::Closed;
            }
            self.receive(begin);
            self.turn();
        };
        if let Some(work) = &mut self.work {
            work.close();
        }
        if over == Over::Done {
            self.part(&mut set);
        }
        if let Some(connected) = &mut self.line {
            let _ = connected.line.flush();
        }
        (over, self.stream.transcript)
    }

    fn begin(&mut self, begin: Begin<'_>, version: &str) {
        match begin(version) {
            Ok(work) => {
                self.stream.out.trusts_order = work.is_taken_as_it_comes();
                self.work = Some(work);
            }
            Err(what) => self.over = Some(Over::Failed(what)),
        }
    }

    /// Connects if there is no connection and the time has come.
    fn connect(&mut self) {
        let now = self.now();
        if self.line.is_some() || now < self.retry {
            return;
        }
        match self.dial.dial() {
            Ok(line) => {
                let now = self.now();
                let pongs = line.pongs();
                self.line =
                    Some(Connected { line, opened: now, pinged: now, pongs, answered: now });
                (self.unread, self.stream.paused) = (true, false);
                self.stream.out.reconnected();
                self.tell_state("Connected");
            }
            Err(error) => {
                let now = self.now();
                let first = self.work.is_none() && self.manner.handshake.is_none();
                let since = *self.lost.get_or_insert(now);
                // Nobody has anything of a session that nobody has ever seen.
                let patience = if first { HANDSHAKE } else { LOST };
                if error.is_final || now - since > patience {
                    self.over = Some(Over::Failed(error.what));
                }
                self.put_off(now + self.pause);
            }
        }
    }

    /// The next connection is tried some time after `earliest`, and the one after that later.
    fn put_off(&mut self, earliest: u64) {
        self.retry = earliest + (self.pause as f64 * random::fraction()) as u64;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    fn lose(&mut self) {
        let Some(connected) = self.line.take() else { return };
        let now = self.now();
        if now - connected.opened >= SOUND {
            (self.lost, self.pause) = (None, FIRST_PAUSE);
        }
        if now - *self.lost.get_or_insert(now) > LOST && self.over.is_none() {
            let what = "for 20 minutes all connections to the server broke at once";
            self.over = Some(Over::Failed(what.to_owned()));
        }
        self.put_off(now);
    }

    /// Sends a message outside the stream, if there is a connection.
    fn send(&mut self, frame: &[u8]) {
        if self.line.as_mut().is_some_and(|connected| connected.line.send(frame).is_err()) {
            self.lose();
        }
    }

    fn tell_state(&mut self, state: &str) {
        let state = SessionState { state: state.to_owned(), session_id: self.id.to_owned() };
        let text = state.write();
        let state =
            Message { flags: SYN_FIN, ..message(kind::AGENT_SESSION_STATE, text.as_bytes()) };
        self.send(&state.write());
    }

    fn send_due(&mut self) {
        let now = self.now();
        loop {
            let Some(connected) = &mut self.line else { return };
            // What was begun is finished even in a pause; and a slow link has enough to do.
            if connected.line.flush().is_err() {
                return self.lose();
            }
            if connected.line.has_unsent() || self.stream.paused {
                return;
            }
            let mut sent = 0;
            while sent < BATCH
                && let Some(frame) = self.stream.out.due(now)
            {
                sent += frame.len();
                if connected.line.send(frame).is_err() {
                    return self.lose();
                }
            }
            if sent == 0 {
                return;
            }
        }
    }

    /// Whether the connection is read: not while the work can't take what came, unless its output
    /// waits for acknowledgements, which come by the same way.
    fn reads(&self) -> bool {
        let is_full = self.refused.is_some() || self.stream.inc.next_kept().is_some();
        self.work.is_none() || !is_full || !self.stream.out.has_room()
    }

    /// Whether to look for messages without waiting.
    fn looks_at_once(&self) -> bool {
        self.unread && self.line.is_some() && self.reads()
    }

    /// Pings, and gives up a connection on which they aren't answered.
    fn look_after_the_line(&mut self) {
        let (now, reads) = (self.now(), self.reads());
        let Some(connected) = &mut self.line else { return };
        let pongs = connected.line.pongs();
        if pongs != connected.pongs || !reads {
            (connected.pongs, connected.answered) = (pongs, now);
        }
        let waits = connected.pinged > connected.answered;
        if waits && now > connected.pinged + SILENCE {
            return self.lose();
        }
        if !waits && now >= connected.pinged + PING {
            connected.pinged = now;
            // A ping and its answer in the same millisecond would look like none.
            connected.answered = connected.answered.min(now.saturating_sub(1));
            if connected.line.ping().is_err() {
                self.lose();
            }
        }
    }

    fn wait(&mut self, set: &mut Set) -> io::Result<()> {
        let now = self.now();
        set.clear();
        set.add(self.signals.pipe().as_fd(), true, false);
        let mut until = u64::MAX;
        match &self.line {
            Some(connected) => {
                let unsent = connected.line.has_unsent();
                set.add(connected.line.descriptor(), self.reads(), unsent);
                until = until.min(connected.pinged + PING.min(SILENCE) + 1);
                if !self.stream.paused && !unsent {
                    until = until.min(self.stream.out.deadline().unwrap_or(u64::MAX));
                }
            }
            None => until = until.min(self.retry),
        }
        match &self.work {
            Some(work) => {
                work.watch(set, self.stream.has_room());
                until = until.min(work.deadline().unwrap_or(u64::MAX));
            }
            None => until = until.min(HANDSHAKE),
        }
        if self.looks_at_once() {
            until = now;
        }
        set.wait(Some(until.saturating_sub(now)))
    }

    /// Takes in what has come.
    fn receive(&mut self, begin: Begin<'_>) {
        self.unread = true;
        while self.over.is_none() && self.reads() {
            let now = self.now();
            let Some(connected) = &mut self.line else { return };
            match connected.line.receive() {
                Ok(Some(frame)) => {
                    connected.answered = now;
                    (self.lost, self.pause) = (None, FIRST_PAUSE);
                    // What can't be read is dropped, as the original does.
                    if let Ok(message) = Message::parse(&frame) {
                        self.message(&message, begin);
                    }
                }
                Ok(None) => {
                    self.unread = false;
                    return;
                }
                Err(what) => {
                    log::warn!("session {}: {what}", self.id);
                    self.lose();
                }
            }
        }
    }

    fn message(&mut self, message: &Message<'_>, begin: Begin<'_>) {
        match message.kind {
            kind::ACKNOWLEDGE => {
                self.stream.paused = false;
                let now = self.now();
                if let Ok(acknowledge) = Acknowledge::read(message.payload)
                    && self.stream.out.acknowledged(acknowledge.sequence, now)
                {
                    self.acknowledged = now;
                }
            }
            kind::INPUT_STREAM_DATA => {
                self.stream.paused = false;
                self.input(message, begin);
            }
            kind::PAUSE_PUBLICATION => self.stream.paused = true,
            kind::START_PUBLICATION => self.stream.paused = false,
            kind::CHANNEL_CLOSED => self.over = Some(Over::Closed),
            _ => {}
        }
    }

    fn input(&mut self, message: &Message<'_>, begin: Begin<'_>) {
        let (number, kind, payload) = (message.sequence, message.payload_type, message.payload);
        match self.stream.inc.take(number, kind, payload) {
            Turn::Now if self.refused.is_some() => {}
            Turn::Now => {
                if self.use_it(kind, payload, Some((number, message.id)), begin) {
                    self.use_kept(begin);
                } else {
                    self.refused = Some((number, kind, payload.to_vec(), message.id));
                }
            }
            Turn::Kept | Turn::Again => self.acknowledge(number, message.id),
            Turn::NoRoom => {}
        }
    }

    /// Goes on with what came early, and was acknowledged then.
    fn use_kept(&mut self, begin: Begin<'_>) {
        while let Some((kind, payload)) = self.stream.inc.next_kept() {
            let payload = payload.to_vec();
            if !self.use_it(kind, &payload, None, begin) {
                return;
            }
        }
    }

    /// Uses the message in its turn. `false`: it can't be taken yet.
    fn use_it(
        &mut self,
        kind: u32,
        payload: &[u8],
        unacknowledged: Option<(i64, MessageId)>,
        begin: Begin<'_>,
    ) -> bool {
        let kind = PayloadType::of(kind);
        if let (Some(work), Some(kind)) = (&mut self.work, kind)
            && !work.take(kind, payload)
        {
            return false;
        }
        self.stream.inc.used();
        // Before what follows from it: the client's multiplexer is set up between the two.
        if let Some((number, id)) = unacknowledged {
            self.acknowledge(number, id);
        }
        if kind == Some(PayloadType::HandshakeResponse) && self.work.is_none() {
            self.shake_hands(payload, begin);
        }
        true
    }

    fn shake_hands(&mut self, payload: &[u8], begin: Begin<'_>) {
        let answer = match HandshakeResponse::read(payload) {
            Ok(answer) => answer,
            Err(error) => {
                self.over = Some(Over::Failed(format!("the client's handshake: {error}")));
                return;
            }
        };
        if let Some(action) = answer.failed() {
            let what = format!("the client can't do {}: {}", action.kind, action.error);
            self.over = Some(Over::Failed(what));
            return;
        }
        self.begin(begin, &answer.client_version);
        let nanoseconds = self.begun.elapsed().as_nanos() as u64;
        let complete = HandshakeComplete { nanoseconds, message: String::new() }.write();
        self.stream.send(PayloadType::HandshakeComplete, complete.as_bytes());
    }

    fn acknowledge(&mut self, sequence: i64, id: MessageId) {
        let kind = kind::INPUT_STREAM_DATA.to_owned();
        let text = Acknowledge { kind, id, sequence }.write();
        let acknowledge = Message { flags: SYN_FIN, ..message(kind::ACKNOWLEDGE, text.as_bytes()) };
        self.send(&acknowledge.write());
    }

    /// Gives the work its turn, and then what it couldn't take before.
    fn turn(&mut self) {
        let now = self.now();
        let Some(work) = &mut self.work else {
            if now > HANDSHAKE && self.over.is_none() {
                let what = "the client didn't answer the handshake in 60 s";
                self.over = Some(Over::Failed(what.to_owned()));
            }
            return;
        };
        let ended = work.turn(&mut self.stream, now);
        // There is a work, so nothing is begun any more.
        let none: Begin<'_> = &mut |_| Err(String::new());
        if let Some((number, kind, payload, id)) = self.refused.take()
            && !self.use_it(kind, &payload, Some((number, id)), none)
        {
            self.refused = Some((number, kind, payload, id));
        }
        if self.refused.is_none() {
            self.use_kept(none);
        }
        match ended {
            None => {}
            Some(Ok(())) => self.over = self.over.take().or(Some(Over::Done)),
            Some(Err(what)) => self.over = self.over.take().or(Some(Over::Failed(what))),
        }
    }

    /// Waits until the client has all, then tells the server.
    fn part(&mut self, set: &mut Set) {
        self.work = None;
        self.refused = None;
        self.acknowledged = self.now();
        while !self.stream.out.is_empty() && !self.stream.paused {
            let until = self.acknowledged + DRAIN;
            if self.now() >= until {
                break;
            }
            self.connect();
            self.send_due();
            if matches!(self.over, Some(Over::Failed(_)))
                || self.signals.is_cancelled()
                || self.wait_for_the_line(set, until).is_err()
            {
                break;
            }
            let none: Begin<'_> = &mut |_| Err(String::new());
            self.receive(none);
            if self.over.is_some() {
                break;
            }
        }
        if self.manner.tells_its_end {
            self.tell_state("Terminating");
        }
    }

    fn wait_for_the_line(&mut self, set: &mut Set, until: u64) -> io::Result<()> {
        set.clear();
        set.add(self.signals.pipe().as_fd(), true, false);
        let mut until = until;
        match &self.line {
            Some(connected) => {
                let unsent = connected.line.has_unsent();
                set.add(connected.line.descriptor(), true, unsent);
                if !unsent {
                    until = until.min(self.stream.out.deadline().unwrap_or(until));
                }
            }
            None => until = until.min(self.retry),
        }
        if self.looks_at_once() {
            until = 0;
        }
        set.wait(Some(until.saturating_sub(self.now())))
    }
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
