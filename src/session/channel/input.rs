//! What comes in by a session's channel: acknowledgements, and the client's input in its turn.

use super::super::work::Sink;
use super::connection::FIRST_PAUSE;
use super::stream::message;
use super::{Begin, Channel, Over};
use stint_wire::mgs::message::{Message, MessageId, SYN_FIN, kind};
use stint_wire::mgs::stream::{
    Acknowledge, Flag, HandshakeComplete, HandshakeResponse, PayloadType,
};
use stint_wire::stream::Turn;

impl Channel<'_> {
    /// Takes in what has come.
    pub(super) fn receive(&mut self, begin: Begin<'_>) {
        self.unread = true;
        while self.over.is_none() && self.reads() {
            let now = self.now();
            let Some(connected) = &mut self.line else { return };
            match connected.line.receive() {
                Ok(Some(frame)) => {
                    connected.answered = now;
                    (self.lost, self.pause) = (None, FIRST_PAUSE);
                    // What can't be read is dropped, as the original does.
                    if let Ok(message) = Message::parse(&frame) {
                        self.message(&message, begin);
                    }
                }
                Ok(None) => {
                    self.unread = false;
                    return;
                }
                Err(what) => {
                    log::warn!("session {}: {what}", self.id);
                    self.lose();
                }
            }
        }
    }

    fn message(&mut self, message: &Message<'_>, begin: Begin<'_>) {
        match message.kind {
            kind::ACKNOWLEDGE => {
                self.stream.paused = false;
                let now = self.now();
                if let Ok(acknowledge) = Acknowledge::read(message.payload)
                    && self.stream.out.acknowledged(acknowledge.sequence, now)
                {
                    self.acknowledged = now;
                }
            }
            kind::INPUT_STREAM_DATA => {
                self.stream.paused = false;
                self.input(message, begin);
            }
            kind::PAUSE_PUBLICATION => self.stream.paused = true,
            kind::START_PUBLICATION => self.stream.paused = false,
            kind::CHANNEL_CLOSED => self.over = Some(Over::Closed),
            _ => {}
        }
    }

    fn input(&mut self, message: &Message<'_>, begin: Begin<'_>) {
        let (number, kind, payload) = (message.sequence, message.payload_type, message.payload);
        match self.stream.inc.take(number, kind, payload) {
            Turn::Now if self.refused.is_some() => {}
            Turn::Now => {
                if self.use_it(kind, payload, Some((number, message.id)), begin) {
                    self.use_kept(begin);
                } else {
                    self.refused = Some((number, kind, payload.to_vec(), message.id));
                }
            }
            Turn::Kept | Turn::Again => self.acknowledge(number, message.id),
            Turn::NoRoom => {}
        }
    }

    /// Goes on with what came early, and was acknowledged then.
    pub(super) fn use_kept(&mut self, begin: Begin<'_>) {
        while let Some((kind, payload)) = self.stream.inc.next_kept() {
            let payload = payload.to_vec();
            if !self.use_it(kind, &payload, None, begin) {
                return;
            }
        }
    }

    /// Uses the message in its turn. `false`: it can't be taken yet.
    pub(super) fn use_it(
        &mut self,
        kind: u32,
        payload: &[u8],
        unacknowledged: Option<(i64, MessageId)>,
        begin: Begin<'_>,
    ) -> bool {
        let kind = PayloadType::of(kind);
        if let (Some(work), Some(kind)) = (&mut self.work, kind)
            && !work.take(kind, payload)
        {
            return false;
        }
        self.stream.inc.used();
        if kind == Some(PayloadType::Flag) && Flag::read(payload) == Some(Flag::TerminateSession) {
            self.over.get_or_insert(Over::Closed);
        }
        // Before what follows from it: the client's multiplexer is set up between the two.
        if let Some((number, id)) = unacknowledged {
            self.acknowledge(number, id);
        }
        if kind == Some(PayloadType::HandshakeResponse) && self.work.is_none() {
            self.shake_hands(payload, begin);
        }
        true
    }

    fn shake_hands(&mut self, payload: &[u8], begin: Begin<'_>) {
        let answer = match HandshakeResponse::read(payload) {
            Ok(answer) => answer,
            Err(error) => {
                self.over = Some(Over::Failed(format!("the client's handshake: {error}")));
                return;
            }
        };
        if let Some(action) = answer.failed() {
            let what = format!("the client can't do {}: {}", action.kind, action.error);
            self.over = Some(Over::Failed(what));
            return;
        }
        self.begin(begin, &answer.client_version);
        let nanoseconds = self.begun.elapsed().as_nanos() as u64;
        let complete = HandshakeComplete { nanoseconds, message: String::new() }.write();
        self.stream.send(PayloadType::HandshakeComplete, complete.as_bytes());
    }

    fn acknowledge(&mut self, sequence: i64, id: MessageId) {
        if !self.acknowledges() {
            return;
        }
        let kind = kind::INPUT_STREAM_DATA.to_owned();
        let text = Acknowledge { kind, id, sequence }.write();
        let acknowledge = Message { flags: SYN_FIN, ..message(kind::ACKNOWLEDGE, text.as_bytes()) };
        self.send(&acknowledge.write());
    }
}
