//! One session's two ends, and the messages between them.
//!
//! Each direction has a queue of its own, so that an end that comes late or again finds what was
//! meant for it, in order. A full queue stops the other end's socket from being read: that is the
//! back-pressure.

use axum::body::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stint_wire::mgs::Message;
use stint_wire::mgs::message::kind;
use stint_wire::time::Utc;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncGuard, Notify, Semaphore, mpsc, watch};

/// Messages that wait for an end. The original's are of 1 KiB; ours are larger on forwarded ports.
const QUEUE: usize = 64;

/// … and their bytes at most: so many of our largest, and some of the largest that a socket takes.
const QUEUE_BYTES: usize = 1024 * 1024;

/// The longest acknowledgement, bytes: honest ones have 300. A longer one is none, and goes no further.
const MAX_ACK: usize = 1024;

/// Acknowledgements of the client that are kept. An agent of the original waits for ever for one
/// that a cut swallowed, as the client never says it twice.
const KEPT_ACKS: usize = 256;

/// A number that is further behind the newest than this is no message that comes again, but one of a sender whose
/// numbers jump. Both ends' programs keep fewer messages for their repetition.
const REPEATED: i64 = 10_000;

/// The two ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The node.
    Agent,
    /// The operator's plugin.
    Client,
}

/// How a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What the client shows; empty if all is well.
    pub output: String,
    /// Whether the agent has to be told; else it has said so itself.
    pub tells_agent: bool,
}

/// What went through since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// When something did last; 0 if nothing did.
    pub at: Utc,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes from the agent.
    pub bytes_out: u64,
}

/// The relays of this hub.
#[derive(Default)]
pub struct Live(Mutex<HashMap<String, Arc<Relay>>>);

impl Live {
    /// The relay of a session, made if there is none.
    pub fn join(&self, id: &str) -> Arc<Relay> {
        self.lock().entry(id.to_owned()).or_insert_with(|| Arc::new(Relay::new())).clone()
    }

    /// The relay of a session, if an end is or was here.
    pub fn of(&self, id: &str) -> Option<Arc<Relay>> {
        self.lock().get(id).cloned()
    }

    /// The sessions that have one.
    pub fn ids(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Ends a session's relay, once what is on its way has arrived.
    pub fn end(&self, id: &str, ending: Ending) {
        if let Some(relay) = self.of(id) {
            relay.end(ending);
        }
    }

    /// Forgets a relay.
    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Relay>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's relay.
pub struct Relay {
    to_agent: Queue,
    to_client: Queue,
    agent: Seat,
    client: Seat,
    ended: watch::Sender<Option<Ending>>,
    acks: Mutex<VecDeque<Bytes>>,
    /// What is newest in each direction: what comes again is no use.
    newest_in: AtomicI64,
    newest_out: AtomicI64,
    used_at: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// What waits for one end.
pub struct Queue {
    sender: mpsc::Sender<Bytes>,
    receiver: AsyncMutex<mpsc::Receiver<Bytes>>,
    /// Bytes that it still has room for.
    room: Semaphore,
}

/// Whoever takes from a queue.
pub struct Taker<'q> {
    receiver: AsyncGuard<'q, mpsc::Receiver<Bytes>>,
    room: &'q Semaphore,
}

impl Taker<'_> {
    /// Waits for the next message. None is lost when the wait is given up.
    pub async fn recv(&mut self) -> Option<Bytes> {
        let taken = self.receiver.recv().await;
        self.freed(taken)
    }

    /// The next message, if one waits.
    pub fn try_recv(&mut self) -> Option<Bytes> {
        let taken = self.receiver.try_recv().ok();
        self.freed(taken)
    }

    fn freed(&self, taken: Option<Bytes>) -> Option<Bytes> {
        self.room.add_permits(taken.as_ref().map_or(0, weight) as usize);
        taken
    }
}

/// The place of one end: whoever sits down last has it.
#[derive(Default)]
struct Seat {
    holder: AtomicU64,
    count: AtomicU64,
    changed: Notify,
    was_taken: AtomicBool,
    has_said_all: AtomicBool,
}

impl Queue {
    fn new() -> Queue {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let room = Semaphore::new(QUEUE_BYTES);
        Queue { sender, receiver: AsyncMutex::new(receiver), room }
    }

    /// Takes from it. There is one taker at a time; the next waits for it to end.
    pub async fn taker(&self) -> Taker<'_> {
        Taker { receiver: self.receiver.lock().await, room: &self.room }
    }

    /// Adds a message as soon as there is room; none where nobody will ever take it.
    async fn send(&self, bytes: Bytes) {
        let Ok(room) = self.room.acquire_many(weight(&bytes)).await else { return };
        let Ok(place) = self.sender.reserve().await else { return };
        room.forget();
        place.send(bytes);
    }

