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

/// What is left in a stream after it was read.
#[derive(PartialEq)]
enum Left {
    /// Perhaps something.
    More,
    /// Nothing at this moment.
    Nothing,
    /// Nothing, and nothing will come.
    End,
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

    /// Sends what is there, as far as there is time and room.
    fn read(&mut self, out: &mut dyn Sink) -> Left {
        let mut taken = 0;
        let mut bytes = [0; CHUNK];
        while taken < PER_TURN && out.has_room() {
            match self.file.read(&mut bytes) {
                Ok(0) => return Left::End,
                Ok(count) => {
                    taken += count;
                    let text = self.prefixed(bytes.get(..count).unwrap_or_default());
                    out.send(self.kind, &text);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Left::Nothing,
                Err(_) => return Left::End,
            }
        }
        Left::More
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
        let ended = self.child.has_ended();
        let mut has_more = false;
        self.streams.retain_mut(|stream| {
            let left = stream.read(out);
            has_more |= left == Left::More;
            left != Left::End
        });
        match ended {
            Ok(false) => return None,
            Ok(true) => {}
            Err(error) => return Some(Err(error.to_string())),
        }
        // What it printed is in the pipes by then. What it has started in the background may keep
        // them open.
        if has_more {
            return None;
        }
        // What it has started ends first: with its own end its number is anybody's.
        let status = user::end_session(&mut self.child);
        if self.separate {
            let code = status.and_then(|it| it.code().or(it.signal().map(|signal| 128 + signal)));
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
        user::end_session(&mut self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Identity;
    use crate::testing::Folder;

    /// Counts what it gets.
    #[derive(Default)]
    struct Counter {
        printed: usize,
        complained: usize,
        code: Vec<u8>,
    }

    impl Sink for Counter {
        fn has_room(&self) -> bool {
            true
        }

        fn send(&mut self, kind: PayloadType, bytes: &[u8]) {
            assert!(self.code.is_empty(), "the code comes last");
            match kind {
                PayloadType::Output => self.printed += bytes.len(),
                PayloadType::StdErr => self.complained += bytes.len(),
                PayloadType::ExitCode => self.code = bytes.to_vec(),
                _ => unreachable!(),
            }
        }
    }

    #[test]
    fn of_a_program_that_has_ended_all_is_read_that_its_pipes_hold() {
        let folder = Folder::new();
        let go = folder.path().join("go");
        // What it starts in the background keeps the pipes open.
        let line = format!(
            "while [ ! -e {} ]; do sleep 0.01; done
            sleep 30 & echo $! >&2; head -c 500000 /dev/zero; exit 3",
            go.display()
        );
        let words = ["sh", "-c", &line].map(str::to_owned).to_vec();
        let program = Program { words, separate: true, prefixes: [String::new(), String::new()] };
        let mut running = Running::start(None, program).unwrap();
        descriptors::enlarge_pipe(running.streams[0].file.as_fd(), 1 << 20).unwrap();
        std::fs::write(&go, "").unwrap();
        let pid = running.child.id();
        while !running.child.has_ended().unwrap() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut counter = Counter::default();
        let mut now = 0;
        while running.turn(&mut counter, now).is_none() {
            assert!(Identity::of(pid).is_some(), "until then its number may be signalled");
            now += 1;
        }
        running.close();
        assert_eq!(Identity::of(pid), None);
        assert_eq!(counter.printed, 500_000);
        assert!(counter.complained > 0);
        assert_eq!(counter.code, b"EXIT_CODE: 3");
        assert!(now > 0, "a turn is over after some of it");
    }
}
