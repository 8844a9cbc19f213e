//! Steps of a channel, one by one.

use super::super::connection::{LOST, MAX_PAUSE, SOUND};
use super::super::stream::message;
use super::super::*;
use super::client::{Ends, Pair, Server, bare};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use stint_wire::mgs::message::{Message, kind};
use stint_wire::mgs::stream::Acknowledge;

/// A work that takes one message a turn, and notes it.
struct Reluctant {
    got: Rc<RefCell<Vec<u8>>>,
    ready: bool,
}

impl Work for Reluctant {
    fn watch(&self, _: &mut Set, _: bool) {}

    fn turn(&mut self, _: &mut dyn Sink, _: u64) -> Option<Result<(), String>> {
        self.ready = true;
        None
    }

    fn take(&mut self, _: PayloadType, payload: &[u8]) -> bool {
        if self.ready {
            self.got.borrow_mut().extend_from_slice(payload);
        }
        std::mem::take(&mut self.ready)
    }

    fn close(&mut self) {}
}

/// A line that takes nothing.
struct Behind {
    socket: UnixDatagram,
    unsent: usize,
}

impl Line for Behind {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut bytes = vec![0; 4096];
        self.socket.set_nonblocking(true).unwrap();
        Ok(self.socket.recv(&mut bytes).ok().map(|count| bytes[..count].to_vec()))
    }

    fn flush(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        self.unsent += frame.len();
        Ok(())
    }

    fn ping(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn unsent(&self) -> usize {
        self.unsent
    }

    fn pongs(&self) -> u32 {
        0
    }
}

/// Does something with a channel that is connected but doesn't run, and the client's end of it. What the
/// returned list has, a [`Reluctant`] work has taken.
fn standing(act: impl FnOnce(&mut Channel<'_>, &Receiver<Ends>, &Rc<RefCell<Vec<u8>>>)) {
    let (sender, dials) = channel();
    let signals = Signals::catch().unwrap();
    let server = Box::new(Server(sender));
    let mut channel = Channel::new("s-1", server, &signals, bare(), None);
    let got = Rc::default();
    channel.work = Some(Box::new(Reluctant { got: Rc::clone(&got), ready: true }));
    connect(&mut channel);
    act(&mut channel, &dials, &got);
}

/// Has the channel connect, and waits for that.
fn connect(channel: &mut Channel<'_>) {
    channel.connect();
    while channel.dialing.is_some() {
        let mut set = Set::default();
        channel.watch(&mut set, true);
        set.wait(Some(20_000)).unwrap();
        channel.connect();
    }
    assert!(channel.line.is_some());
}

fn unexpected(_: &str) -> Result<Box<dyn Work>, String> {
    panic!("nothing is to be begun")
}

fn typed(sequence: i64, text: &[u8]) -> Vec<u8> {
    let data = message(kind::INPUT_STREAM_DATA, text);
    Message { sequence, payload_type: PayloadType::Output as u32, ..data }.write()
}

/// What a client says of a message that it has.
fn acknowledgement(sequence: i64) -> Vec<u8> {
    let (kind, id) = (kind::OUTPUT_STREAM_DATA.to_owned(), MessageId::new([1; 16]));
    let text = Acknowledge { kind, id, sequence }.write();
    message(kind::ACKNOWLEDGE, text.as_bytes()).write()
}

#[test]
fn input_that_came_early_is_used_when_a_slow_work_can_take_it() {
    standing(|channel, dials, got| {
        let (client, _) = dials.recv().unwrap();
        for (number, text) in [(1, b"b"), (2, b"c"), (0, b"a"), (3, b"d")] {
            client.send(&typed(number, text)).unwrap();
        }
        channel.receive(&mut unexpected);
        assert_eq!(*got.borrow(), b"a");
        assert!(!channel.reads() && !channel.looks_at_once(), "it can't take the next one");
        channel.turn();
        channel.turn();
        assert_eq!(*got.borrow(), b"abc");
        assert!(channel.looks_at_once(), "a message is left that nobody has looked at");
        channel.receive(&mut unexpected);
        channel.turn();
        assert_eq!(*got.borrow(), b"abcd");
        channel.receive(&mut unexpected);
        assert!(channel.reads() && !channel.looks_at_once(), "all has been read");
    });
}

#[test]
fn what_was_begun_is_sent_even_in_a_pause() {
    standing(|channel, dials, _| {
        drop(dials.recv().unwrap());
        let (socket, client) = UnixDatagram::pair().unwrap();
        let unsent = VecDeque::from([b"rest".to_vec()]);
        channel.line.as_mut().unwrap().line = Box::new(Pair { socket, unsent });
        channel.stream.send(PayloadType::Output, b"more");
        channel.stream.paused = true;
        channel.send_due();
        let mut bytes = [0; 16];
        assert_eq!(client.recv(&mut bytes).unwrap(), 4);
        client.set_nonblocking(true).unwrap();
        assert!(client.recv(&mut bytes).is_err(), "the pause holds up what is new");
    });
}

#[test]
fn the_last_output_waits_for_a_client_that_is_away() {
    standing(|channel, dials, _| {
        let (client, _agents) = dials.recv().unwrap();
        channel.stream.send(PayloadType::Output, b"last words");
        let client = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            let mut hear = || client.recv(&mut bytes).map(|count| bytes[..count].to_vec());
            assert!(hear().is_ok(), "that it is connected");
            assert!(hear().is_ok(), "what nobody acknowledges");
            client.send(&message(kind::PAUSE_PUBLICATION, b"").write()).unwrap();
            client.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            while hear().is_ok() {}
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client.send(&message(kind::START_PUBLICATION, b"").write()).unwrap();
            let again = hear().unwrap();
            assert_eq!(Message::parse(&again).unwrap().payload, b"last words");
            client.send(&acknowledgement(0)).unwrap();
            while hear().is_ok_and(|said| !said.is_empty()) {}
        });
        channel.part(&mut Set::default());
        assert!(channel.stream.out.is_empty(), "it was given up");
        channel.lose();
        client.join().unwrap();
    });
}

