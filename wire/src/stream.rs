//! The numbered stream of a data channel, in both directions: what was sent is kept until the
//! other side has acknowledged it, and what comes is brought into order.
//!
//! Both sides of a data channel number their messages from 0. A relay, a broken connection and the
//! other side's pauses may lose, double and reorder them; an acknowledgement is for one message
//! alone. Times are milliseconds of any clock that never goes back. What a message holds is none
//! of this file's business.

use std::collections::VecDeque;

/// Before anything was measured: the time that an acknowledgement takes, microseconds.
const FIRST_RTT: u32 = 100_000;

/// Before anything was measured: after how long a message is sent again, microseconds.
const FIRST_RTO: u32 = 200_000;

/// No message waits longer for its first repetition, microseconds.
const MAX_RTO: u32 = 1_000_000;

/// What the measured time may always vary by, microseconds.
const MIN_VARIANCE: u32 = 10_000;

/// A message that isn't acknowledged again and again is repeated at longer and longer intervals, each
/// twice the one before up to the first of these, microseconds: so long a client that wasn't ready for
/// it may have to wait. One that has been repeated for a minute waits for the second.
const LONG: [u64; 2] = [2_000_000, 8_000_000];

/// So many repetitions take about a minute.
const MANY: u32 = 32;

/// How far the newest message may be ahead of the oldest that isn't acknowledged. The other side
/// keeps 10 000 that it can't use yet, and forgets the rest.
const MAX_SPAN: i64 = 8_000;

/// So often an unacknowledged message must have been overtaken by ones that were sent after it and
/// acknowledged, until it counts as received. See [`Outgoing::trusts_order`].
const OVERTAKEN: u32 = 4;

/// … and so long ago it must have been sent first, milliseconds.
const OLD: u64 = 5_000;

/// A message that was sent more often than this may be one whose acknowledgement was lost. If all in the
/// window are, nothing new could overtake them: so with each further time there is a little more room.
const STALLED: u32 = 4;

/// It is this part of the window, about one of the largest messages, and is added so often at most. Not all at once,
/// as acknowledgements may go on getting lost, and those of all the new messages would.
const PARTS: usize = 16;

/// Messages on their way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The number of the next new message.
    next: i64,
    waiting: VecDeque<Sent>,
    /// Bytes in `waiting`, and the most before [`Outgoing::has_room`] says no.
    bytes: usize,
    window: usize,
    /// Counts what is sent, repetitions included.
    sendings: u64,
    rtt: u32,
    variance: u32,
    rto: u32,
    /// When something was acknowledged last.
    heard: u64,
    /// Whether a message that others overtake counts as received after a while. The client of
    /// session-manager-plugin never acknowledges a message twice, so one whose acknowledgement was
    /// lost would be sent again for ever. Not to be set where the other side drops messages in
    /// their turn for as long as it has no use for them.
    pub trusts_order: bool,
}

#[derive(Debug)]
struct Sent {
    number: i64,
    frame: Vec<u8>,
    /// When last and first, and as which of all sendings; `None`: not on this connection.
    last: Option<u64>,
    first: u64,
    sending: u64,
    tries: u32,
    overtaken: u32,
    /// Overtaken since it was sent last.
    passed: bool,
}

impl Outgoing {
    /// Nothing sent yet. `window`: unacknowledged bytes after which there is no room for more.
    pub fn new(window: usize) -> Outgoing {
        Outgoing {
            next: 0,
            waiting: VecDeque::new(),
            bytes: 0,
            window,
            sendings: 0,
            rtt: FIRST_RTT,
            variance: 0,
            rto: FIRST_RTO,
            heard: 0,
            trusts_order: false,
        }
    }

    /// The number that the next message gets.
    pub fn next_number(&self) -> i64 {
        self.next
    }

    /// Whether more should be read from where messages come from.
    pub fn has_room(&self) -> bool {
        let front = self.waiting.front();
        let oldest = front.map_or(self.next, |sent| sent.number);
        let tries = front.filter(|_| self.trusts_order).map_or(0, |sent| sent.tries);
        let more = (tries.saturating_sub(STALLED) as usize).min(PARTS);
        let window = self.window + (self.window / PARTS).max(1) * more;
        self.bytes < window && self.next - oldest < MAX_SPAN
    }

