//! How long a worker process waits for something: until a time, or until it is told to stop.

use crate::sys::signals;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The signals of a worker process: SIGINT means that the operator cancels, SIGTERM that the
/// device goes down, SIGCHLD that a program may have ended. Clones are the same signals, for other threads.
#[derive(Clone)]
pub struct Signals(Arc<Caught>);

struct Caught {
    pipe: File,
    cancelled: AtomicBool,
    going_down: AtomicBool,
}

impl Signals {
    /// Starts catching them.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch() -> io::Result<Signals> {
        let pipe = signals::catch(&[libc::SIGTERM, libc::SIGINT, libc::SIGCHLD])?;
        let (cancelled, going_down) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Signals(Arc::new(Caught { pipe, cancelled, going_down })))
    }

    /// Takes in what has come; true if whatever runs is to stop, whoever wants it.
    pub fn is_cancelled(&self) -> bool {
        for signal in signals::take(&self.0.pipe) {
            match signal {
                libc::SIGINT => self.0.cancelled.store(true, Ordering::Relaxed),
                libc::SIGTERM => self.0.going_down.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        self.0.cancelled.load(Ordering::Relaxed) || self.is_going_down()
    }

    /// As if the operator had cancelled.
    #[cfg(test)]
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Can be read when a signal has come.
    pub fn pipe(&self) -> &File {
        &self.0.pipe
    }

    /// Whether it is to stop because the device goes down, and not because the operator wants it.
    pub fn is_going_down(&self) -> bool {
        self.0.going_down.load(Ordering::Relaxed) && !self.0.cancelled.load(Ordering::Relaxed)
    }
}

/// How long somebody will wait: until a time, or until the operator cancels.
#[derive(Clone)]
pub struct Patience {
    signals: Option<Signals>,
    deadline: Instant,
}

/// Why the wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The operator wants it so.
    Cancelled,
    /// The step's time is over.
    TimedOut,
}

impl Patience {
    /// From now on, at most `limit`.
    pub fn new(signals: &Signals, limit: Duration) -> Patience {
        Patience { signals: Some(signals.clone()), deadline: Instant::now() + limit }
    }

    /// The same, whatever the operator wants meanwhile: for what is owed of a cancelled step, too.
    pub fn of_time(limit: Duration) -> Patience {
        Patience { signals: None, deadline: Instant::now() + limit }
    }

    /// Whether it is over, and why.
    pub fn over(&self) -> Option<Stop> {
        if self.signals.as_ref().is_some_and(Signals::is_cancelled) {
            Some(Stop::Cancelled)
        } else if self.left().is_zero() {
            Some(Stop::TimedOut)
        } else {
            None
        }
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}
