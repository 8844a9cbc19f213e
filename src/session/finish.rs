//! A session from its order to its end, and what is left of it: the end for the daemon to report, and
//! the transcript.

use super::channel::{Channel, Dial, Manner, Over};
use super::command::Running;
use super::mux::Mux;
use super::order::{Kind, Order, Target};
use super::port::Port;
use super::shell::Shell;
use super::transcript::{self, Transcript};
use super::work::Work;
use super::{ANNOUNCED, user};
use crate::document::remote::Remote;
use crate::patience::Signals;
use crate::sys::{FileError, durable};
use std::fs;
use std::io::Write;
use std::path::Path;
use stint_wire::json::{self, Node, ObjectWriter};
use stint_wire::mgs::stream::HandshakeRequest;

/// The file in a session's folder that tells how it ended.
const END: &str = "end";

/// Clients multiplex from this version on.
const MULTIPLEXES: [u32; 3] = [1, 1, 70];

/// Clients up to this version want signs of life inside the multiplexing.
const KEEPS_ALIVE: [u32; 3] = [1, 2, 331];

/// How a session ended, as the server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `Success` or `Failed`.
    pub status: String,
    /// Why it failed; empty if it didn't.
    pub output: String,
}

impl End {
    /// A session that failed.
    pub fn failed(output: String) -> End {
        End { status: "Failed".to_owned(), output }
    }

    fn of(over: Over) -> End {
        match over {
            Over::Failed(what) => End::failed(what),
            // An operator's wish is a success, too.
            Over::Done | Over::Closed => {
                End { status: "Success".to_owned(), output: String::new() }
            }
        }
    }

    /// Reads how the session of `folder` ended, if it said so.
    pub fn read(folder: &Path) -> Option<End> {
        let text = fs::read_to_string(folder.join(END)).ok()?;
        let node = json::parse(&text).ok()?;
        let text = |name| node.get(name).and_then(Node::as_str).map(str::to_owned);
        Some(End { status: text("status")?, output: text("output")? })
    }

    /// Writes it there.
    ///
    /// # Errors
    /// It can't be written; most often the disk is full.
    pub fn write(&self, folder: &Path) -> Result<(), FileError> {
        let text = ObjectWriter::new()
            .string("status", &self.status)
            .string("output", &self.output)
            .finish();
        durable::write(&folder.join(END), text.as_bytes())
    }

    /// Writes it there, or says it to whoever waits for this process: by its exit code, and why it failed. Whether it is
    /// written, and what is to be said.
    fn leave(self, folder: &Path) -> (bool, Result<(), String>) {
        let Err(error) = self.write(folder) else { return (true, Ok(())) };
        log::warn!("{error}");
        (false, if self.status == "Success" { Ok(()) } else { Err(self.output) })
    }
}

/// What a session may use.
pub struct Means<'a> {
    /// The way to its data channel.
    pub dial: Box<dyn Dial>,
    /// Where transcripts go.
    pub remote: &'a dyn Remote,
    /// The agent's state folder.
    pub state: &'a Path,
    /// As whom sessions run if nobody else says (`session.runAs`).
    pub run_as: Option<&'a str>,
    /// How large a transcript may become, bytes.
    pub transcript: u64,
}

/// Carries the session that is ordered by `content` to its end. How it ended is noted in `folder`, and
/// `bell` is rung then; the transcript is sent after that.
///
/// # Errors
/// In words: it failed, and that can't be noted. What becomes of the session is in the note otherwise.
pub fn run(
    folder: &Path,
    content: &str,
    means: Means<'_>,
    bell: &mut dyn Write,
) -> Result<(), String> {
    let state = means.state;
    let remote = means.remote;
    let end = match carry(content, means) {
        Ok(over) => End::of(over),
        Err(what) => End::failed(what),
    };
    let (is_noted, said) = end.leave(folder);
    let _ = bell.write_all(b".").and_then(|()| bell.flush());
    // Else the server hears of the end when this process is gone; and then the daemon has transcripts sent.
    if is_noted {
        // One that can't be sent is kept for later; of that nobody else need know.
        let _ = transcript::deliver(state, remote);
    }
    said
}

