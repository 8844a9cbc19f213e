//! The connections that a session's channel is carried by: how one is made, used, looked after, and lost.

use super::super::asked::Asked;
use super::stream::message;
use super::{Channel, HANDSHAKE, Over};
use crate::sys::descriptors::Set;
use crate::sys::random;
use std::os::fd::BorrowedFd;
use std::sync::PoisonError;
use stint_wire::mgs::message::{Message, SYN_FIN, kind};
use stint_wire::mgs::stream::SessionState;

/// Bytes after which it is seen whether the line takes more: what it doesn't take is in memory twice.
const BATCH: usize = 32 * 1024;

/// The line is behind with so much, bytes: that are acknowledgements on a way that takes less than it brings.
/// Nothing more is read then …
pub(super) const UNSENT: usize = 64 * 1024;

/// … and where it has to be read nevertheless, nothing is acknowledged from here on: the client sends it again.
const MAX_UNSENT: usize = 4 * UNSENT;

/// Between two pings, milliseconds. With the next, a connection that has died without a word is found
/// in under a minute.
pub(super) const PING: u64 = 25_000;

/// A ping that isn't answered for so long won't be, milliseconds.
pub(super) const SILENCE: u64 = 25_000;

/// A session that can't reach its server for so long is over, milliseconds: that is when idle sessions
/// end.
pub(super) const LOST: u64 = 20 * 60_000;

/// The first pause before another connection is tried, and the longest, milliseconds.
pub(super) const FIRST_PAUSE: u64 = 100;
pub(super) const MAX_PAUSE: u64 = 15_000;

/// A connection that has lived for so long, milliseconds, was a good one even if nothing came by it.
pub(super) const SOUND: u64 = 5_000;

/// A connection to the server.
pub trait Line: Send {
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

    /// Bytes, about, of what was sent and is still to be written; while there are any, the connection is waited for
    /// to be writable.
    fn unsent(&self) -> usize;

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
pub trait Dial: Send {
    /// Makes one, with its first text frame sent, however long that takes.
    ///
    /// # Errors
    /// See [`DialError`].
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError>;
}

/// A connection, and when it was last known to live.
pub(super) struct Connected {
    pub(super) line: Box<dyn Line>,
    pub(super) opened: u64,
    pub(super) pinged: u64,
    pub(super) pongs: u32,
    pub(super) answered: u64,
    /// What was unsent when it was looked at last, bytes.
    pub(super) unsent: usize,
}

/// What comes of a try to make a connection.
pub(super) type Dialed = Result<Box<dyn Line>, DialError>;

fn no_thread(why: String) -> Dialed {
    let what = format!("no thread makes a connection to the server: {why}");
    Err(DialError { is_final: false, what })
}

impl Channel<'_> {
    /// Connects if there is no connection and the time has come. Name servers, handshakes and credentials may take
    /// half a minute: a thread waits for them, and the connection is there some turns later.
    pub(super) fn connect(&mut self) {
        if self.line.is_some() {
            return;
        }
        let made = match self.dialing {
            Some(_) => match Asked::take(&mut self.dialing) {
                Some(made) => made.unwrap_or_else(|| no_thread("it died".to_owned())),
                None => return,
            },
            None if self.now() < self.retry => return,
            None => {
                let dial = self.dial.clone();
                let dial = move || dial.lock().unwrap_or_else(PoisonError::into_inner).dial();
                match Asked::ask("dial", dial) {
                    Ok(dialing) => return self.dialing = Some(dialing),
                    Err(what) => no_thread(what),
                }
            }
        };
        let now = self.now();
        match made {
            Ok(line) => {
                let pongs = line.pongs();
                let (opened, pinged, answered) = (now, now, now);
                self.line = Some(Connected { line, opened, pinged, pongs, answered, unsent: 0 });
                (self.unread, self.stream.paused) = (true, false);
                self.stream.out.reconnected();
                self.tell_state("Connected");
            }
            Err(error) => {
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

    /// Adds the connection to what is waited for, to be read or not, or the one that is being made. Says until when
    /// nothing has to be done for it.
    pub(super) fn watch(&self, set: &mut Set, reads: bool) -> u64 {
        match (&self.line, &self.dialing) {
            (Some(connected), _) => {
                let unsent = self.unsent() > 0;
                set.add(connected.line.descriptor(), reads, unsent);
                match unsent || self.stream.paused {
                    true => u64::MAX,
                    false => self.stream.out.deadline().unwrap_or(u64::MAX),
                }
            }
            (None, Some(dialing)) => {
                dialing.watch(set);
                u64::MAX
            }
            (None, None) => self.retry,
        }
    }

    /// The next connection is tried some time after `earliest`, and the one after that later.
    fn put_off(&mut self, earliest: u64) {
        self.retry = earliest + (self.pause as f64 * random::fraction()) as u64;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    pub(super) fn lose(&mut self) {
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

    /// Bytes that the line hasn't taken yet.
    pub(super) fn unsent(&self) -> usize {
        self.line.as_ref().map_or(0, |connected| connected.line.unsent())
    }

    /// Whether it takes more acknowledgements.
    pub(super) fn acknowledges(&self) -> bool {
        self.unsent() < MAX_UNSENT
    }

    /// Sends a message outside the stream, if there is a connection.
    pub(super) fn send(&mut self, frame: &[u8]) {
        if self.line.as_mut().is_some_and(|connected| connected.line.send(frame).is_err()) {
            self.lose();
        }
    }

    pub(super) fn tell_state(&mut self, state: &str) {
        let state = SessionState { state: state.to_owned(), session_id: self.id.to_owned() };
        let text = state.write();
        let state =
            Message { flags: SYN_FIN, ..message(kind::AGENT_SESSION_STATE, text.as_bytes()) };
        self.send(&state.write());
    }

    pub(super) fn send_due(&mut self) {
        let now = self.now();
        loop {
            let Some(connected) = &mut self.line else { return };
            // What was begun is finished even in a pause; and a slow link has enough to do.
            if connected.line.flush().is_err() {
                return self.lose();
            }
            if connected.line.unsent() > 0 || self.stream.paused {
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

    /// Pings, and gives up a connection on which they aren't answered.
    pub(super) fn look_after_the_line(&mut self) {
        let (now, reads) = (self.now(), self.reads());
        let Some(connected) = &mut self.line else { return };
        let (pongs, unsent) = (connected.line.pongs(), connected.line.unsent());
        // Its pongs wait behind what isn't read; but one that is behind lives only as long as it takes something.
        let takes = unsent < UNSENT || unsent < connected.unsent;
        connected.unsent = unsent;
        if pongs != connected.pongs || (!reads && takes) {
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
}