#[test]
fn acknowledgements_that_the_line_does_not_take_hold_up_what_it_brings() {
    standing(|channel, dials, got| {
        let (client, _) = dials.recv().unwrap();
        let (socket, agents) = UnixDatagram::pair().unwrap();
        channel.line.as_mut().unwrap().line = Box::new(Behind { socket, unsent: UNSENT - 1 });
        assert!(channel.reads());
        client.set_nonblocking(true).unwrap();
        agents.send(&typed(0, b"a")).unwrap();
        agents.send(&typed(1, b"b")).unwrap();
        channel.receive(&mut unexpected);
        channel.turn();
        assert!(!channel.reads() && channel.unsent() > UNSENT);
        channel.receive(&mut unexpected);
        assert_eq!(*got.borrow(), b"a", "the other is still on its way");
        // Where output waits for acknowledgements, the line is read, and says little more.
        while channel.stream.out.has_room() {
            channel.stream.send(PayloadType::Output, &[0; 10_000]);
        }
        assert!(channel.reads());
        for number in 0..2000 {
            agents.send(&typed(number, b"c")).unwrap();
            channel.receive(&mut unexpected);
            channel.turn();
        }
        assert!(channel.stream.inc.take(2000, 1, b"") == stint_wire::stream::Turn::Now);
        assert!((4 * UNSENT..4 * UNSENT + 1000).contains(&channel.unsent()));
    });
}

#[test]
fn a_line_that_is_behind_lives_as_long_as_it_takes_something() {
    standing(|channel, _, _| {
        let later = |channel: &mut Channel<'_>| {
            let more = Duration::from_millis(PING.max(SILENCE) + 1);
            channel.begun = channel.begun.checked_sub(more).unwrap();
            channel.look_after_the_line();
            channel.line.is_some()
        };
        for unsent in (UNSENT..2 * UNSENT).rev().step_by(UNSENT / 4) {
            let (socket, _) = UnixDatagram::pair().unwrap();
            channel.line.as_mut().unwrap().line = Box::new(Behind { socket, unsent });
            assert!(!channel.reads() && later(channel));
        }
        assert!(!(later(channel) && later(channel)), "it takes nothing any more");
    });
}

#[test]
fn connections_that_break_at_once_are_made_at_longer_and_longer_intervals() {
    standing(|channel, dials, _| {
        for doubled in 1..12 {
            channel.lose();
            assert_eq!(channel.pause, (FIRST_PAUSE << doubled).min(MAX_PAUSE));
            channel.retry = 0;
            connect(channel);
        }
        let (client, _) = dials.try_iter().last().unwrap();
        client.send(&message(kind::START_PUBLICATION, b"").write()).unwrap();
        channel.receive(&mut unexpected);
        channel.lose();
        assert_eq!(channel.pause, 2 * FIRST_PAUSE, "one that has carried something was good");
        channel.retry = 0;
        connect(channel);
        channel.begun = channel.begun.checked_sub(Duration::from_millis(SOUND)).unwrap();
        channel.lose();
        assert_eq!(channel.pause, 2 * FIRST_PAUSE, "and so was one that has lived for a while");
        channel.lost = Some(0);
        channel.retry = 0;
        connect(channel);
        channel.line.as_mut().unwrap().opened = channel.now() + LOST;
        channel.begun = channel.begun.checked_sub(Duration::from_millis(LOST)).unwrap();
        channel.lose();
        assert!(matches!(channel.over, Some(Over::Failed(_))), "not for ever");
    });
}

#[test]
fn whatever_comes_is_a_sign_of_life_and_an_acknowledgement_counts_once() {
    standing(|channel, dials, _| {
        let (client, _) = dials.recv().unwrap();
        channel.stream.send(PayloadType::Output, b"x");
        channel.begun = channel.begun.checked_sub(Duration::from_millis(PING)).unwrap();
        channel.look_after_the_line();
        let later = Duration::from_millis(SILENCE + 1);
        channel.begun = channel.begun.checked_sub(later).unwrap();
        let acknowledge = acknowledgement(0);
        client.send(&acknowledge).unwrap();
        channel.receive(&mut unexpected);
        assert!(channel.acknowledged > 0);
        channel.look_after_the_line();
        assert!(channel.line.is_some());
        channel.acknowledged = 0;
        client.send(&acknowledge).unwrap();
        channel.receive(&mut unexpected);
        assert_eq!(channel.acknowledged, 0);
        for _ in 0..2 {
            channel.begun = channel.begun.checked_sub(later).unwrap();
            channel.look_after_the_line();
        }
        assert!(channel.line.is_none(), "nothing comes any more");
    });
}
