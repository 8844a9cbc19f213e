//! The start-up report on the board's serial console: what somebody with a cable and no network
//! gets to know.
//!
//! Never here: anything that others wait for. A port that is absent, busy or held by flow control
//! costs a helper thread one second and the log one line.

mod boots;
#[cfg(feature = "ssm")]
mod ec2;
mod facts;
mod line;

pub use boots::ended;

use crate::lane::Lane;
use crate::sys::serial::Port;
#[cfg(feature = "ssm")]
use crate::uplink::ssm::instance::Instance;
use line::Line;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use stint_wire::time::Utc;

/// What all lines of one report may wait together. The original tries for 50 s.
const PATIENCE: Duration = Duration::from_secs(1);

/// The console. Clones share the port.
#[derive(Clone)]
pub struct Console {
    lane: Lane,
    port: Arc<Mutex<State>>,
}

enum State {
    Closed {
        devices: Vec<PathBuf>,
        baud: u32,
    },
    Open(Port),
    /// It failed once and has been complained about.
    Lost,
}

impl Console {
    /// The first of `devices` that can be opened, at `baud`, or as it is if that is 0. That happens when
    /// there is something to say.
    pub fn new(devices: Vec<PathBuf>, baud: u32) -> Console {
        let state = if devices.is_empty() { State::Lost } else { State::Closed { devices, baud } };
        Console { lane: Lane::new("serial"), port: Arc::new(Mutex::new(state)) }
    }

    /// Says what this device is and how it came up, which is remembered in the folder `state`.
    /// `was_reset`: before this boot the guardian left the watchdog without food. `clock`: the time, and
    /// whether the agent relies on it.
    pub fn started(
        &self,
        node: Option<&str>,
        state: &Path,
        watchdog: PathBuf,
        was_reset: bool,
        clock: (Utc, bool),
    ) {
        let state = state.to_owned();
        let node = node.unwrap_or("not registered").to_owned();
        // The facts are gathered on the lane, too: /sys may be slow to answer.
        self.submit(move || facts::Facts::gather(&state, &watchdog, was_reset).lines(&node, clock));
    }

    /// Greets those who read an EC2 instance's console output, in a thread of its own: that may take a minute.
    #[cfg(feature = "ssm")]
    pub fn greet(instance: Instance) {
        let greet = move || ec2::greet(&instance, &ec2::devices(), ec2::PAUSE);
        let _ = Lane::new("greet").submit(Box::new(greet));
    }

    /// Says that the agent had to be started again, how often so far, and why.
    #[cfg(feature = "guardian")]
    pub fn restarted(&self, count: u64, reason: &str) {
        let line = Line::new("restart").word("count", &count.to_string()).word("reason", reason);
        self.submit(move || vec![line]);
    }

    /// Says that the server hears this node, and as which one.
    pub fn online(&self, link: &str, node: Option<&str>) {
        let mut line = Line::new("online").word("link", link);
        if let Some(node) = node {
            line = line.word("node", node);
        }
        self.submit(move || vec![line]);
    }

    /// Says that the server can't be reached, and when that is tried again.
    pub fn backing_off(&self, wait: Duration, why: &str) {
        let seconds = wait.as_secs().to_string();
        let line = Line::new("backoff").word("seconds", &seconds).word("error", why);
        self.submit(move || vec![line]);
    }

    fn submit(&self, lines: impl FnOnce() -> Vec<Line> + Send + 'static) {
        let port = self.port.clone();
        let say = move || {
            let mut state = port.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(*state, State::Lost) {
                let text: String = lines().iter().map(Line::to_string).collect();
                if let Err(complaint) = state.say(&text) {
                    log::warn!("{complaint}");
                }
            }
        };
        // What can't even wait for its turn isn't worth a complaint.
        let _ = self.lane.submit(Box::new(say));
    }
}

impl State {
    /// Writes it, or gives the port up.
    ///
    /// # Errors
    /// In words, once: a port that was given up isn't touched again.
    fn say(&mut self, text: &str) -> Result<(), String> {
        let done = self.try_to_say(text);
        if done.is_err() {
            *self = State::Lost;
        }
        done
    }

    fn try_to_say(&mut self, text: &str) -> Result<(), String> {
        if let State::Closed { devices, baud } = self {
            let mut last = String::new();
            let open = devices.iter().find_map(|device| {
                Port::open(device, *baud).map_err(|error| last = error.to_string()).ok()
            });
            match open {
                Some(port) => *self = State::Open(port),
                None => return Err(format!("no serial console for the start-up report: {last}")),
            }
        }
        match self {
            State::Open(port) => port
                .write(text.as_bytes(), PATIENCE)
                .map_err(|error| format!("the serial console takes no report: {error}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::serial::testing::{Pty, lose_privileges};
    use crate::testing::Folder;

    fn wait_for(console: &Console) {
        // The lane works in order, so this runs after all that was said before.
        smol::block_on(console.lane.run(|| ())).unwrap();
    }

    #[test]
    fn a_report_reaches_the_first_console_that_opens() {
        let pty = Pty::new();
        let console = Console::new(vec!["/dev/none".into(), pty.device().into()], 115_200);
        let (node, clock) = (Some("mi-0123456789abcdef0"), (Utc(1_795_335_599_123), true));
        let state = Folder::new();
        console.started(node, state.path(), PathBuf::new(), false, clock);
        console.online("ec2messages", node);
        console.online("bootagent", None);
        console.backing_off(Duration::from_secs(7), "can't reach \"hub\"\nat all");
        wait_for(&console);
        let text = pty.read(|text| text.contains("at all\"\r\n"));
        assert!(text.contains("stint: start version="), "{text}");
        assert!(text.contains(" node=mi-0123456789abcdef0"), "{text}");
        assert!(text.contains("time=2026-11-22T08:19:59.123Z state=set\r\n"), "{text}");
        let online = "stint: online link=ec2messages node=mi-0123456789abcdef0\r\n";
        assert!(text.contains(online), "{text}");
        assert!(text.contains("stint: online link=bootagent\r\n"), "{text}");
        assert!(
            text.contains("stint: backoff seconds=7 error=\"can't reach 'hub' at all\"\r\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= line::COLUMNS), "{text}");
    }

    /// What is logged of three reports to that port.
    fn complaints(device: &str) -> Vec<String> {
        let mut console = State::Closed { devices: vec![device.into()], baud: 9600 };
        let complaints = (0..3).filter_map(|_| console.say("stint: online\n").err()).collect();
        assert!(matches!(console, State::Lost), "{device}");
        complaints
    }

    #[test]
    fn a_port_that_takes_nothing_is_given_up_with_one_line_in_the_log() {
        let (held, taken) = (Pty::new(), Pty::new());
        held.hold();
        for (device, why) in [
            (held.device(), "takes no report"),
            ("/dev/none", "No such file"),
            ("/dev/null", "ioctl"),
            ("/proc/version", ""),
        ] {
            let said = complaints(device);
            assert!(said.len() == 1 && said[0].contains(why), "{device}: {said:?}");
        }
        let _taken = taken.take();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lose_privileges();
                let said = complaints(taken.device());
                assert!(said.len() == 1 && said[0].contains("busy"), "{said:?}");
            });
        });
        assert!(taken.is_silent());
    }

    #[test]
    fn nobody_waits_for_a_console_that_was_given_up() {
        let console = Console::new(vec!["/dev/none".into()], 115_200);
        for _ in 0..3 {
            console.online("ec2messages", None);
        }
        wait_for(&console);
        assert!(matches!(*console.port.lock().unwrap(), State::Lost));
    }
}