    /// Whether all that was sent is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the message with the number [`Outgoing::next_number`], whole as it will be sent.
    pub fn push(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.waiting.push_back(Sent {
            number: self.next,
            frame,
            last: None,
            first: 0,
            sending: 0,
            tries: 0,
            overtaken: 0,
            passed: false,
        });
        self.next += 1;
    }

    /// A message that is to be sent now, for the first time or again; the caller sends it.
    pub fn due(&mut self, now: u64) -> Option<&[u8]> {
        let mut waiting = self.waiting.iter().enumerate();
        let (at, _) =
            waiting.find(|(at, sent)| sent.is_due(*at == 0, self.rto, self.heard, now))?;
        let sent = self.waiting.get_mut(at)?;
        if sent.tries == 0 {
            sent.first = now;
        }
        sent.tries = sent.tries.saturating_add(1);
        sent.last = Some(now);
        sent.passed = false;
        self.sendings += 1;
        sent.sending = self.sendings;
        Some(&sent.frame)
    }

    /// When [`Outgoing::due`] has something next, if nothing happens before.
    pub fn deadline(&self) -> Option<u64> {
        let waiting = self.waiting.iter().enumerate();
        let times = waiting.filter_map(|(at, sent)| sent.deadline(at == 0, self.rto, self.heard));
        times.min()
    }

    /// The other side has acknowledged a message. `false`: that was known before.
    pub fn acknowledged(&mut self, number: i64, now: u64) -> bool {
        let at = self.waiting.iter().position(|sent| sent.number == number);
        let Some(sent) = at.and_then(|at| self.waiting.remove(at)) else { return false };
        self.bytes -= sent.frame.len();
        self.heard = now;
        if let Some(last) = sent.last {
            self.measure(now.saturating_sub(last));
        }
        if !self.trusts_order {
            return true;
        }
        for older in self.waiting.iter_mut().filter(|older| older.number < number) {
            if older.last.is_some() && older.sending < sent.sending && !older.passed {
                older.passed = true;
                older.overtaken += 1;
            }
        }
        let bytes = &mut self.bytes;
        self.waiting.retain(|sent| {
            let known = sent.overtaken >= OVERTAKEN && now.saturating_sub(sent.first) >= OLD;
            if known {
                *bytes -= sent.frame.len();
            }
            !known
        });
        true
    }

    /// There is another connection, on which nothing has been sent: all that waits is sent again,
    /// in order.
    pub fn reconnected(&mut self) {
        for sent in &mut self.waiting {
            sent.last = None;
            sent.passed = false;
        }
    }

    fn measure(&mut self, took: u64) {
        let took = u32::try_from(took.saturating_mul(1000)).unwrap_or(u32::MAX).min(10 * MAX_RTO);
        self.variance = (self.variance / 4) * 3 + self.rtt.abs_diff(took) / 4;
        self.rtt = self.rtt / 8 * 7 + took / 8;
        self.rto = (self.rtt + MIN_VARIANCE.max(4 * self.variance)).min(MAX_RTO);
    }
}

impl Sent {
    /// `None`: it waits for an acknowledgement and isn't repeated. Only the oldest is, and those
    /// that others have overtaken. The oldest isn't as long as those before it are acknowledged at intervals: a full
    /// window takes a slow way longer than any of them waits, and nothing of it is lost.
    fn deadline(&self, front: bool, rto: u32, heard: u64) -> Option<u64> {
        let Some(last) = self.last else { return Some(0) };
        let last = if self.passed { last } else { last.max(heard) };
        let [long, longer] = LONG;
        let longest = if self.tries < MANY { long } else { longer };
        let patience = (u64::from(rto) << self.tries.saturating_sub(1).min(16)).min(longest);
        (front || self.passed).then_some(last + patience.div_ceil(1000))
    }

    fn is_due(&self, front: bool, rto: u32, heard: u64, now: u64) -> bool {
        self.deadline(front, rto, heard).is_some_and(|deadline| now >= deadline)
    }
}

