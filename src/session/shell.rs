//! Programs on a terminal: a login shell, or a command that a shell runs.

use super::user;
use super::work::{MAX_INPUT, PER_TURN, Sink, Work};
use crate::sys::command::{Child, Command};
use crate::sys::descriptors::Set;
use crate::sys::pty;
use crate::sys::users::Who;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use stint_wire::mgs::stream::{PayloadType, Size};

/// Bytes of output in one message, as the original.
const CHUNK: usize = 1024;

/// Between two looks at a program that is silent for ever, milliseconds.
pub const GLANCE: u64 = 1000;

/// A terminal, and the program that has it.
pub struct Shell {
    child: Child,
    ours: File,
    /// What was typed and the terminal hasn't taken.
    input: Vec<u8>,
    /// The beginning of a character whose end is still to come.
    held: Vec<u8>,
    /// Nothing more comes from the terminal.
    silent: bool,
    /// When it had its last turn.
    turned: u64,
}

impl Shell {
    /// Starts the user's login shell, or `command` by `sh`. `profile` is typed there first.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn start(who: Option<&Who>, command: Option<&str>, profile: &str) -> Result<Shell, String> {
        let shell = user::shell(who);
        let program = match command {
            Some(_) => "sh",
            None => shell,
        };
        let mut start = Command::new(program);
        match command {
            Some(line) => start.args(["-c", line]),
            None => {
                // With a hyphen in front a shell is a login shell.
                let mut name = OsString::from("-");
                name.push(Path::new(shell).file_name().unwrap_or_default());
                start.arg0(name)
            }
        };
        let started = pty::start(user::settle(&mut start, who), who);
        let (child, ours) =
            started.map_err(|error| format!("Unable to start command: {program}: {error}"))?;
        let mut input = Vec::new();
        if !profile.is_empty() {
            input.extend_from_slice(profile.as_bytes());
            input.push(b'\n');
        }
        Ok(Shell { child, ours, input, held: Vec::new(), silent: false, turned: 0 })
    }

    fn write(&mut self) {
        while !self.input.is_empty() {
            match self.ours.write(&self.input) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != ErrorKind::WouldBlock {
                        self.input.clear();
                    }
                    return;
                }
            }
        }
    }

    fn read(&mut self, out: &mut dyn Sink) {
        let mut taken = 0;
        let mut bytes = [0; CHUNK];
        while !self.silent && taken < PER_TURN && out.has_room() {
            match self.ours.read(&mut bytes) {
                Ok(0) => self.silent = true,
                Ok(count) => {
                    taken += count;
                    let mut text = std::mem::take(&mut self.held);
                    text.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    self.held = text.split_off(whole(&text));
                    out.send(PayloadType::Output, &text);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // EIO: nobody has the terminal open any more.
                Err(_) => self.silent = true,
            }
        }
        if self.silent && !self.held.is_empty() {
            out.send(PayloadType::Output, &std::mem::take(&mut self.held));
        }
    }
}

/// How many bytes of `text` don't belong to a character that is cut off at its end. What is no UTF-8 at
/// all goes as it is.
fn whole(text: &[u8]) -> usize {
    match std::str::from_utf8(text) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => {
            let tail = text.len().saturating_sub(3);
            let begins = |byte: &u8| byte & 0xc0 == 0xc0;
            let last = text.get(tail..).unwrap_or_default().iter().rposition(begins);
            let Some(at) = last.map(|at| tail + at) else { return text.len() };
            match std::str::from_utf8(text.get(at..).unwrap_or_default()) {
                Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => at,
                _ => text.len(),
            }
        }
        Ok(_) => text.len(),
    }
}

impl Work for Shell {
    fn watch(&self, set: &mut Set, room: bool) {
        if !self.silent {
            set.add(self.ours.as_fd(), room, !self.input.is_empty());
        }
    }

    fn turn(&mut self, out: &mut dyn Sink, now: u64) -> Option<Result<(), String>> {
        self.turned = now;
        self.write();
        // Looked at first: what it had to say is in the terminal by then.
        let ended = !matches!(self.child.has_ended(), Ok(false));
        self.read(out);
        let said_all = self.silent || (ended && out.has_room() && !self.has_more());
        (ended && said_all).then_some(Ok(()))
    }

    fn take(&mut self, kind: PayloadType, payload: &[u8]) -> bool {
        match kind {
            PayloadType::Output => {
                if !self.input.is_empty() && self.input.len() + payload.len() > MAX_INPUT {
                    return false;
                }
                self.input.extend_from_slice(payload);
                self.write();
            }
            PayloadType::Size => {
                if let Ok(size) = Size::read(payload) {
                    let _ = pty::resize(&self.ours, size.columns, size.rows);
                }
            }
            _ => {}
        }
        true
    }

    /// A program may have nobody at its terminal any more and live on; its end is a signal, which
    /// may come before it can be waited for.
    fn deadline(&self) -> Option<u64> {
        self.silent.then_some(self.turned + GLANCE)
    }

    fn close(&mut self) {
        user::end_session(&mut self.child);
    }
}

impl Shell {
    /// Whether there is something to read at this moment.
    fn has_more(&self) -> bool {
        let ready = crate::sys::descriptors::wait([Some(self.ours.as_fd())], Some(NONE));
        !self.silent && ready.is_ok_and(|[ready]| ready.readable)
    }
}

const NONE: std::time::Duration = std::time::Duration::ZERO;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_is_not_cut_in_two() {
        assert_eq!(whole("aä".as_bytes()), 3);
        assert_eq!(whole(b"a\xc3"), 1);
        assert_eq!(whole(b"a\xf0\x9f\x98"), 1);
        assert_eq!(whole(b"\xff\xfe a\xe2\x82"), 4);
        assert_eq!(whole(b"\xff\xfe"), 2);
        assert_eq!(whole(b"\xc3\x28"), 2);
        assert_eq!(whole(b""), 0);
    }

    proptest! {
        #[test]
        fn little_is_held_back_and_text_never_torn(text: String, cut in 0usize..64) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let whole = whole(&bytes[..cut]);
            prop_assert!(cut - whole <= 3);
            prop_assert!(std::str::from_utf8(&bytes[..whole]).is_ok());
        }

        #[test]
        fn of_any_bytes_at_most_three_are_held_back(bytes: Vec<u8>) {
            prop_assert!(bytes.len() - whole(&bytes) <= 3);
        }
    }
}