    /// Adds a message if there is room now. Whether there was.
    fn try_send(&self, bytes: &Bytes) -> bool {
        let Ok(room) = self.room.try_acquire_many(weight(bytes)) else { return false };
        let Ok(place) = self.sender.try_reserve() else { return false };
        room.forget();
        place.send(bytes.clone());
        true
    }
}

/// Sockets take no message that is larger than a queue's room.
fn weight(bytes: &Bytes) -> u32 {
    bytes.len().min(QUEUE_BYTES) as u32
}

impl Relay {
    fn new() -> Relay {
        Relay {
            to_agent: Queue::new(),
            to_client: Queue::new(),
            agent: Seat::default(),
            client: Seat::default(),
            ended: watch::Sender::new(None),
            acks: Mutex::new(VecDeque::new()),
            newest_in: AtomicI64::new(-1),
            newest_out: AtomicI64::new(-1),
            used_at: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// What waits for an end.
    pub fn inbox(&self, side: Side) -> &Queue {
        match side {
            Side::Agent => &self.to_agent,
            Side::Client => &self.to_client,
        }
    }

    fn seat(&self, side: Side) -> &Seat {
        match side {
            Side::Agent => &self.agent,
            Side::Client => &self.client,
        }
    }

    /// Takes an end's place from whoever has it; the number of the taking.
    pub fn sit(&self, side: Side) -> u64 {
        let seat = self.seat(side);
        let number = seat.count.fetch_add(1, Ordering::SeqCst) + 1;
        seat.holder.store(number, Ordering::SeqCst);
        seat.was_taken.store(true, Ordering::SeqCst);
        seat.changed.notify_waiters();
        number
    }

    /// Leaves an end's place, unless another has taken it. Whether it is empty now.
    pub fn leave(&self, side: Side, number: u64) -> bool {
        let seat = self.seat(side);
        let left =
            seat.holder.compare_exchange(number, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        seat.changed.notify_waiters();
        left
    }

    /// Whether an end is here.
    pub fn has(&self, side: Side) -> bool {
        self.seat(side).holder.load(Ordering::SeqCst) != 0
    }

    /// Whether an end has been here.
    pub fn had(&self, side: Side) -> bool {
        self.seat(side).was_taken.load(Ordering::SeqCst)
    }

    /// Waits until another has taken the place.
    pub async fn replaced(&self, side: Side, number: u64) {
        let holder = &self.seat(side).holder;
        self.until(side, || holder.load(Ordering::SeqCst) != number).await;
    }

    /// Whether neither end is here.
    pub fn is_empty(&self) -> bool {
        !self.has(Side::Agent) && !self.has(Side::Client)
    }

    async fn gone(&self, side: Side) {
        self.until(side, || !self.has(side)).await;
    }

    /// What an end has said is all that it will say.
    pub fn has_said_all(&self, side: Side) {
        let seat = self.seat(side);
        seat.has_said_all.store(true, Ordering::SeqCst);
        seat.changed.notify_waiters();
    }

    /// Waits until nothing more comes from an end: it has said all, or it isn't here.
    pub async fn silent(&self, side: Side) {
        let said_all = || self.seat(side).has_said_all.load(Ordering::SeqCst);
        self.until(side, || !self.has(side) || said_all()).await;
    }

    async fn until(&self, side: Side, probe: impl Fn() -> bool) {
        loop {
            let changed = self.seat(side).changed.notified();
            if probe() {
                return;
            }
            changed.await;
        }
    }

    /// Ends it; the first ending counts.
    pub fn end(&self, ending: Ending) {
        self.ended.send_if_modified(|known| match known {
            Some(_) => false,
            None => {
                *known = Some(ending);
                true
            }
        });
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Waits for the end.
    pub async fn ended(&self) -> Ending {
        let mut ended = self.ended.subscribe();
        let known = ended.wait_for(Option::is_some).await;
        known
            .ok()
            .and_then(|known| known.clone())
            .unwrap_or(Ending { output: String::new(), tells_agent: true })
    }

    /// Hands on a message that came from `from` at `now`; what isn't for the other end is dropped.
    /// Waits while the other end's queue is full. A client that is not here is waited for with
    /// as much as the queue holds: the agent keeps what wasn't acknowledged. Nothing for the agent is
    /// ever dropped, as its client's acknowledgements are said once.
    /// Once the hub wants the end, nothing more goes through: what is queued comes before it.
    /// What waits is a copy: a part of what a socket has read would keep all of that in memory.
    pub async fn carry(&self, from: Side, bytes: &[u8], message: &Message<'_>, now: Utc) {
        if self.ended.borrow().as_ref().is_some_and(|ending| ending.tells_agent) {
            return;
        }
        let (data, newest, count) = match from {
            Side::Client => (kind::INPUT_STREAM_DATA, &self.newest_in, &self.bytes_in),
            Side::Agent => (kind::OUTPUT_STREAM_DATA, &self.newest_out, &self.bytes_out),
        };
        if message.kind == data {
            if is_new(newest, message.sequence) {
                count.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
                self.used_at.store(now.0, Ordering::Relaxed);
            }
        } else if message.kind != kind::ACKNOWLEDGE || bytes.len() > MAX_ACK {
            return;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        match from {
            Side::Client => {
                if message.kind == kind::ACKNOWLEDGE {
                    let mut acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner);
                    acks.push_back(bytes.clone());
                    if acks.len() > KEPT_ACKS {
                        acks.pop_front();
                    }
                }
                self.to_agent.send(bytes).await;
            }
            Side::Agent => {
                if self.to_client.try_send(&bytes) || !self.has(Side::Client) {
                    return;
                }
                tokio::select! {
                    () = self.to_client.send(bytes) => {}
                    () = self.gone(Side::Client) => {}
                }
            }
        }
    }

    /// Says something of the hub's own to the agent, unless its queue is full.
    pub fn tell_agent(&self, message: Vec<u8>) {
        self.to_agent.try_send(&message.into());
    }

    /// What the client has acknowledged lately, for an agent that comes again.
    pub fn kept_acks(&self) -> Vec<Bytes> {
        let acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner);
        acks.iter().cloned().collect()
    }

    /// When something went through last; 0 if nothing did since it was taken.
    pub fn used_at(&self) -> Utc {
        Utc(self.used_at.load(Ordering::Relaxed))
    }

    /// What went through since the last call.
    pub fn take_used(&self) -> Used {
        Used {
            at: Utc(self.used_at.swap(0, Ordering::Relaxed)),
            bytes_in: self.bytes_in.swap(0, Ordering::Relaxed),
            bytes_out: self.bytes_out.swap(0, Ordering::Relaxed),
        }
    }
}

/// Whether a message of this number hasn't come yet; then it is the newest.
fn is_new(newest: &AtomicI64, number: i64) -> bool {
    let has_come = |newest: i64| number <= newest && newest.saturating_sub(number) < REPEATED;
    let order = Ordering::Relaxed;
    newest.fetch_update(order, order, |newest| (!has_come(newest)).then_some(number)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::mgs::MessageId;

    fn data(kind: &'static str, sequence: i64, payload: &[u8]) -> (Bytes, i64) {
        let id = MessageId::new([1; 16]);
        let message = Message { sequence, ..Message::new(kind, id, Utc(1), payload) };
        (message.write().into(), sequence)
    }

    async fn carry(relay: &Relay, from: Side, kind: &'static str, sequence: i64, payload: &[u8]) {
        let (bytes, _) = data(kind, sequence, payload);
        let message = Message::parse(&bytes).unwrap();
        relay.carry(from, &bytes, &message, Utc(7)).await;
    }

    #[tokio::test]
    async fn only_data_and_acknowledgements_of_the_own_direction_go_through() {
        let relay = Relay::new();
        for kind in [
            kind::OUTPUT_STREAM_DATA,
            kind::CHANNEL_CLOSED,
            kind::PAUSE_PUBLICATION,
            kind::AGENT_SESSION_STATE,
            "other",
        ] {
            carry(&relay, Side::Client, kind, 0, b"x").await;
        }
        carry(&relay, Side::Client, kind::INPUT_STREAM_DATA, 0, b"ls").await;
        let first = relay.to_agent.taker().await.recv().await.unwrap();
        assert_eq!(first, data(kind::INPUT_STREAM_DATA, 0, b"ls").0);
        assert!(relay.to_agent.taker().await.try_recv().is_none());
    }

    #[tokio::test]
    async fn what_comes_again_counts_once() {
        let relay = Relay::new();
        for sequence in [0, 1, 1, 0] {
            carry(&relay, Side::Client, kind::INPUT_STREAM_DATA, sequence, b"abc").await;
        }
        carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, 0, b"x").await;
        assert_eq!(relay.take_used(), Used { at: Utc(7), bytes_in: 6, bytes_out: 1 });
        carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, 0, b"x").await;
        assert_eq!(relay.take_used(), Used { at: Utc(0), bytes_in: 0, bytes_out: 0 });
    }

    #[tokio::test]
    async fn a_number_that_jumps_does_not_keep_what_follows_from_being_counted() {
        let relay = Relay::new();
        for sequence in [0, i64::MAX, 1, 2, 2, i64::MIN, 3] {
            carry(&relay, Side::Client, kind::INPUT_STREAM_DATA, sequence, b"abc").await;
        }
        assert_eq!(relay.take_used(), Used { at: Utc(7), bytes_in: 18, bytes_out: 0 });
    }

    #[tokio::test]
    async fn output_for_an_absent_client_never_blocks_the_agent() {
        let relay = Relay::new();
        for sequence in 0..2 * QUEUE as i64 {
            carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, sequence, b"x").await;
        }
        let mut taker = relay.to_client.taker().await;
        for sequence in 0..QUEUE as i64 {
            let bytes = taker.recv().await.unwrap();
            assert_eq!(Message::parse(&bytes).unwrap().sequence, sequence);
        }
        assert!(taker.try_recv().is_none());
    }

    #[tokio::test]
    async fn what_waits_and_what_is_kept_is_bounded_in_bytes() {
        let relay = Relay::new();
        let large = vec![b'x'; QUEUE_BYTES / 4 - 1000];
        for sequence in 0..6 {
            carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, sequence, &large).await;
        }
        let mut taker = relay.to_client.taker().await;
        let mut came = Vec::new();
        while let Some(bytes) = taker.try_recv() {
            came.push(Message::parse(&bytes).unwrap().sequence);
            // What was taken makes room for others.
            if came.len() == 2 {
                carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, 7, &large).await;
            }
        }
        assert_eq!(came, [0, 1, 2, 3, 7]);
        assert_eq!(relay.to_client.room.available_permits(), QUEUE_BYTES);
        for payload in [&large[..], b"honest"] {
            carry(&relay, Side::Client, kind::ACKNOWLEDGE, 0, payload).await;
        }
        assert_eq!(relay.kept_acks(), [data(kind::ACKNOWLEDGE, 0, b"honest").0]);
        assert_eq!(relay.to_agent.room.available_permits(), QUEUE_BYTES - 126);
    }

    #[tokio::test]
    async fn what_waits_keeps_nothing_else_of_what_was_read_with_it() {
        let relay = Relay::new();
        for (from, kind, length) in [
            (Side::Client, kind::ACKNOWLEDGE, 9),
            (Side::Client, kind::INPUT_STREAM_DATA, 9),
            (Side::Agent, kind::OUTPUT_STREAM_DATA, MAX_ACK + 1),
        ] {
            let (one, _) = data(kind, 0, &vec![b'x'; length]);
            let read = Bytes::from([&one[..], &[0; 256 * 1024]].concat());
            let bytes = read.slice(..one.len());
            let message = Message::parse(&bytes).unwrap();
            relay.carry(from, &bytes, &message, Utc(7)).await;
            drop(bytes);
            assert!(read.is_unique(), "{kind}");
        }
        assert_eq!(relay.kept_acks().len(), 1);
    }

    #[tokio::test]
    async fn a_slow_client_holds_the_agent_back_until_it_goes() {
        let relay = Relay::new();
        let number = relay.sit(Side::Client);
        for sequence in 0..QUEUE as i64 {
            carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, sequence, b"x").await;
        }
        let more = carry(&relay, Side::Agent, kind::OUTPUT_STREAM_DATA, 64, b"x");
        let mut more = std::pin::pin!(more);
        let waits = tokio::select! {
            biased;
            () = &mut more => false,
            () = tokio::task::yield_now() => true,
        };
        assert!(waits && relay.leave(Side::Client, number));
        more.await;
    }

    #[tokio::test]
    async fn whoever_comes_last_has_the_place() {
        let relay = Relay::new();
        let first = relay.sit(Side::Agent);
        let second = relay.sit(Side::Agent);
        relay.replaced(Side::Agent, first).await;
        assert!(!relay.leave(Side::Agent, first) && relay.has(Side::Agent));
        assert!(relay.leave(Side::Agent, second) && !relay.has(Side::Agent));
        assert!(relay.had(Side::Agent) && !relay.had(Side::Client));
    }

    #[tokio::test]
    async fn nothing_goes_through_when_the_hub_wants_the_end() {
        let relay = Relay::new();
        carry(&relay, Side::Client, kind::INPUT_STREAM_DATA, 0, b"a").await;
        relay.end(Ending { output: String::new(), tells_agent: true });
        carry(&relay, Side::Client, kind::INPUT_STREAM_DATA, 1, b"b").await;
        let mut taker = relay.to_agent.taker().await;
        assert!(taker.try_recv().is_some() && taker.try_recv().is_none());
    }

    #[tokio::test]
    async fn the_first_ending_counts() {
        let live = Live::default();
        let relay = live.join("s");
        for output in ["one", "two"] {
            live.end("s", Ending { output: output.to_owned(), tells_agent: true });
        }
        assert_eq!(relay.ended().await.output, "one");
    }
}
