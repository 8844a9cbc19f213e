//! When the daemon is started again, and when it has been silent for too long. Pure: times come in
//! as arguments.

use std::time::Duration;

/// The pause before the first start after an end.
const FIRST: Duration = Duration::from_secs(1);

/// The longest one. A device is expected back within minutes of what ailed it.
const LONGEST: Duration = Duration::from_secs(120);

/// A daemon that can't serve as the device is set up waits for a person, or for an update.
const SETUP: Duration = Duration::from_secs(300);

/// For each time so long that a daemon lived, one early end is forgotten.
const FORGET: Duration = Duration::from_secs(30);

/// Each pause is up to this part shorter or longer, so that a fleet doesn't start in step.
const JITTER: f64 = 0.25;

/// Counts ends that follow each other closely.
#[derive(Debug, Default)]
pub struct Streak(u32);

impl Streak {
    /// The pause after the end of a daemon that `lived` so long. `chance` is from 0 to 1.
    pub fn ended(&mut self, lived: Duration, is_setup: bool, chance: f64) -> Duration {
        let forgotten = lived.as_secs() / FORGET.as_secs();
        self.0 = self.0.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX));
        let plain = match is_setup {
            true => SETUP,
            false => FIRST.saturating_mul(1 << self.0.min(16)).min(LONGEST),
        };
        self.0 = self.0.saturating_add(1);
        plain.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
    }
}

/// Whether a daemon that was heard when it had `lived` so long is a reason for hope. Each is heard at once, also one
/// that dies a second later, again and again.
pub fn is_hope(lived: Duration, deadline: Duration) -> bool {
    lived >= deadline.min(FORGET)
}

/// After this a daemon that was told to end with SIGABRT is killed: one that is stopped or stuck in
/// the kernel doesn't hear the first.
pub const ABORT: Duration = Duration::from_secs(3);

/// What is to be done about a daemon now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, until this much later.
    Leave(Duration),
    /// It was silent for too long: SIGABRT.
    Abort,
    /// What it was told before has had no effect: SIGKILL.
    Kill,
}

/// Judges a daemon that has been `silent` for so long. `told` says how long ago it was told to end,
/// and how long it may take.
pub fn judge(silent: Duration, deadline: Duration, told: Option<(Duration, Duration)>) -> Verdict {
    match told {
        Some((ago, patience)) if ago >= patience => Verdict::Kill,
        Some((ago, patience)) => Verdict::Leave(patience - ago),
        None if silent >= deadline => Verdict::Abort,
        None => Verdict::Leave(deadline - silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_while_the_daemon_dies_young_and_no_further_than_minutes() {
        let mut streak = Streak::default();
        let pauses: Vec<u64> = (0..9).map(|_| streak.ended(s(1), false, 0.5).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        let (least, most) = (streak.ended(s(0), false, 0.0), streak.ended(s(0), false, 1.0));
        assert_eq!((least, most), (s(90), s(150)));
    }

    #[test]
    fn a_daemon_that_lived_is_started_at_once_again() {
        let mut streak = Streak::default();
        for _ in 0..9 {
            streak.ended(s(0), false, 0.5);
        }
        assert_eq!(streak.ended(s(600), false, 0.5), s(1));
        // Less patience is earned by less of a life.
        assert_eq!(streak.ended(s(0), false, 0.5), s(2));
        assert_eq!(streak.ended(s(30), false, 0.5), s(2));
        assert_eq!(streak.ended(s(u64::MAX), false, 0.5), s(1));
    }

    #[test]
    fn a_wrong_setup_is_not_tried_in_a_hot_loop() {
        let mut streak = Streak::default();
        assert_eq!(streak.ended(s(0), true, 0.5), s(300));
    }

    #[test]
    fn only_a_daemon_that_lives_for_a_while_is_a_reason_for_hope() {
        assert!(!is_hope(s(0), s(60)) && !is_hope(s(29), s(60)) && is_hope(s(30), s(60)));
        assert!(!is_hope(s(2), s(3)) && is_hope(s(3), s(3)));
    }

    #[test]
    fn silence_is_ended_with_an_abort_and_deafness_with_a_kill() {
        assert_eq!(judge(s(10), s(60), None), Verdict::Leave(s(50)));
        assert_eq!(judge(s(60), s(60), None), Verdict::Abort);
        assert_eq!(judge(s(99), s(60), Some((s(1), ABORT))), Verdict::Leave(s(2)));
        assert_eq!(judge(s(99), s(60), Some((s(3), ABORT))), Verdict::Kill);
    }
}
