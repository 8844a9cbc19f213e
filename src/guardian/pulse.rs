//! The daemon's side of the health pipe: a byte from the loop every now and then, so that a loop
//! that hangs isn't heard.

use crate::agent::modules::Ended;
use crate::sys::ward;
use smol::Timer;
use std::env;
use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::parent_id;
use std::process;
use std::rc::Rc;
use std::time::Duration;

/// By which the guardian tells its daemon: its own process id, the pipe's number, milliseconds between two bytes, and
/// how often the daemon was started before.
const VARIABLE: &str = "STINT_GUARDIAN";

/// So many bytes would have to come too late for one silence.
const BEATS: u32 = 6;

/// A daemon's end of the pipe.
pub struct Pulse {
    /// Never closed: a new version that this process becomes goes on with it.
    pipe: ManuallyDrop<File>,
    every: Duration,
    /// How often its guardian has started a daemon before this one.
    pub before: u32,
}

impl Pulse {
    /// That of the guardian which has started this process; `None` if none has.
    pub fn inherited() -> Option<Pulse> {
        let text = env::var(VARIABLE).ok()?;
        let mut words = text.split(',');
        // Scripts inherit the variable, and may start agents of their own.
        let guardian: u32 = words.next()?.parse().ok()?;
        if guardian != parent_id() {
            return None;
        }
        let number = words.next()?.parse().ok()?;
        let every = Duration::from_millis(words.next()?.parse().ok()?);
        let before = words.next()?.parse().ok()?;
        let pipe = ManuallyDrop::new(ward::inherit(number).ok()?);
        Some(Pulse { pipe, every, before })
    }
}

/// Is heard for ever.
pub async fn run(pulse: Rc<Pulse>) -> Ended {
    loop {
        // A pipe that is full has a guardian that is stopped, and one without a reader has none:
        // then the kernel has told this process to leave.
        let _ = (&*pulse.pipe).write(b".");
        Timer::after(pulse.every).await;
    }
}

/// What the guardian puts into its daemon's environment.
pub fn told(pipe: BorrowedFd<'_>, deadline: Duration, before: u32) -> (&'static str, String) {
    let every = (deadline / BEATS).as_millis();
    (VARIABLE, format!("{},{},{every},{before}", process::id(), pipe.as_raw_fd()))
}
