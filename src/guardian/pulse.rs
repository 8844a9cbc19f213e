//! The daemon's side of the health pipe: a line from the loop every now and then, so that a loop
//! that hangs isn't heard. It says when it was written; so the guardian needn't wake up for each.

use crate::agent::modules::Ended;
use crate::reactor::tick;
use crate::sys::{clock, ward};
use std::env;
use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::parent_id;
use std::process;
use std::rc::Rc;
use std::time::Duration;

/// By which the guardian tells its daemon: its own process id, the pipe's number, milliseconds between two lines, and
/// how often the daemon was started before.
const VARIABLE: &str = "STINT_GUARDIAN";

/// So many lines would have to come too late for one silence.
const BEATS: u32 = 3;

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
        let _ = (&*pulse.pipe).write(format!("{}\n", milliseconds()).as_bytes());
        tick(pulse.every).await;
    }
}

fn milliseconds() -> u64 {
    clock::awake().as_millis() as u64
}

/// How long ago the last line of what has come was written. What isn't a number is from an older agent, and counts as
/// written now.
pub fn age(lines: &[u8]) -> Duration {
    let text = std::str::from_utf8(lines).unwrap_or_default();
    let now = milliseconds();
    let said = text.trim_end().rsplit('\n').next().and_then(|last| last.parse().ok());
    Duration::from_millis(now.saturating_sub(said.unwrap_or(now)))
}

/// What the guardian puts into its daemon's environment.
pub fn told(pipe: BorrowedFd<'_>, deadline: Duration, before: u32) -> (&'static str, String) {
    let every = (deadline / BEATS).as_millis();
    (VARIABLE, format!("{},{},{every},{before}", process::id(), pipe.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_old_it_is_and_what_older_agents_say_is_new() {
        let now = milliseconds();
        let lines = format!("{}\n{}\n", now - 30_000, now - 20_000);
        let (least, most) = (Duration::from_secs(20), Duration::from_secs(25));
        let told = age(lines.as_bytes());
        assert!(told >= least && told < most, "{told:?}");
        for older in ["......", "", "\u{0}", "99999999999999999999\n"] {
            assert_eq!(age(older.as_bytes()), Duration::ZERO);
        }
        // One that a clock of another kind has given.
        assert_eq!(age(format!("{}\n", now + 1_000_000).as_bytes()), Duration::ZERO);
    }
}
