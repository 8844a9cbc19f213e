//! Runs one program to its end: streams, time limit, cancellation.

use super::stream::Stream;
pub use crate::patience::Signals;
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::process::{self, Group, Identity};
use crate::sys::{FileError, descriptors};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// After a program has ended, its streams are read to their end for this long at most. A child
/// that it left in the background may hold them open for years; the original waits for it until
/// the step's time limit and then reports a time-out.
const DRAIN: Duration = Duration::from_secs(2);

/// A killed program that isn't dead after this long is stuck in the kernel, and reported so.
const DYING: Duration = Duration::from_secs(10);

/// How long tests wait for a signal that another test may have got.
const IN_TESTS: Duration = Duration::from_millis(50);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal that the agent didn't send.
    Signal(i32),
    /// Killed, because its time was over.
    TimedOut,
    /// Killed, because the operator wanted it.
    Cancelled,
}

/// A program's end and what it said.
pub struct Run {
    /// How it ended.
    pub exit: Exit,
    /// Standard output, within the limits of the wire.
    pub stdout: String,
    /// Standard error, within the limits of the wire.
    pub stderr: String,
}

/// Why a program couldn't be run.
#[derive(Debug)]
pub enum ExecError {
    /// It couldn't be started.
    Spawn(io::Error),
    /// Its output has no place to go.
    File(FileError),
}

/// Runs `command` in a process group of its own; `folder` takes its output, `begun` hears of its
/// process as soon as there is one. Where the operator has cancelled already, nothing is started.
///
/// # Errors
/// The program wasn't run.
pub fn run(
    command: &mut Command,
    folder: &Path,
    limit: Duration,
    signals: &Signals,
    begun: &mut dyn FnMut(Identity),
) -> Result<Run, ExecError> {
    if signals.is_cancelled() {
        return Ok(Run { exit: Exit::Cancelled, stdout: String::new(), stderr: String::new() });
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let deadline = Instant::now() + limit;
    let mut child = process::isolate(command, Group::Own).spawn().map_err(ExecError::Spawn)?;
    if let Some(identity) = Identity::of(child.id()) {
        begun(identity);
    }
    let watched = Watched::new(&mut child, folder);
    let mut watched = match watched {
        Ok(watched) => watched,
        Err(error) => {
            let _ = process::kill_group(child.id());
            let _ = child.wait();
            return Err(error);
        }
    };
    let exit = watched.follow(&mut child, deadline, signals);
    Ok(Run { exit, stdout: watched.stdout.text(), stderr: watched.stderr.text() })
}

struct Watched {
    stdout: Stream<File>,
    stderr: Stream<File>,
}

impl Watched {
    fn new(child: &mut Child, folder: &Path) -> Result<Watched, ExecError> {
        let missing = || ExecError::Spawn(io::ErrorKind::BrokenPipe.into());
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        for descriptor in [stdout.as_fd(), stderr.as_fd()] {
            descriptors::set_nonblocking(descriptor).map_err(ExecError::Spawn)?;
        }
        Ok(Watched {
            stdout: Stream::new(stdout, &folder.join("stdout")).map_err(ExecError::File)?,
            stderr: Stream::new(stderr, &folder.join("stderr")).map_err(ExecError::File)?,
        })
    }

    fn follow(&mut self, child: &mut Child, deadline: Instant, signals: &Signals) -> Exit {
        let mut killed: Option<(Exit, Instant)> = None;
        let mut ended: Option<(ExitStatus, Instant)> = None;
        loop {
            let now = Instant::now();
            // Before the look at the program: a signal that comes in between is still in the pipe
            // when it is waited for, and wakes the next turn.
            let cancelled = signals.is_cancelled();
            if ended.is_none() {
                // Asked each turn: the signal of its end may be merged with another.
                ended = child.try_wait().ok().flatten().map(|status| (status, now + DRAIN));
            }
            let open = self.stdout.source().is_some() || self.stderr.source().is_some();
            let until = match ended {
                Some((status, until)) if !open || now >= until => {
                    return killed.map_or_else(|| exit_of(status), |(exit, _)| exit);
                }
                Some((_, until)) => until,
                None => {
                    let why = if cancelled { Exit::Cancelled } else { Exit::TimedOut };
                    if killed.is_none() && (why == Exit::Cancelled || now >= deadline) {
                        killed = Some((why, now + DYING));
                        // As the original does: at once, and the whole group.
                        let _ = process::kill_group(child.id());
                    }
                    match killed {
                        Some((exit, until)) if now >= until => return exit,
                        Some((_, until)) => until,
                        None => deadline,
                    }
                }
            };
            self.wait(signals, until.saturating_duration_since(now));
        }
    }

    fn wait(&mut self, signals: &Signals, patience: Duration) {
        let descriptors = [
            self.stdout.source().map(AsFd::as_fd),
            self.stderr.source().map(AsFd::as_fd),
            Some(signals.pipe().as_fd()),
        ];
        // Tests run several "workers" in one process, of which only the last hears of SIGCHLD.
        let patience = if cfg!(test) { patience.min(IN_TESTS) } else { patience };
        match descriptors::wait(descriptors, Some(patience)) {
            // What the third brings is looked at in the next turn.
            Ok([out, err, _]) => {
                if out.readable {
                    self.stdout.turn();
                }
                if err.readable {
                    self.stderr.turn();
                }
            }
            // Without poll(2) there is still the clock.
            Err(_) => std::thread::sleep(patience.min(Duration::from_millis(100))),
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn what_is_cancelled_already_is_not_started() {
        let (folder, signals) = (Folder::new(), Signals::catch().unwrap());
        let mut begun = 0;
        for (exit, count) in [(Exit::Code(0), 1), (Exit::Cancelled, 1)] {
            let limit = Duration::from_secs(60);
            let mut command = Command::new("true");
            let run = run(&mut command, folder.path(), limit, &signals, &mut |_| begun += 1);
            assert_eq!((run.ok().map(|run| run.exit), begun), (Some(exit), count));
            signals.cancel();
        }
    }
}