/// What is to be done with a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the next one: to be used, then acknowledged, and [`Incoming::used`] be called. Where
    /// it can't be used yet, none of that; the other side will send it again.
    Now,
    /// It is kept for later: to be acknowledged.
    Kept,
    /// It was used before: to be acknowledged again.
    Again,
    /// There is no room for it: the other side will send it again.
    NoRoom,
}

/// A message that came too early.
#[derive(Debug)]
struct Early {
    number: i64,
    kind: u32,
    payload: Vec<u8>,
}

/// Messages on their way in.
#[derive(Debug)]
pub struct Incoming {
    expected: i64,
    early: Vec<Early>,
    bytes: usize,
    limit: usize,
}

impl Incoming {
    /// Nothing came yet. `limit`: bytes of early messages that are kept at most.
    pub fn new(limit: usize) -> Incoming {
        Incoming { expected: 0, early: Vec::new(), bytes: 0, limit }
    }

    /// Takes a message in; `kind` is its payload's type.
    pub fn take(&mut self, number: i64, kind: u32, payload: &[u8]) -> Turn {
        if number == self.expected {
            return Turn::Now;
        }
        if number < self.expected {
            return Turn::Again;
        }
        if self.early.iter().any(|early| early.number == number) {
            return Turn::Kept;
        }
        if self.bytes + payload.len() > self.limit || number - self.expected > MAX_SPAN {
            return Turn::NoRoom;
        }
        self.bytes += payload.len();
        self.early.push(Early { number, kind, payload: payload.to_vec() });
        Turn::Kept
    }

    /// The message in its turn was used.
    pub fn used(&mut self) {
        let at = self.early.iter().position(|early| early.number == self.expected);
        if let Some(at) = at {
            self.bytes -= self.early.swap_remove(at).payload.len();
        }
        self.expected += 1;
    }

