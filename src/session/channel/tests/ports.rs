//! Forwarded ports.

use super::super::*;
use super::client::{Client, asking, session};
use crate::session::mux::Mux;
use crate::session::order::Target;
use crate::session::port::Port;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;
use stint_wire::json::{Node, Value};
use stint_wire::mgs::stream::Flag;
use stint_wire::smux::{self, Command, Reader};

fn target(port: u16, forwards: bool) -> Target {
    let properties = Node { line: 1, value: Value::Null };
    Target { host: String::new(), port, forwards, properties }
}

/// A server that sends back what it gets, for so many connections.
fn echo(connections: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    stream.write_all(&bytes[..count]).unwrap();
                }
            });
        }
    });
    port
}

#[test]
fn a_port_s_bytes_come_back_whole_both_ways_through_cuts() {
    let port = echo(1);
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Port::start(&target(port, false))?))
    };
    let over = session(asking("Port"), begin, |client| {
        client.shake_hands("1.0.0.0");
        let sent: Vec<u8> = (0..400_000_u32).map(|number| (number * 7 / 3) as u8).collect();
        for (at, piece) in sent.chunks(1024).enumerate() {
            client.send(PayloadType::Output, piece);
            // What isn't acknowledged would be sent again by a real client.
            while client.acknowledged.last() != Some(&(client.next - 1)) {
                assert!(client.hear());
            }
            if at == 200 {
                client.cut();
            }
        }
        while client.of(PayloadType::Output).len() < sent.len() {
            assert!(client.hear());
        }
        assert!(client.of(PayloadType::Output) == sent);
        client.send(PayloadType::Flag, &Flag::TerminateSession.write());
        client.hear_all();
        assert_eq!(client.states, ["Connected", "Connected"]);
    });
    assert_eq!(over, Over::Closed);
}

#[test]
fn many_connections_share_a_session_and_a_refused_one_is_told() {
    let port = echo(2);
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Mux::start(&target(port, true), false)?))
    };
    let over = session(asking("Port"), begin, |client| {
        client.shake_hands("1.2.650.0");
        let frame = |command, stream, data: &[u8]| {
            let mut frame = smux::header(command, stream, data.len() as u16).to_vec();
            frame.extend_from_slice(data);
            frame
        };
        let mut both = Vec::new();
        for stream in [3, 5] {
            both.extend(frame(Command::Open, stream, b""));
        }
        both.extend(frame(Command::Data, 5, b"five"));
        both.extend(frame(Command::Data, 3, b"three"));
        both.extend(frame(Command::End, 3, b""));
        for piece in both.chunks(9) {
            client.send(PayloadType::Output, piece);
        }
        let read =
            |client: &Client| Reader::default().feed(&client.of(PayloadType::Output)).unwrap();
        let of = |client: &Client, stream| {
            let frames = read(client).into_iter().filter(move |frame| frame.stream == stream);
            let frames: Vec<_> = frames.collect();
            let ended = frames.iter().any(|frame| frame.command == Command::End);
            (frames.into_iter().flat_map(|frame| frame.data).collect::<Vec<u8>>(), ended)
        };
        while of(client, 3) != (b"three".to_vec(), true)
            || of(client, 5) != (b"five".to_vec(), false)
        {
            assert!(client.hear());
        }
        client.send(PayloadType::Flag, &Flag::TerminateSession.write());
        client.hear_all();
    });
    assert_eq!(over, Over::Closed);
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Mux::start(&target(gone, true), false)?))
    };
    let over = session(asking("Port"), begin, |client| {
        client.shake_hands("1.2.650.0");
        client.send(PayloadType::Output, &smux::header(Command::Open, 3, 0));
        while client.got.len() < 4 {
            assert!(client.hear());
        }
        assert_eq!(client.of(PayloadType::Flag), Flag::ConnectToPortError.write());
        assert_eq!(client.of(PayloadType::Output), smux::header(Command::End, 3, 0));
        client.send(PayloadType::Flag, &Flag::TerminateSession.write());
        client.hear_all();
    });
    assert_eq!(over, Over::Closed);
}

#[test]
fn a_target_that_takes_nothing_for_a_while_loses_nothing_of_what_the_client_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent: Vec<u8> = (0..6_000_000_u32).map(|number| (number / 5) as u8).collect();
    let expected = sent.clone();
    let target_side = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        thread::sleep(Duration::from_millis(500));
        let mut got = vec![0; expected.len()];
        stream.read_exact(&mut got).unwrap();
        assert!(got == expected);
    });
    let begin = move |_: &str| -> Result<Box<dyn Work>, String> {
        Ok(Box::new(Port::start(&target(port, false))?))
    };
    let over = session(asking("Port"), begin, move |client| {
        client.shake_hands("1.0.0.0");
        // It listens meanwhile: an agent whose acknowledgements nobody takes stops reading.
        let line = client.line.try_clone().unwrap();
        let listener = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while line.recv(&mut bytes).expect("something comes") > 0 {}
        });
        // The socket itself holds the client up, as TCP does.
        for piece in sent.chunks(8192) {
            client.send(PayloadType::Output, piece);
        }
        listener.join().unwrap();
    });
    assert_eq!(over, Over::Done);
    target_side.join().unwrap();
}
