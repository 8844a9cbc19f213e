//! When a child that died is started again: the founding page's rule, and a fast one.
//!
//! Pure: times are measured from the system's boot and given from outside.

use std::time::Duration;

/// The pauses of the fast profile before the second start, the third and so on, as parts of the
/// longest one: of 180 s these are 5 s, 15 s, 60 s and 180 s.
const FAST_PARTS: [u32; 4] = [36, 12, 3, 1];

/// The shortest pause: a child that dies at once must not keep the device busy with starting it.
const SHORTEST: Duration = Duration::from_secs(1);

/// The numbers of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Restart soon and never give up.
    pub fast: bool,
    /// A child that waits is looked at so often.
    pub check: Duration,
    /// Pause after an abnormal end; of the fast profile the longest one.
    pub cooldown: Duration,
    /// One that has run for so long is well again.
    pub window: Duration,
    /// More abnormal ends than this in a row, each within the window, are too many.
    pub retries: u32,
}

/// What is to become of a child that ended abnormally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again then, counted from boot.
    Again(Duration),
    /// It is `fatal`.
    GiveUp,
}

impl Rules {
    /// Judges an abnormal end at the age `age` (since that start). `streak` counts those in a row.
    pub fn judge(&self, streak: &mut u32, age: Duration, now: Duration) -> Verdict {
        *streak = if age < self.window { streak.saturating_add(1) } else { 0 };
        if self.fast {
            let at = (*streak as usize).saturating_sub(1).min(FAST_PARTS.len() - 1);
            let part = FAST_PARTS.get(at).copied().unwrap_or(1);
            return Verdict::Again(now + (self.cooldown / part).max(SHORTEST));
        }
        if *streak > self.retries {
            return Verdict::GiveUp;
        }
        Verdict::Again(self.next_check(now + self.cooldown))
    }

    /// The first look at or after `time`. The looks are counted from boot, so that a restart of
    /// the agent doesn't move them.
    fn next_check(&self, time: Duration) -> Duration {
        let check = self.check.as_millis().max(1);
        let looks = time.as_millis().div_ceil(check);
        Duration::from_millis((looks * check) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Rules = Rules {
        fast: false,
        check: Duration::from_secs(60),
        cooldown: Duration::from_secs(180),
        window: Duration::from_secs(900),
        retries: 3,
    };

    /// The page's numbers, 60 times faster.
    const ACCELERATED: Rules = Rules {
        check: Duration::from_secs(1),
        cooldown: Duration::from_secs(3),
        window: Duration::from_secs(15),
        ..PAGE
    };

    /// Starts at `at` a child that ends abnormally after each of `lives`; the times of its starts
    /// in seconds, and whether it is given up at the end.
    fn starts(rules: Rules, at: u64, lives: &[u64]) -> (Vec<u64>, bool) {
        let (mut streak, mut now, mut starts) = (0, Duration::from_secs(at), Vec::new());
        for life in lives {
            starts.push(now.as_secs());
            let age = Duration::from_secs(*life);
            match rules.judge(&mut streak, age, now + age) {
                Verdict::Again(next) => now = next,
                Verdict::GiveUp => return (starts, true),
            }
        }
        (starts, false)
    }

    #[test]
    fn timelines_are_the_founding_pages() {
        for (what, rules, at, lives, wanted, fatal) in [
            ("it dies at once", PAGE, 0, vec![0; 9], vec![0, 180, 360, 540], true),
            (
                "the same, started between two looks",
                PAGE,
                59,
                vec![0; 9],
                vec![59, 240, 420, 600],
                true,
            ),
            ("it lives 5 minutes", PAGE, 0, vec![300; 9], vec![0, 480, 960, 1440], true),
            (
                "it lives 20 minutes: for ever",
                PAGE,
                0,
                vec![1200; 6],
                vec![0, 1380, 2760, 4140, 5520, 6900],
                false,
            ),
            (
                "one long life breaks the row",
                PAGE,
                0,
                vec![0, 0, 0, 900, 0, 0, 0, 0],
                vec![0, 180, 360, 540, 1620, 1800, 1980, 2160],
                true,
            ),
            ("a hair less doesn't", PAGE, 0, vec![0, 0, 0, 899, 0], vec![0, 180, 360, 540], true),
            ("60 times faster", ACCELERATED, 0, vec![0; 9], vec![0, 3, 6, 9], true),
            ("5 seconds are 5 minutes", ACCELERATED, 0, vec![5; 9], vec![0, 8, 16, 24], true),
            ("no retries", Rules { retries: 0, ..PAGE }, 7, vec![0; 9], vec![7], true),
        ] {
            assert_eq!(starts(rules, at, &lives), (wanted, fatal), "{what}");
        }
    }

    #[test]
    fn the_fast_profile_backs_off_and_never_gives_up() {
        let fast = Rules { fast: true, ..PAGE };
        let wanted = vec![1, 6, 21, 81, 261, 441];
        assert_eq!(starts(fast, 1, &[0; 6]), (wanted, false));
        // After a good while it starts anew.
        assert_eq!(starts(fast, 0, &[0, 0, 900, 0]).0, [0, 5, 20, 925]);
        assert!(!starts(fast, 0, &[0; 1000]).1);
    }

    #[test]
    fn the_first_look_is_never_before_the_cooldown_is_over() {
        for started in 0..200 {
            let mut streak = 0;
            let now = Duration::from_millis(started * 997);
            let Verdict::Again(next) = PAGE.judge(&mut streak, Duration::ZERO, now) else {
                panic!("given up at once");
            };
            let pause = next - now;
            assert!(pause >= PAGE.cooldown && pause < PAGE.cooldown + PAGE.check, "{pause:?}");
        }
    }
}
