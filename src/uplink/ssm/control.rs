//! The control channel while it is up: commands come over it at once, and their replies go back
//! (decision 0042).
//!
//! Whoever has the line attends it: the lane that waits for work, or the other one while it waits for an
//! acknowledgement and nobody else has it. What is to be sent is put on the desk; a byte in a pipe tells the one
//! who waits in poll(2).

use super::super::socket;
use super::super::websocket::{Broken, Event, Opcode, WebSocket};
use super::super::{Delivery, NoAnswer, Obstacle, UplinkError};
use super::{Ssm, messages};
use crate::sys::{descriptors, random};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stint_wire::ec2messages;
use stint_wire::mgs::jobs::{AckCode, AgentJob, AgentJobAck, AgentJobReply, AgentJobReplyAck};
#[cfg(feature = "session")]
use stint_wire::mgs::sessions::ChannelClosed;
use stint_wire::mgs::sessions::{InteractiveShell, SessionOrder, TaskAcknowledge, TaskComplete};
use stint_wire::mgs::{Message, MessageId, PING, PayloadError, message::kind};
use stint_wire::time::Utc;

/// The time between two pings. With [`PONG`] a connection that has gone without a word is found within a
/// minute, at the price of 3 wake-ups in two of these.
const PING_EVERY: Duration = Duration::from_secs(40);

/// A server that doesn't answer a ping in this time has gone. Links by satellite and 2G answer within 10 s.
const PONG: Duration = Duration::from_secs(15);

/// How long a reply waits for its acknowledgement before it counts as not told.
const PATIENCE: Duration = Duration::from_secs(10);

/// A channel that has lived for less than this is one that somebody in between doesn't let live.
const SHORT: Duration = Duration::from_secs(50);

/// The pause after the first channel that couldn't be had, doubled with each further one up to
/// [`LONGEST`]. Meanwhile messages are polled.
const FIRST: Duration = Duration::from_secs(5);

/// See [`FIRST`].
const LONGEST: Duration = Duration::from_secs(300);

/// What waits on the desk, in one direction. The server offers jobs again that nobody has acknowledged.
const DESK: usize = 32;

/// Sees to it that one waits for the desk no longer than this without looking again who attends the line.
const GLANCE: Duration = Duration::from_millis(200);

/// The control channel of one uplink.
pub struct Control {
    enabled: bool,
    line: Mutex<Option<Line>>,
    desk: Mutex<Desk>,
    told: Condvar,
}

/// The connection. Who holds its lock reads it.
struct Line {
    socket: WebSocket,
    wake: PipeReader,
    node: String,
    opened: Instant,
    /// The changes of the network before.
    changes: u32,
    ping_at: Instant,
    pong_until: Option<Instant>,
}

/// What goes to and fro between those who talk and the one who attends the line.
#[derive(Default)]
struct Desk {
    /// Wakes the one who attends; there while the channel is up.
    wake: Option<PipeWriter>,
    /// Messages that are to be sent.
    outgoing: Vec<Vec<u8>>,
    /// What has come.
    arrived: Vec<Delivery>,
    /// The message whose acknowledgement somebody waits for, and whether it has come.
    awaited: Option<(MessageId, bool)>,
    /// The channel is another node's from now on.
    quits: bool,
    /// The last channel is over: whether it had lived. For whoever counts that.
    ended: Option<bool>,
    /// Channels in a row that couldn't be had.
    failures: u32,
    /// Before this none is tried, unless the network changes.
    retry_at: Option<Instant>,
    /// The changes of the network when the last one failed.
    changes: u32,
}

impl Control {
    /// None as yet; there will be one if it is `enabled`.
    pub fn new(enabled: bool) -> Control {
        Control { enabled, line: Mutex::default(), desk: Mutex::default(), told: Condvar::new() }
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.desk().wake.is_some()
    }

    /// Ends it: this node is another one from now on. What has come for the one before is dropped; the server
    /// offers it again, to whoever is that node now.
    pub fn quit(&self) {
        let mut desk = self.desk();
        desk.quits = desk.wake.is_some();
        desk.arrived.clear();
        desk.wake();
    }

