//! The data channel against a client in the same process: shells and commands; and how a session ends.

mod client;
mod ports;
mod standing;
mod stuck;

use super::*;
use crate::session::command::Running;
use crate::session::order::Program;
use crate::session::shell::Shell;
use crate::testing::Folder;
use client::{asking, bare, session, sh};
use std::time::Duration;
use stint_wire::mgs::message::kind;
use stint_wire::mgs::stream::Size;

#[test]
fn a_shell_is_typed_into_resized_and_left() {
    let over = session(
        bare(),
        |_| Ok(Box::new(Shell::start(None, None, "echo pro''file")?)),
        |client| {
            client.until("profile");
            client.send(PayloadType::Size, Size { columns: 101, rows: 33 }.write().as_bytes());
            client.send(PayloadType::Output, b"stty size; echo $HOME-$TERM\n");
            client.until("33 101");
            client.until("-xterm-256color");
            client.send(PayloadType::Output, b"exit\n");
            client.hear_all();
            assert_eq!(client.states, ["Connected", "Terminating"]);
            assert_eq!(client.acknowledged, [0, 1, 2]);
        },
    );
    assert_eq!(over, Over::Done);
}

#[test]
fn nothing_is_lost_when_messages_acknowledgements_and_connections_are() {
    let over = session(bare(), sh("seq 1 20000; read done"), |client| {
        client.loses = 31;
        while client.expected < 60 {
            assert!(client.hear());
        }
        client.cut();
        // Of what was early all may be used at once; the connection has to be there to be cut.
        while client.expected < 120 || client.states.len() < 2 {
            assert!(client.hear());
        }
        client.loses = 0;
        client.cut();
        client.until("\n20000\r\n");
        let wanted: String = (1..=20_000).map(|number| format!("{number}\r\n")).collect();
        assert_eq!(client.text(), wanted);
        client.send(PayloadType::Output, b"\n");
        client.hear_all();
        assert_eq!(client.states, ["Connected", "Connected", "Connected", "Terminating"]);
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn what_comes_doubled_and_in_disorder_is_typed_once_and_in_order() {
    let over = session(bare(), sh("read line; echo got $line"), |client| {
        client.send_as(2, PayloadType::Output, b"cc\n");
        client.send_as(0, PayloadType::Output, b"aa");
        client.send_as(0, PayloadType::Output, b"aa");
        client.send_as(2, PayloadType::Output, b"cc\n");
        client.send_as(1, PayloadType::Output, b"bb");
        client.until("got aabbcc");
        client.hear_all();
        assert_eq!(client.acknowledged, [2, 0, 0, 2, 1]);
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn a_pause_stops_the_output_and_an_endless_one_waits_in_its_program() {
    let over = session(bare(), sh("yes"), |client| {
        client.tell(kind::PAUSE_PUBLICATION);
        // Until the window is full, or the pause is heard.
        client.line.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let mut bytes = vec![0; 65_536];
        let mut unacknowledged = 0;
        while let Ok(count) = client.line.recv(&mut bytes) {
            unacknowledged += count;
            assert!(unacknowledged < 2 * WINDOW);
        }
        client.line.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.tell(kind::START_PUBLICATION);
        while client.expected < 200 {
            assert!(client.hear());
        }
        client.tell(kind::CHANNEL_CLOSED);
        client.hear_all();
        // Only the agent's own end is told to the server.
        assert!(!client.states.contains(&"Terminating".to_owned()));
    });
    assert_eq!(over, Over::Closed);
}

#[test]
fn a_typed_interrupt_ends_a_flood() {
    let over = session(bare(), sh("yes"), |client| {
        client.until("y\r\ny");
        client.send(PayloadType::Output, &[3]);
        client.hear_all();
        assert_eq!(client.states.last().map(String::as_str), Some("Terminating"));
    });
    assert_eq!(over, Over::Done);
}

#[test]
fn a_command_s_streams_come_apart_and_its_code_at_the_end() {
    let start = |words: &[&str], separate| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let prefixes = [String::new(), "E:".to_owned()];
        Program { words, separate, prefixes }
    };
    let line = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    let begin = |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Running::start(None, start(&line, true))?))
    };
    let over = session(asking("NonInteractiveCommands"), begin, |client| {
        client.shake_hands("1.2.650.0");
        client.hear_all();
        assert_eq!(client.of(PayloadType::Output), b"out\n");
        assert_eq!(client.of(PayloadType::StdErr), b"E:err\n");
        assert_eq!(client.of(PayloadType::ExitCode), b"EXIT_CODE: 7");
        assert_eq!(client.got.last().unwrap().0, PayloadType::ExitCode as u32);
    });
    assert_eq!(over, Over::Done);
    let begin = |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Running::start(None, start(&line, false))?))
    };
    let over = session(asking("NonInteractiveCommands"), begin, |client| {
        client.shake_hands("1.2.650.0");
        client.hear_all();
        assert_eq!(client.text(), "out\nerr\n");
        assert!(client.of(PayloadType::ExitCode).is_empty());
    });
    assert_eq!(over, Over::Done);
    let missing = Running::start(None, start(&["/no/such/program"], true));
    assert!(missing.err().unwrap().starts_with("Unable to start command: /no/such/program"));
}

#[test]
fn a_client_that_can_t_do_what_it_is_asked_ends_the_session() {
    let begin = |_: &str| -> Result<Box<dyn Work>, String> { panic!("it was begun") };
    let over = session(asking("Port"), begin, |client| {
        let answer = r#"{"ClientVersion":"1","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":3,"Error":"what?"}]}"#;
        client.send(PayloadType::HandshakeResponse, answer.as_bytes());
        client.hear_all();
    });
    assert_eq!(over, Over::Failed("the client can't do SessionType: what?".to_owned()));
}

#[test]
fn a_session_that_the_server_no_longer_knows_ends_and_so_do_its_programs() {
    let folder = Folder::new();
    let pid = folder.path().join("pid");
    let line = format!("echo $$ >{}; echo up; sleep 600", pid.display());
    let over = session(bare(), sh(&line), |client| {
        client.until("up");
        // The other end of the dials goes with the client.
        let _ = client.line.send(b"");
    });
    assert_eq!(over, Over::Failed("there is no such session".to_owned()));
    let pid = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    crate::testing::wait_for_death(pid);
}