    /// The next message, if it came early and was acknowledged then: type and payload. It is to be
    /// used, and [`Incoming::used`] to be called; where it can't be used yet, neither.
    pub fn next_kept(&self) -> Option<(u32, &[u8])> {
        let mut early = self.early.iter();
        let next = early.find(|early| early.number == self.expected)?;
        Some((next.kind, &next.payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(out: &mut Outgoing, now: u64) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some(frame) = out.due(now) {
            sent.push(frame[0]);
        }
        sent
    }

    fn with(count: u8) -> Outgoing {
        let mut out = Outgoing::new(1 << 20);
        (0..count).for_each(|number| out.push(vec![number]));
        out
    }

    #[test]
    fn nothing_is_repeated_on_a_way_that_is_only_slow() {
        for trusts_order in [true, false] {
            let mut out = with(50);
            out.trusts_order = trusts_order;
            assert_eq!(numbers(&mut out, 0).len(), 50);
            for number in 0..49 {
                // The last has been under way for five seconds, and no message is waited for longer than for one.
                assert!(out.acknowledged(number, 100 * (number as u64 + 1)));
                assert_eq!(numbers(&mut out, 100 * (number as u64 + 1) + 99), []);
            }
            assert_eq!(numbers(&mut out, 4900 + 1000), [49]);
        }
    }

    #[test]
    fn only_the_oldest_is_repeated_and_at_longer_intervals() {
        let mut out = with(3);
        assert_eq!(numbers(&mut out, 0), [0, 1, 2]);
        assert_eq!(out.deadline(), Some(200));
        assert_eq!(numbers(&mut out, 199), []);
        assert_eq!(numbers(&mut out, 200), [0]);
        assert_eq!(out.deadline(), Some(600));
        assert_eq!(numbers(&mut out, 600), [0]);
        assert_eq!(out.deadline(), Some(1400));
        let mut now = 1400;
        for _ in 0..100 {
            assert_eq!(numbers(&mut out, now), [0]);
            now = out.deadline().unwrap();
        }
        assert_eq!(numbers(&mut out, now), [0]);
        assert_eq!(out.deadline(), Some(now + 8000));
        out.acknowledged(0, 700);
        out.acknowledged(2, 700);
        assert_eq!(numbers(&mut out, now), [1]);
        out.acknowledged(1, now + 1);
        assert!(out.is_empty());
        assert_eq!(out.deadline(), None);
    }

    #[test]
    fn patience_follows_what_was_measured_and_is_never_more_than_a_second() {
        let mut out = Outgoing::new(1 << 20);
        for number in 0..100 {
            out.push(vec![0]);
            assert!(out.due(number * 1000).is_some());
            out.acknowledged(number as i64, number * 1000 + 20);
        }
        assert!((20_000..40_000).contains(&out.rto), "{}", out.rto);
        for number in 100..200 {
            out.push(vec![0]);
            assert!(out.due(number * 60_000).is_some());
            out.acknowledged(number as i64, number * 60_000 + 50_000);
        }
        assert_eq!(out.rto, MAX_RTO);
    }

    #[test]
    fn the_first_measurement_is_the_original_s() {
        let mut out = with(1);
        assert!(out.due(0).is_some());
        out.acknowledged(0, 20);
        // 0.25 × 80 ms; 0.875 × 100 + 0.125 × 20; their sum, four times the first.
        assert_eq!((out.variance, out.rtt, out.rto), (20_000, 90_000, 170_000));
    }

    #[test]
    fn another_connection_gets_everything_that_waits_in_order() {
        let mut out = with(4);
        assert_eq!(numbers(&mut out, 0), [0, 1, 2, 3]);
        out.acknowledged(1, 10);
        out.reconnected();
        assert_eq!(numbers(&mut out, 11), [0, 2, 3]);
    }

    #[test]
    fn a_lost_acknowledgement_doesn_t_hold_the_stream_up() {
        let mut out = with(1);
        out.trusts_order = true;
        assert_eq!(numbers(&mut out, 0), [0]);
        // Nobody acknowledges 0 any more; what is sent after each of its repetitions is.
        let mut now = 0;
        while !out.is_empty() {
            now += 2000;
            out.push(vec![9]);
            while out.due(now).is_some() {}
            out.acknowledged(out.next_number() - 1, now + 1);
            assert!(now < 60_000);
        }
        assert!(now >= OLD);
        // Where order says nothing, it is kept.
        let mut out = with(1);
        for now in 1..100 {
            out.push(vec![9]);
            while out.due(now * 2000).is_some() {}
            out.acknowledged(out.next_number() - 1, now * 2000 + 1);
        }
        assert!(!out.is_empty());
    }

    #[test]
    fn a_window_whose_acknowledgements_were_all_lost_opens_again() {
        let mut out = Outgoing::new(40);
        out.trusts_order = true;
        // The other side has the first forty, and says so never again.
        let mut told = 40;
        for now in (0..60_000).step_by(50) {
            while out.has_room() {
                out.push(vec![(out.next_number() % 256) as u8]);
            }
            let from = out.next_number();
            while out.due(now).is_some() {}
            for number in told..from {
                out.acknowledged(number, now + 10);
            }
            told = told.max(from);
        }
        assert!(out.waiting.iter().all(|sent| sent.number >= 40));
        assert!(out.next_number() > 10_000);
    }

    #[test]
    fn a_window_opens_again_and_again_though_acknowledgements_go_on_getting_lost() {
        for (share, seed) in [(5, 1), (10, 2), (30, 3)] {
            let mut out = Outgoing::new(16);
            out.trusts_order = true;
            let (mut chance, mut told, mut now) = (seed, 0, 0);
            while out.next_number() < 2_000 {
                while out.has_room() {
                    out.push(vec![0]);
                }
                while out.due(now).is_some() {}
                // The other side says once that it has one, which may get lost.
                for number in std::mem::replace(&mut told, out.next_number())..told {
                    chance = (chance * 75) % 65_537;
                    if chance % 100 >= share {
                        out.acknowledged(number, now + 1);
                    }
                }
                assert!(out.waiting.len() <= 32);
                now = out.deadline().unwrap_or(now).max(now + 2);
                assert!(now < 2_000_000, "{share} % lost: {}", out.next_number());
            }
        }
    }

    #[test]
    fn there_is_no_room_beyond_the_window_or_far_ahead_of_what_is_missing() {
        let mut out = Outgoing::new(3);
        out.push(vec![0; 2]);
        assert!(out.has_room());
        out.push(vec![0; 2]);
        assert!(!out.has_room());
        out.acknowledged(0, 1);
        assert!(out.has_room());
        let mut out = with(1);
        for number in 1..MAX_SPAN {
            assert!(out.has_room());
            out.push(vec![0]);
            out.acknowledged(number, 1);
        }
        assert!(!out.has_room());
    }

    #[test]
    fn what_comes_is_used_once_and_in_order() {
        let mut inc = Incoming::new(8);
        assert_eq!(inc.take(0, 1, b"a"), Turn::Now);
        // It couldn't be used; it comes again.
        assert_eq!(inc.take(0, 1, b"a"), Turn::Now);
        inc.used();
        assert_eq!(inc.take(0, 1, b"a"), Turn::Again);
        assert_eq!(inc.take(2, 3, b"cc"), Turn::Kept);
        assert_eq!(inc.take(2, 3, b"cc"), Turn::Kept);
        assert_eq!(inc.take(3, 1, b"seven b"), Turn::NoRoom);
        assert_eq!(inc.next_kept(), None);
        assert_eq!(inc.take(1, 1, b"b"), Turn::Now);
        inc.used();
        assert_eq!(inc.next_kept(), Some((3, &b"cc"[..])));
        inc.used();
        assert_eq!(inc.next_kept(), None);
        assert_eq!(inc.take(3, 1, b"seven b"), Turn::Now);
        assert_eq!(inc.take(4, 1, b"eight by"), Turn::Kept);
        assert_eq!(inc.take(i64::MAX, 1, b""), Turn::NoRoom);
    }

    /// What the network does with one message.
    #[derive(Clone, Debug)]
    enum Fate {
        Lose,
        Deliver(u64),
        Twice(u64, u64),
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            2 => Just(Fate::Lose),
            6 => (1u64..400).prop_map(Fate::Deliver),
            1 => (1u64..400, 1u64..400).prop_map(|(a, b)| Fate::Twice(a, b)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_network_that_loses_doubles_and_reorders_changes_nothing(
            fates in prop::collection::vec(fate(), 1..200),
            count in 1usize..60,
            busy in 0usize..5,
        ) {
            let mut fates = fates.into_iter().chain(std::iter::repeat(Fate::Deliver(5)));
            let mut out = Outgoing::new(16);
            let mut inc = Incoming::new(16);
            // (when, Some(message) or None, number)
            let mut flying: Vec<(u64, bool, i64)> = Vec::new();
            let (mut made, mut got, mut now, mut refusals) = (0, Vec::new(), 0u64, busy);
            let mut fly = |flying: &mut Vec<(u64, bool, i64)>, now: u64, data: bool, number: i64| {
                match fates.next().unwrap() {
                    Fate::Lose => {}
                    Fate::Deliver(after) => flying.push((now + after, data, number)),
                    Fate::Twice(one, two) => {
                        flying.push((now + one, data, number));
                        flying.push((now + two, data, number));
                    }
                }
            };
            while got.len() < count || !out.is_empty() {
                while made < count && out.has_room() {
                    out.push(vec![made as u8]);
                    made += 1;
                }
                while let Some(frame) = out.due(now) {
                    let number = i64::from(frame[0]);
                    fly(&mut flying, now, true, number);
                }
                let (arrived, rest) = flying.into_iter().partition(|(when, ..)| *when <= now);
                flying = rest;
                let arrived: Vec<(u64, bool, i64)> = arrived;
                for (_, data, number) in arrived {
                    if !data {
                        out.acknowledged(number, now);
                        continue;
                    }
                    let acknowledge = match inc.take(number, 1, &[number as u8]) {
                        Turn::Now if refusals > 0 => { refusals -= 1; false }
                        Turn::Now => {
                            got.push(number);
                            inc.used();
                            while let Some((_, payload)) = inc.next_kept() {
                                got.push(i64::from(payload[0]));
                                inc.used();
                            }
                            true
                        }
                        Turn::Kept | Turn::Again => true,
                        Turn::NoRoom => false,
                    };
                    if acknowledge {
                        fly(&mut flying, now, false, number);
                    }
                }
                let wake = flying.iter().map(|(when, ..)| *when).chain(out.deadline()).min();
                now = wake.unwrap_or(now).max(now + 1);
                prop_assert!(now < 10_000_000, "it never ends");
            }
            let all: Vec<i64> = (0..count as i64).collect();
            prop_assert_eq!(got, all);
        }
    }
}
