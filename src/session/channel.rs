//! The data channel of a session: what carries the work's output to the client and the client's input
//! to the work, over as many connections as it takes.

mod connection;
mod input;
mod stream;

pub use connection::{Dial, DialError, Line};

use super::asked::Asked;
use super::transcript::Transcript;
use super::work::{Sink, Work};
use crate::patience::Signals;
use crate::sys::descriptors::Set;
use connection::{Connected, Dialed, FIRST_PAUSE, LOST, PING, SILENCE, UNSENT};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use stint_wire::mgs::message::MessageId;
use stint_wire::mgs::stream::{HandshakeRequest, PayloadType};
use stint_wire::stream::{Incoming, Outgoing};
use stream::Stream;

/// What the client hasn't acknowledged yet, bytes at most: what a slow link carries in a few seconds.
const WINDOW: usize = 128 * 1024;

/// Messages that came too early, bytes at most. A client sends what got lost again one by one, a tenth of a second
/// each, and goes on with new ones meanwhile: room for some 40 lost ones at 1 MB/s. It is used then only.
const EARLY: usize = 4 * 1024 * 1024;

/// How long a client may take to answer the handshake, milliseconds: links by satellite are slow, and
/// clients wait for their users.
const HANDSHAKE: u64 = 60_000;

/// At the end, the next acknowledgement of what is on its way may take so long, milliseconds. That begins when
/// somebody is there who could say it.
const DRAIN: u64 = 15_000;

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

/// A session in its loop.
pub struct Channel<'a> {
    id: &'a str,
    dial: Arc<Mutex<Box<dyn Dial>>>,
    signals: &'a Signals,
    manner: Manner,
    begun: Instant,
    stream: Stream,
    line: Option<Connected>,
    /// A connection is being made.
    dialing: Option<Asked<Dialed>>,
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
        dial: Box<dyn Dial>,
        signals: &'a Signals,
        manner: Manner,
        transcript: Option<Transcript>,
    ) -> Channel<'a> {
        let out = Outgoing::new(WINDOW);
        let stream = Stream { out, inc: Incoming::new(EARLY), paused: false, transcript };
        Channel {
            id,
            dial: Arc::new(Mutex::new(dial)),
            signals,
            manner,
            begun: Instant::now(),
            stream,
            line: None,
            dialing: None,
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
            let until = if self.work.is_some() { u64::MAX } else { HANDSHAKE };
            if let Err(error) = self.wait(&mut set, until) {
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

    /// Whether the connection is read: not while the work can't take what came or the line what is said of it, unless
    /// output waits for acknowledgements, which come by the same way.
    fn reads(&self) -> bool {
        let is_full = self.refused.is_some()
            || self.stream.inc.next_kept().is_some()
            || self.unsent() >= UNSENT;
        self.work.is_none() || !is_full || !self.stream.out.has_room()
    }

    /// Whether to look for messages without waiting.
    fn looks_at_once(&self) -> bool {
        self.unread && self.line.is_some() && self.reads()
    }

    /// Waits for something to do, until the session's clock says so at most.
    fn wait(&mut self, set: &mut Set, until: u64) -> io::Result<()> {
        let now = self.now();
        set.clear();
        set.add(self.signals.pipe().as_fd(), true, false);
        let mut until = until.min(self.watch(set, self.reads()));
        if let Some(connected) = &self.line {
            until = until.min(connected.pinged + PING.min(SILENCE) + 1);
        }
        if let Some(work) = &self.work {
            work.watch(set, self.stream.has_room());
            until = until.min(work.deadline().unwrap_or(u64::MAX));
        }
        if self.looks_at_once() {
            until = now;
        }
        set.wait(Some(until.saturating_sub(now)))
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
        let at_most = self.acknowledged + LOST;
        while !self.stream.out.is_empty() {
            let now = self.now();
            let mut until = self.acknowledged + DRAIN;
            if self.stream.paused || self.line.is_none() {
                (self.acknowledged, until) = (now, at_most);
            }
            if now >= until {
                break;
            }
            self.connect();
            self.send_due();
            self.look_after_the_line();
            if matches!(self.over, Some(Over::Failed(_)))
                || self.signals.is_cancelled()
                || self.wait(set, until).is_err()
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
}

#[cfg(test)]
mod tests;
