//! What goes on while a connection is being made: name servers, handshakes and refused credentials take their time.

use super::super::*;
use super::client::{Client, Server, bare, session_over, sh};
use crate::testing::Folder;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Connects once; whoever wants another connection waits until the test is over.
struct Stuck {
    server: Option<Server>,
    begun: Sender<()>,
    over: Receiver<()>,
}

impl Dial for Stuck {
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError> {
        if let Some(mut server) = self.server.take() {
            return server.dial();
        }
        self.begun.send(()).unwrap();
        let _ = self.over.recv_timeout(Duration::from_secs(20));
        Err(DialError { is_final: true, what: "the loop has waited for this".to_owned() })
    }
}

/// A session whose connection is cut as soon as its program is up; `then` is called when another one is
/// being made.
fn cut(line: &str, then: impl FnOnce(&Signals) + Send + 'static) -> Over {
    let (sender, dials) = channel();
    let (begun, begins) = channel();
    let (_open, over) = channel();
    let dial = Box::new(Stuck { server: Some(Server(sender)), begun, over });
    let signals = Signals::catch().unwrap();
    let own = signals.clone();
    let client = move |client: &mut Client| {
        client.until("up");
        let _ = client.line.send(b"");
        begins.recv_timeout(Duration::from_secs(20)).unwrap();
        then(&own);
    };
    session_over((dial, dials), &signals, bare(), sh(line), client)
}

#[test]
fn a_program_that_ends_while_a_connection_is_being_made_ends_its_session() {
    let folder = Folder::new();
    let gate = folder.path().join("gate");
    let line = format!("echo up; until [ -e {} ]; do sleep 0.01; done", gate.display());
    let over = cut(&line, move |_| std::fs::write(gate, "").unwrap());
    assert_eq!(over, Over::Done);
}

#[test]
fn a_session_is_terminated_while_a_connection_is_being_made() {
    // What it prints makes the loop turn, as a signal does.
    let line = "echo up; while :; do sleep 0.01; echo; done";
    assert_eq!(cut(line, Signals::cancel), Over::Closed);
}
