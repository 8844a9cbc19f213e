//! How long a wish is still tried. Pure.
//!
//! That is counted by the time since boot, which nobody sets. What passes while the device is off is told by the time of day,
//! if somebody knew that before and knows it again (`uplink::clock`); else it counts as none.

use miniserde::{Deserialize, Serialize};
use stint_wire::time::Utc;

/// What has been counted is noted in steps of this, milliseconds: a boot that ends forgets no more, and the flash is spared.
const STEP: u64 = 10 * 60 * 1000;

/// What the clocks say.
pub struct Now<'a> {
    /// Which boot this is.
    pub boot: &'a str,
    /// For how long it has lasted, milliseconds.
    pub since_boot: u64,
    /// The time of day, if somebody knows it.
    pub time: Option<Utc>,
}

/// The end of the tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// What was left, milliseconds,
    left: u64,
    /// so many milliseconds after the beginning
    at: u64,
    /// of this boot.
    boot: String,
    /// The end by the time of day, milliseconds since 1970; 0 as long as nobody has known that.
    until: u64,
    /// How long the device was off isn't counted yet.
    behind: bool,
}

impl Deadline {
    /// In so many seconds from now.
    pub fn new(seconds: u64, now: &Now<'_>) -> Deadline {
        let (at, boot) = (now.since_boot, now.boot.to_owned());
        Deadline { left: seconds * 1000, at, boot, until: 0, behind: false }
    }

    /// Takes up what the clocks say. True if that should be written down.
    pub fn count(&mut self, now: &Now<'_>) -> bool {
        let before = self.clone();
        if self.boot != now.boot {
            (self.at, self.behind) = (0, true);
            now.boot.clone_into(&mut self.boot);
        }
        let left = self.left(now);
        let is_learned = now.time.is_some() && (self.until == 0 || self.behind);
        if is_learned || now.since_boot.saturating_sub(self.at) >= STEP {
            (self.left, self.at) = (left, now.since_boot);
            if let Some(time) = now.time {
                if self.behind && self.until != 0 {
                    self.left = left.min(self.until.saturating_sub(time.0));
                }
                // Anew each time: somebody may have set the clock since.
                (self.until, self.behind) = (time.0.saturating_add(self.left), false);
            }
        }
        *self != before
    }

    /// Whether nothing is left.
    pub fn is_over(&self, now: &Now<'_>) -> bool {
        self.left(now) == 0
    }

    fn left(&self, now: &Now<'_>) -> u64 {
        self.left.saturating_sub(now.since_boot.saturating_sub(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    fn now(boot: &str, since_boot: u64, time: Option<u64>) -> Now<'_> {
        Now { boot, since_boot, time: time.map(Utc) }
    }

    /// When an hour that begins with the first of these is over, after all of them have been heard.
    fn end(clocks: &[Now<'_>]) -> u64 {
        let mut deadline = Deadline::new(3600, &clocks[0]);
        for clock in clocks {
            deadline.count(clock);
            assert!(!deadline.is_over(clock));
        }
        let last = clocks.last().unwrap();
        let over = |at: &u64| deadline.is_over(&now(last.boot, *at, None));
        (0..=10 * HOUR).step_by(60_000).find(over).unwrap()
    }

    #[test]
    fn an_hour_is_an_hour_whatever_becomes_of_the_clock() {
        for (first, second) in [(None, Some(50 * DAY)), (Some(50 * DAY), Some(0)), (Some(9), None)]
        {
            assert_eq!(end(&[now("a", HOUR, first), now("a", HOUR + 60_000, second)]), 2 * HOUR);
        }
    }

    #[test]
    fn time_without_power_counts_if_it_is_known_before_and_after() {
        let off = HOUR / 2;
        let before = now("a", HOUR, Some(50 * DAY));
        // Known at once; known after a while; known before alone; known by nobody.
        assert_eq!(end(&[before, now("b", 60_000, Some(50 * DAY + off))]), HOUR / 2 + 60_000);
        let before = || now("a", HOUR, Some(50 * DAY));
        let late = now("b", 120_000, Some(50 * DAY + off));
        assert_eq!(end(&[before(), now("b", 60_000, None), late]), HOUR / 2 + 120_000);
        assert_eq!(end(&[before(), now("b", 60_000, None)]), HOUR);
        assert_eq!(end(&[now("a", HOUR, None), now("b", 60_000, Some(90 * DAY))]), HOUR);
        // A clock that is back in 1970 gives no more than there was.
        assert_eq!(end(&[before(), now("b", 60_000, Some(0))]), HOUR);
    }

    #[test]
    fn a_clock_that_was_set_before_the_power_went_is_not_taken_for_time_that_has_gone() {
        let set = |time| {
            let before = [now("a", HOUR, Some(50 * DAY)), now("a", HOUR + STEP, Some(time))];
            let [first, second] = before;
            end(&[first, second, now("b", 60_000, Some(time + HOUR / 4))])
        };
        let left = HOUR - STEP - HOUR / 4;
        assert_eq!([set(60 * DAY), set(40 * DAY)], [left + 60_000; 2]);
    }

    #[test]
    fn boots_that_end_again_and_again_do_not_make_it_longer_for_ever() {
        let mut deadline = Deadline::new(3600, &now("a", 0, None));
        let mut boots = 0;
        let all = ["b", "c", "d", "e", "f", "g"];
        while !deadline.is_over(&now(all[boots], 0, None)) {
            deadline.count(&now(all[boots], 0, None));
            assert!(deadline.count(&now(all[boots], STEP, None)), "it is written down");
            assert!(!deadline.count(&now(all[boots], STEP + 60_000, None)));
            boots += 1;
            if boots == all.len() {
                break;
            }
        }
        assert_eq!(boots, 6);
        assert!(deadline.is_over(&now("h", 0, None)));
    }
}
