//! Limits by looking: arithmetic only, so that time can be made up.
//!
//! CPU: the tree has an allowance that grows with time; when it is used up, the tree is stopped
//! until it has grown to nothing owed. Over minutes this holds the ceiling, though in steps of
//! seconds. Memory: killed when two looks in a row find it over the limit.

use std::time::{Duration, Instant};

/// So many looks in a row over the limit are no peak any more.
const LOOKS_OVER: u8 = 2;

/// If at so many looks in a row the tree computes although it is stopped, it can't be held.
const LOOKS_UNHELD: u8 = 10;

/// A stopped tree that uses more than this part of a core isn't stopped. Stopping takes a moment.
const STILL: u64 = 10;

/// Saved up at most: what would be allotted in this time. Longer would let bursts through.
const SAVINGS: Duration = Duration::from_secs(2);

/// What is remembered between looks.
#[derive(Clone, Debug, Default)]
pub struct Polled {
    last: Option<(Instant, Duration)>,
    /// µs; negative: owed.
    balance: i64,
    /// Whether the tree is stopped now; unknown after an agent's restart.
    pub stopped: Option<bool>,
    over: u8,
    unheld: u8,
}

/// What to do about the CPU time of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Run,
    /// It has to wait.
    Wait,
    /// It was to wait, and didn't: so many thousandths of a core.
    Unheld(u64),
}

impl Polled {
    /// Looks at the CPU time: `used` since the start of the tree, `limit` in hundredths of a
    /// percent of a core.
    pub fn cpu(&mut self, used: Duration, limit: u32, now: Instant) -> Verdict {
        let (then, before) = self.last.replace((now, used)).unwrap_or((now, used));
        let elapsed = micros(now.saturating_duration_since(then));
        // Less than before: an orphan has ended and taken its count along.
        let used = micros(used.saturating_sub(before));
        let limit = i64::from(limit);
        let share = |time: i64| time.saturating_mul(limit) / 10_000;
        let saved = self.balance.saturating_add(share(elapsed)).min(share(micros(SAVINGS)));
        self.balance = saved.saturating_sub(used);
        let used_while_stopped = (used / (elapsed / 1000).max(1)).unsigned_abs();
        let is_unheld = self.stopped == Some(true)
            && elapsed > 0
            && used_while_stopped > STILL + limit.unsigned_abs() / 10;
        self.unheld = if is_unheld { self.unheld.saturating_add(1) } else { 0 };
        match self.balance {
            _ if self.unheld >= LOOKS_UNHELD => Verdict::Unheld(used_while_stopped),
            0.. => Verdict::Run,
            _ => Verdict::Wait,
        }
    }

    /// Looks at the memory; `true` if it has been over its limit for too long.
    pub fn memory(&mut self, used: u64, limit: u64) -> bool {
        self.over = if used > limit { self.over.saturating_add(1) } else { 0 };
        self.over >= LOOKS_OVER
    }

    /// Forgets all but whether the tree is stopped: another tree, or another limit.
    pub fn start_over(&mut self) {
        *self = Polled { stopped: self.stopped, ..Polled::default() };
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A tree that uses `cores` whenever it may, looked at every second; what it used in the end.
    fn hold(limit: u32, cores: u32, seconds: u32) -> (Duration, u32) {
        let (mut polled, mut used, start) = (Polled::default(), Duration::ZERO, Instant::now());
        let mut stops = 0;
        for second in 0..seconds {
            let verdict = polled.cpu(used, limit, start + SECOND * second);
            let wait = verdict == Verdict::Wait;
            stops += u32::from(wait && polled.stopped != Some(true));
            polled.stopped = Some(wait);
            used += if wait { Duration::ZERO } else { SECOND * cores };
        }
        (used, stops)
    }

    #[test]
    fn over_minutes_a_burner_gets_its_tenth_of_a_core_however_many_cores_it_takes() {
        for cores in [1, 4] {
            let (used, stops) = hold(1000, cores, 600);
            assert!((54..=66).contains(&used.as_secs()), "{used:?} of {cores} cores");
            assert!(stops >= 10);
        }
        assert_eq!(hold(10_000, 1, 100), (SECOND * 100, 0), "a whole core is no limit to one");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let (mut polled, start) = (Polled::default(), Instant::now());
        polled.cpu(Duration::ZERO, 1000, start);
        assert_eq!(polled.cpu(Duration::ZERO, 1000, start + SECOND * 3600), Verdict::Run);
        assert_eq!(polled.cpu(SECOND, 1000, start + SECOND * 3601), Verdict::Wait);
    }

    #[test]
    fn a_tree_that_computes_while_stopped_is_reported_and_one_that_keeps_still_is_not() {
        let (mut polled, start) = (Polled::default(), Instant::now());
        let mut verdicts = (0..30).map(|second| {
            polled.stopped = Some(second > 0);
            polled.cpu(SECOND * second, 1000, start + SECOND * second)
        });
        assert_eq!(verdicts.find(|v| matches!(v, Verdict::Unheld(_))), Some(Verdict::Unheld(1000)));
        let (mut polled, used) = (Polled { stopped: Some(true), ..Polled::default() }, SECOND);
        for second in 0..60 {
            let verdict = polled.cpu(used, 1000, start + SECOND * second);
            assert!(!matches!(verdict, Verdict::Unheld(_)));
        }
    }

    #[test]
    fn one_peak_of_memory_is_forgiven_and_two_looks_are_not() {
        let mut polled = Polled::default();
        let looks = [21, 19, 21, 20, 21, 22].map(|used| polled.memory(used, 20));
        assert_eq!(looks, [false, false, false, false, false, true]);
    }

    #[test]
    fn a_clock_that_stands_still_harms_nobody() {
        let (mut polled, now) = (Polled::default(), Instant::now());
        assert_eq!(polled.cpu(SECOND, 1000, now), Verdict::Run);
        assert_eq!(polled.cpu(SECOND * 2, 1000, now), Verdict::Wait);
        assert_eq!(polled.cpu(Duration::ZERO, 1000, now), Verdict::Wait);
    }
}
