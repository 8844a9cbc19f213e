//! A program without a terminal: its output goes to the client, in two streams if so wished, and its
//! exit code after them.

use super::order::Program;
use super::shell::GLANCE;
use super::user;
use super::work::{PER_TURN, Sink, Work};
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::descriptors::{self, Set};
use crate::sys::process::{self, Group};
use crate::sys::pty;
use crate::sys::users::Who;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use stint_wire::mgs::stream::{PayloadType, exit_code};

/// Bytes of output in one message, as the original.
const CHUNK: usize = 1024;

/// What is typed for an interrupt, and for a quit.
const INTERRUPT: u8 = 0x03;
const QUIT: u8 = 0x1c;

/// A program, and what it prints.
pub struct Running {
    child: Child,
    streams: Vec<Stream>,
    separate: bool,
    /// When it had its last turn.
    turned: u64,
}

struct Stream {
    file: File,
    kind: PayloadType,
    prefix: String,
    /// The next byte begins a line.
    at_start: bool,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn start(who: Option<&Who>, program: Program) -> Result<Running, String> {
        let name = program.words.first().cloned().unwrap_or_default();
        let begin = || -> io::Result<Running> {
            let mut command = Command::new(&name);
            command.args(program.words.iter().skip(1)).stdin(Stdio::null());
            let mut streams = Vec::new();
            let (ours, theirs) = io::pipe()?;
            let [out, err] = program.prefixes;
            streams.push(Stream::new(ours.into(), PayloadType::Output, out)?);
            command.stdout(OwnedFd::from(theirs.try_clone()?));
            if program.separate {
                let (ours, theirs) = io::pipe()?;
                streams.push(Stream::new(ours.into(), PayloadType::StdErr, err)?);
                command.stderr(OwnedFd::from(theirs));
            } else {
                command.stderr(OwnedFd::from(theirs));
            }
            process::isolate(user::settle(&mut command, who), Group::Session);
            let child = pty::become_user(&mut command, who).spawn()?;
            Ok(Running { child, streams, separate: program.separate, turned: 0 })
        };
        begin().map_err(|error| format!("Unable to start command: {name}: {error}"))
    }
}

impl Stream {
    fn new(end: OwnedFd, kind: PayloadType, prefix: String) -> io::Result<Stream> {
        descriptors::set_nonblocking(end.as_fd())?;
        Ok(Stream { file: File::from(end), kind, prefix, at_start: true })
    }

    /// Sends what is there; `false` at its end.
    fn read(&mut self, out: &mut dyn Sink) -> bool {
        let mut taken = 0;
        let mut bytes = [0; CHUNK];
        while taken < PER_TURN && out.has_room() {
            match self.file.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    taken += count;
                    let text = self.prefixed(bytes.get(..count).unwrap_or_default());
                    out.send(self.kind, &text);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// With the prefix at the beginning of each line.
    fn prefixed(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.prefix.is_empty() {
            return bytes.to_vec();
        }
        let mut text = Vec::with_capacity(bytes.len() + self.prefix.len());
        for byte in bytes {
            if std::mem::replace(&mut self.at_start, *byte == b'\n') {
                text.extend_from_slice(self.prefix.as_bytes());
            }
            text.push(*byte);
        }
        text
    }
}

impl Work for Running {
    fn watch(&self, set: &mut Set, room: bool) {
        for stream in &self.streams {
            set.add(stream.file.as_fd(), room, false);
        }
    }

    fn turn(&mut self, out: &mut dyn Sink, now: u64) -> Option<Result<(), String>> {
        self.turned = now;
        let ended = self.child.try_wait();
        self.streams.retain_mut(|stream| stream.read(out));
        // What it has started in the background may keep the pipes open.
        let status = match ended {
            Ok(None) => return None,
            Ok(Some(status)) => status,
            Err(error) => return Some(Err(error.to_string())),
        };
        if !out.has_room() {
            return None;
        }
        if self.separate {
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            let text = exit_code(code.unwrap_or(1));
            out.send(PayloadType::ExitCode, text.as_bytes());
        }
        Some(Ok(()))
    }

    fn take(&mut self, kind: PayloadType, payload: &[u8]) -> bool {
        if kind == PayloadType::Output {
            for byte in payload {
                match *byte {
                    INTERRUPT => pty::signal_group(self.child.id(), libc::SIGINT),
                    QUIT => pty::signal_group(self.child.id(), libc::SIGQUIT),
                    _ => {}
                }
            }
        }
        true
    }

    fn deadline(&self) -> Option<u64> {
        self.streams.is_empty().then_some(self.turned + GLANCE)
    }

    fn close(&mut self) {
        user::end_session(self.child.id());
    }
}