    /// It is up. False: this node has become another one while it was opened, so nobody attends it. That is asked
    /// with the desk held, so that [`Control::quit`] either came before or finds the channel.
    fn goes_up(&self, wake: PipeWriter, is_same_node: &dyn Fn() -> bool) -> bool {
        let mut desk = self.desk();
        let is_same_node = is_same_node();
        if is_same_node {
            desk.wake = Some(wake);
        }
        is_same_node
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message as soon as somebody attends the line. False: there is none, or it is too busy.
    fn put(&self, message: Vec<u8>) -> bool {
        let mut desk = self.desk();
        let has_room = desk.wake.is_some() && desk.outgoing.len() < DESK;
        if has_room {
            desk.outgoing.push(message);
            desk.wake();
        }
        has_room
    }

    /// Sends a message and waits until the server acknowledges it.
    fn tell(&self, id: MessageId, message: Vec<u8>, patience: Duration) -> Result<(), Untold> {
        self.desk().awaited = Some((id, false));
        if !self.put(message) {
            return Err(Untold::NoChannel);
        }
        let until = Instant::now() + patience;
        loop {
            // Whoever waits for work has the line most of the time.
            if let Ok(mut line) = self.line.try_lock()
                && let Some(up) = line.as_mut()
            {
                let is_told = |desk: &mut Desk| matches!(desk.awaited, Some((_, true)));
                if let Err(broken) = self.attend(up, &is_told, Some(until)) {
                    self.lost(&mut line, &broken);
                }
            }
            let desk = self.desk();
            match desk.awaited {
                Some((_, true)) => return Ok(()),
                _ if desk.wake.is_none() => return Err(Untold::NoChannel),
                _ if Instant::now() >= until => return Err(Untold::Silence),
                _ => {
                    let waited = self.told.wait_timeout(desk, GLANCE);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    /// Sends, reads and pings until `is_enough`, or until `until`.
    fn attend(
        &self,
        line: &mut Line,
        is_enough: &dyn Fn(&mut Desk) -> bool,
        until: Option<Instant>,
    ) -> Result<(), Broken> {
        loop {
            let outgoing = std::mem::take(&mut self.desk().outgoing);
            for message in outgoing {
                line.socket.send(Opcode::Binary, &message)?;
            }
            while self.desk().arrived.len() < DESK
                && let Some(event) = line.socket.receive()?
            {
                match event {
                    Event::Message(message) => self.hear(&message, &line.node),
                    Event::Pong => line.pong_until = None,
                    _ => {}
                }
            }
            let now = Instant::now();
            if line.pong_until.is_some_and(|until| now >= until) {
                return Err(Broken::Io(ErrorKind::TimedOut.into()));
            }
            if now >= line.ping_at {
                line.socket.send(Opcode::Ping, PING)?;
                line.ping_at = now + PING_EVERY;
                line.pong_until.get_or_insert(now + PONG);
            }
            line.socket.finish()?;
            {
                let mut desk = self.desk();
                if desk.quits {
                    return Err(Broken::Closed(0));
                }
                if is_enough(&mut desk) || desk.arrived.len() >= DESK {
                    return Ok(());
                }
                if !desk.outgoing.is_empty() {
                    continue;
                }
            }
            if until.is_some_and(|until| now >= until) {
                return Ok(());
            }
            let next = [Some(line.ping_at), line.pong_until, until];
            let wait = next.into_iter().flatten().min().map(|next| next.duration_since(now));
            let ready =
                descriptors::wait([Some(line.socket.as_fd()), Some(line.wake.as_fd())], wait)?;
            if let [_, wake] = ready
                && wake.readable
            {
                let _ = line.wake.read(&mut [0; 64])?;
            }
        }
    }

    /// Takes in a message.
    fn hear(&self, frame: &[u8], node: &str) {
        let heard = match Message::parse(frame) {
            Ok(message) => self.take(&message, node).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = heard {
            log::warn!("a message on the control channel makes no sense: {error}");
        }
    }

    fn take(&self, message: &Message<'_>, node: &str) -> Result<(), PayloadError> {
        match message.kind {
            kind::AGENT_JOB => {
                let job = AgentJob::read(message.payload)?;
                let delivery = delivered(message, job, node);
                if let Delivery::Unknown { .. } = delivery {
                    let job = AgentJob::read(message.payload)?;
                    let (id, created) = (message.id, message.created);
                    self.put_ack(id, created, &job.job_id, AckCode::AgentJobMessageParseError);
                }
                self.arrived(delivery);
            }
            kind::AGENT_JOB_REPLY_ACK => {
                self.told(AgentJobReplyAck::read(message.payload)?.acknowledged);
            }
            kind::AGENT_TASK_ACKNOWLEDGE => {
                self.told(TaskAcknowledge::read(message.payload)?.message_id);
            }
            kind::INTERACTIVE_SHELL => {
                let shell = InteractiveShell::read(message.payload)?;
                let session = SessionOrder::read(&shell.content)?.session_id;
                self.begin_session(session, shell.content, node);
            }
            #[cfg(feature = "session")]
            kind::CHANNEL_CLOSED => {
                let session = ChannelClosed::read(message.payload)?.session_id;
                self.arrived(Delivery::EndSession { session });
            }
            // Later servers may know more.
            other => log::info!("the control channel brought a message of type {other}"),
        }
        Ok(())
    }

    #[cfg(feature = "session")]
    fn begin_session(&self, session: String, order: String, _node: &str) {
        self.arrived(Delivery::Session { session, order });
    }

    #[cfg(not(feature = "session"))]
    fn begin_session(&self, session: String, _order: String, node: &str) {
        log::warn!("session {session} was refused: this stint was built without sessions");
        let why = "This stint was built without sessions.";
        self.put(task_complete(&session, "Failed", why, node, 1).1);
    }

    fn arrived(&self, delivery: Delivery) {
        let mut desk = self.desk();
        if !desk.quits {
            desk.arrived.push(delivery);
        }
    }

    fn told(&self, id: MessageId) {
        if let Some((awaited, is_told)) = &mut self.desk().awaited
            && *awaited == id
        {
            *is_told = true;
            self.told.notify_all();
        }
    }

    fn put_ack(&self, id: MessageId, created: Utc, job: &str, code: AckCode) {
        let ack = AgentJobAck { job_id: job.to_owned(), acknowledged: id, created, code };
        if let Ok(own) = random::bytes() {
            let (own, now) = (MessageId::new(own), crate::sys::clock::system());
            let payload = ack.write();
            self.put(Message::new(kind::AGENT_JOB_ACK, own, now, payload.as_bytes()).write());
        }
    }

    /// The channel is over. True: it didn't live for long, so messages are polled for a while.
    fn lost(&self, line: &mut Option<Line>, why: &Broken) -> bool {
        let Some(line) = line.take() else { return false };
        let lived = line.opened.elapsed();
        log::info!("the control channel was up for {} s: {why}", lived.as_secs());
        let mut desk = self.desk();
        let quits = std::mem::take(&mut desk.quits);
        desk.closes();
        let is_short = lived < SHORT && !quits && line.changes == socket::changes();
        desk.ended = Some(!is_short);
        if is_short {
            desk.fail();
        } else {
            (desk.failures, desk.retry_at) = (0, None);
        }
        self.told.notify_all();
        // Where nothing comes any more a poll would only wait longer for the same.
        let is_silent = matches!(why, Broken::Io(cause) if cause.kind() == ErrorKind::TimedOut);
        is_short && !is_silent
    }
}

/// Why a message hasn't been told.
enum Untold {
    /// There is no channel, or none any more.
    NoChannel,
    /// The server hasn't acknowledged it.
    Silence,
}

impl Desk {
    /// The channel is over, and with it what was to be sent on it.
    fn closes(&mut self) {
        (self.wake, self.awaited) = (None, None);
        self.outgoing.clear();
    }

    fn wake(&mut self) {
        if let Some(wake) = &mut self.wake {
            let _ = wake.write(&[0]);
        }
    }

    /// One more channel couldn't be had.
    fn fail(&mut self) {
        let pause = pause(self.failures, random::fraction());
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(Instant::now() + pause);
        self.changes = socket::changes();
    }

    /// Whether a channel should be tried now.
    fn is_due(&self) -> bool {
        let is_over = self.retry_at.is_none_or(|at| Instant::now() >= at);
        is_over || self.changes != socket::changes()
    }
}

/// Half of it is chance, so that a fleet doesn't return in step.
fn pause(failures: u32, chance: f64) -> Duration {
    let whole = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
    whole.mul_f64(0.5 + 0.5 * chance)
}

impl Line {
    fn new(socket: WebSocket, wake: PipeReader, node: String) -> Line {
        let opened = Instant::now();
        let (changes, ping_at) = (socket::changes(), opened + PING_EVERY);
        Line { socket, wake, node, opened, changes, ping_at, pong_until: None }
    }
}

/// What a job on the channel asks of this node.
fn delivered(message: &Message<'_>, job: AgentJob, node: &str) -> Delivery {
    let receipt = receipt(message.id, message.created, &job.job_id);
    let polled = ec2messages::Message {
        created_date: message.created.iso(),
        destination: node.to_owned(),
        message_id: job.job_id,
        payload: job.content,
        topic: job.topic,
    };
    let mut delivery = messages::read(&polled, node, "");
    match &mut delivery {
        Delivery::Job(job) => job.receipt = receipt,
        Delivery::Cancel { receipt: own, .. } | Delivery::Unreadable { receipt: own, .. } => {
            *own = receipt;
        }
        _ => {}
    }
    delivery
}

/// What is to be named in the acknowledgement of a job from the channel, and tells it from those that were
/// polled.
fn receipt(id: MessageId, created: Utc, job: &str) -> String {
    format!("{id} {} {job}", created.0)
}

/// The message's id, when it was made, and the job's id.
fn read_receipt(receipt: &str) -> Option<(MessageId, Utc, &str)> {
    let (id, rest) = receipt.split_once(' ')?;
    let (created, job) = rest.split_once(' ')?;
    Some((MessageId::parse(id)?, Utc(created.parse().ok()?), job))
}

/// The job's id in a receipt, wherever the job came from.
pub fn job_of(receipt: &str) -> &str {
    read_receipt(receipt).map_or(receipt, |(_, _, job)| job)
}

/// That a session is over. Said again it has the same id.
fn task_complete(
    session: &str,
    status: &str,
    output: &str,
    node: &str,
    retry: u32,
) -> (MessageId, Vec<u8>) {
    let complete = TaskComplete {
        session_id: session.to_owned(),
        status: status.to_owned(),
        node: node.to_owned(),
        output: output.to_owned(),
        retry,
    };
    let id = MessageId::new(messages::digest(&format!("{session}\n{status}")));
    let (payload, now) = (complete.write(), crate::sys::clock::system());
    (id, Message::new(kind::AGENT_TASK_COMPLETE, id, now, payload.as_bytes()).write())
}

impl Ssm {
    /// Waits on the control channel, after opening it where there is none. `None`: there is to be none now, and
    /// messages have to be polled.
    pub(super) fn listen(&self) -> Option<Result<Vec<Delivery>, UplinkError>> {
        let control = &self.control;
        let mut line = control.line.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has something to tell may have seen it end.
        self.count_channel();
        let arrived = std::mem::take(&mut control.desk().arrived);
        if !arrived.is_empty() {
            return Some(Ok(self.in_region(arrived)));
        }
        let Some(up) = line.as_mut() else {
            if !control.enabled || !control.desk().is_due() {
                return None;
            }
            return match self.begin(&mut line) {
                Ok(()) => Some(Ok(Vec::new())),
                Err(error) => self.without_channel(error),
            };
        };
        match control.attend(up, &|desk| !desk.arrived.is_empty(), None) {
            Ok(()) => {
                let arrived = std::mem::take(&mut control.desk().arrived);
                Some(Ok(self.in_region(arrived)))
            }
            Err(broken) => {
                let is_short = control.lost(&mut line, &broken);
                self.count_channel();
                let endpoint = self.way(super::Service::SsmMessages);
                let error = UplinkError::Unreachable { endpoint, cause: broken.into() };
                if is_short { None } else { Some(Err(error)) }
            }
        }
    }

    /// Counts for its server how the last channel ended.
    fn count_channel(&self) {
        let ended = self.control.desk().ended.take();
        if let Some(lived) = ended {
            self.channel_was(&self.way(super::Service::SsmMessages), lived);
        }
    }

    fn begin(&self, line: &mut Option<Line>) -> Result<(), UplinkError> {
        let node = self.node().instance_id.clone();
        let (reader, writer) = pipe().map_err(super::rotation::local)?;
        let socket = self.open_control_channel()?;
        if self.control.goes_up(writer, &|| self.node().instance_id == node) {
            *line = Some(Line::new(socket, reader, node));
            log::info!("the control channel is up; commands come over it");
        }
        Ok(())
    }

    /// There is no channel, for this reason. If the server can't be reached at all, polling can't either.
    fn without_channel(&self, error: UplinkError) -> Option<Result<Vec<Delivery>, UplinkError>> {
        use super::Service::{Ec2Messages, SsmMessages};
        if let UplinkError::Unreachable { .. } = &error
            && self.endpoint(SsmMessages) == self.endpoint(Ec2Messages)
        {
            return Some(Err(error));
        }
        let mut desk = self.control.desk();
        let is_first = desk.failures == 0;
        desk.fail();
        drop(desk);
        if is_first {
            log::info!("there is no control channel, so messages are polled: {error}");
        }
        None
    }

    /// Jobs know their region by the uplink, not by the message.
    fn in_region(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        for delivery in &mut deliveries {
            if let Delivery::Job(job) = delivery {
                job.region.clone_from(&self.region);
            }
        }
        deliveries
    }

    /// Acknowledges a job from the channel; `None` if it isn't one. If that can't be said now, the server offers
    /// the job again.
    pub(super) fn acknowledge_on_channel(&self, receipt: &str) -> Option<()> {
        let (id, created, job) = read_receipt(receipt)?;
        self.control.put_ack(id, created, job, AckCode::Successful);
        Some(())
    }

    /// Tells what became of a job from the channel; `None` if it isn't one, or there is no channel for longer.
    pub(super) fn reply_on_channel(
        &self,
        receipt: &str,
        id: [u8; 16],
        content: &str,
    ) -> Option<Result<(), UplinkError>> {
        let (_, _, job) = read_receipt(receipt)?;
        let reply = AgentJobReply {
            job_id: job.to_owned(),
            content: content.to_owned(),
            topic: ec2messages::SEND_COMMAND.to_owned(),
        };
        let (id, payload) = (MessageId::new(id), reply.write());
        let message =
            Message::new(kind::AGENT_JOB_REPLY, id, self.clock.now(), payload.as_bytes()).write();
        let patience = PATIENCE + super::way(message.len());
        match self.control.tell(id, message, patience) {
            Ok(()) => Some(Ok(())),
            Err(Untold::NoChannel) if self.is_without_channel() => None,
            Err(untold) => Some(Err(self.untold(untold))),
        }
    }

    /// Whether messages are polled, for want of a channel.
    fn is_without_channel(&self) -> bool {
        !self.control.enabled || self.control.desk().failures > 0
    }

    /// Tells that a session is over, up to 3 times.
    #[cfg(feature = "session")]
    pub(super) fn tell_end_of_session(
        &self,
        session: &str,
        status: &str,
        output: &str,
    ) -> Result<(), UplinkError> {
        let node = self.node().instance_id.clone();
        let mut result = Ok(());
        for retry in 1..=3 {
            let (id, message) = task_complete(session, status, output, &node, retry);
            result = self.control.tell(id, message, Duration::from_secs(1));
            if matches!(result, Ok(()) | Err(Untold::NoChannel)) {
                break;
            }
        }
        result.map_err(|untold| self.untold(untold))
    }

    fn untold(&self, untold: Untold) -> UplinkError {
        let (obstacle, words) = match untold {
            Untold::NoChannel => (Obstacle::Broken, "the control channel isn't up"),
            Untold::Silence => {
                (Obstacle::Silence, "the server doesn't acknowledge on the control channel")
            }
        };
        let cause = NoAnswer { obstacle, words: words.to_owned() };
        UplinkError::Unreachable { endpoint: self.way(super::Service::SsmMessages), cause }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
