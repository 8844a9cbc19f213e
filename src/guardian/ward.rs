//! The daemon as its guardian sees it.

use super::policy::{self, Verdict};
use super::pulse;
use crate::sys::command::Command;
use crate::sys::process::{self, Identity};
use crate::sys::start;
use crate::sys::ward as system;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// A daemon that was started and hasn't been waited for.
pub struct Ward {
    /// Which process it is.
    pub identity: Identity,
    /// Where it is heard.
    pub pulse: PipeReader,
    /// When it was started.
    pub since: Instant,
    /// When it was heard last, or started.
    pub heard: Instant,
    /// It was told to end because it wasn't heard.
    pub silent: bool,
    /// When it was told to end, and how long it may take.
    told: Option<(Instant, Duration)>,
}

impl Ward {
    /// Starts `program` with this process's own words. It is told how often it has to be heard, and
    /// how often it was started before.
    ///
    /// # Errors
    /// No pipe, no process, no such program.
    pub fn start(
        program: &Path,
        deadline: Duration,
        before: u32,
        now: Instant,
    ) -> io::Result<Ward> {
        let (reader, writer) = io::pipe()?;
        let mut words = start::words().into_iter();
        let mut command = Command::new(program);
        command.arg0(words.next().unwrap_or_else(|| "stint".into())).args(words);
        let (name, value) = pulse::told(writer.as_fd(), deadline, before);
        command.env(name, value);
        let child = system::tie(&mut command, writer.as_fd()).spawn()?;
        // It can't have been waited for, so it is in /proc even if it has ended.
        let identity = Identity::of(child.id()).unwrap_or(Identity { pid: child.id(), started: 0 });
        Ok(Ward { identity, pulse: reader, since: now, heard: now, silent: false, told: None })
    }

    /// Takes in what is on its pipe; when the last of it was written, if there was anything.
    pub fn was_heard(&mut self, now: Instant) -> Option<Instant> {
        let mut heard = None;
        let mut bytes = [0; 256];
        // Only if there is something can it be read without waiting.
        while system::is_readable(self.pulse.as_fd())
            && let Ok(count @ 1..) = self.pulse.read(&mut bytes)
        {
            heard = now.checked_sub(pulse::age(bytes.get(..count).unwrap_or_default()));
        }
        heard
    }

    /// What is to be done about it now.
    pub fn judge(&self, now: Instant, deadline: Duration) -> Verdict {
        let told = self.told.map(|(at, patience)| (now - at, patience));
        policy::judge(now - self.heard, deadline, told)
    }

    /// Tells it to end within so long.
    pub fn tell(&mut self, signal: libc::c_int, now: Instant, patience: Duration) {
        self.hand_down(signal);
        self.told = Some((now, patience));
    }

    /// Sends it a signal.
    pub fn hand_down(&self, signal: libc::c_int) {
        // Not waited for yet, so the number is still its own.
        let _ = process::signal(self.identity.pid, signal);
    }
}