fn carry(content: &str, means: Means<'_>) -> Result<Over, String> {
    let signals = Signals::catch().map_err(|error| format!("can't catch signals: {error}"))?;
    let order = Order::read(content)?;
    let name = order.type_name();
    let Order { id, kind, run_as, destination } = order;
    let who = user::choose(&run_as, means.run_as)?;
    let is_port = matches!(kind, Kind::Port(_));
    let transcript = match is_port {
        true => None,
        false => Transcript::begin(means.state, &id, &destination, means.transcript),
    };
    let properties = match &kind {
        Kind::Port(target) => Some(target.properties.clone()),
        _ => None,
    };
    let request = HandshakeRequest {
        agent_version: ANNOUNCED.to_owned(),
        session_type: name.to_owned(),
        properties,
    };
    let manner = Manner {
        handshake: matches!(kind, Kind::Port(_) | Kind::Command(_)).then_some(request),
        tells_its_end: !is_port,
    };
    let mut kind = Some(kind);
    let mut begin = |version: &str| -> Result<Box<dyn Work>, String> {
        let kind = kind.take().ok_or_else(|| "the session has begun already".to_owned())?;
        Ok(match kind {
            Kind::Shell(profile) => Box::new(Shell::start(who.as_ref(), None, &profile)?),
            Kind::Interactive(line) => Box::new(Shell::start(who.as_ref(), Some(&line), "")?),
            Kind::Command(program) => Box::new(Running::start(who.as_ref(), program)?),
            Kind::Port(target) => begin_port(&target, version)?,
        })
    };
    let channel = Channel::new(&id, means.dial, &signals, manner, transcript);
    let (over, transcript) = channel.run(&mut begin);
    if let Some(transcript) = transcript {
        transcript.end();
    }
    Ok(over)
}

fn begin_port(target: &Target, version: &str) -> Result<Box<dyn Work>, String> {
    let version = numbers(version);
    if target.forwards && version >= MULTIPLEXES {
        return Ok(Box::new(Mux::start(target, version <= KEEPS_ALIVE)?));
    }
    Ok(Box::new(Port::start(target)?))
}

/// The first three numbers of a version; what is missing is 0.
fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = [0; 3];
    for (number, text) in numbers.iter_mut().zip(version.split('.')) {
        *number = text.parse().unwrap_or_default();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::super::channel::{DialError, Line};
    use super::super::order::Destination;
    use super::*;
    use crate::document::remote::Nowhere;
    use crate::testing::Folder;

    #[test]
    fn an_end_is_read_as_it_was_written() {
        let folder = Folder::new();
        assert_eq!(End::read(folder.path()), None);
        let end = End::failed("no \"user\"".to_owned());
        end.write(folder.path()).unwrap();
        assert_eq!(End::read(folder.path()), Some(end));
    }

    #[test]
    fn a_good_end_that_there_is_no_room_for_is_still_a_good_one() {
        let folder = Folder::new();
        fs::create_dir(folder.path().join(END)).unwrap();
        let good = End { status: "Success".to_owned(), output: String::new() };
        assert_eq!(good.leave(folder.path()), (false, Ok(())));
        let bad = End::failed("no user".to_owned());
        assert_eq!(bad.leave(folder.path()), (false, Err("no user".to_owned())));
    }

    /// A way that nobody goes.
    struct NoWay;

    impl Dial for NoWay {
        fn dial(&mut self) -> Result<Box<dyn Line>, DialError> {
            panic!("there is no session")
        }
    }

    #[test]
    fn an_end_that_could_not_be_noted_waits_for_no_transcripts() {
        let (folder, state) = (Folder::new(), Folder::new());
        let to = Destination { hub: true, ..Destination::default() };
        // Nothing was printed, so whoever looks after it removes it.
        drop(Transcript::begin(state.path(), "s-1", &to, 10).unwrap());
        let run = || {
            let (dial, state) = (Box::new(NoWay), state.path());
            let means = Means { dial, remote: &Nowhere, state, run_as: None, transcript: 10 };
            run(folder.path(), "no order", means, &mut Vec::new())
        };
        fs::create_dir(folder.path().join(END)).unwrap();
        assert!(run().is_err() && transcript::are_waiting(state.path()));
        fs::remove_dir(folder.path().join(END)).unwrap();
        assert!(run().is_ok() && !transcript::are_waiting(state.path()));
    }

    #[test]
    fn clients_are_told_apart_by_their_version() {
        assert!(numbers("1.2.0.0") <= KEEPS_ALIVE && numbers("1.2.0.0") >= MULTIPLEXES);
        assert!(numbers("1.2.650.0") > KEEPS_ALIVE);
        assert!(numbers("1.1.69.0") < MULTIPLEXES);
        assert!(numbers("x") < MULTIPLEXES);
    }
}
