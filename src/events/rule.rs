//! What becomes of a wish, decided from what is known of it. Pure.

use miniserde::{Deserialize, Serialize};
use stint_wire::time::Utc;

/// The events, and how long a wish for each is tried if it doesn't say, seconds; 0: once, `None`:
/// until another takes its place.
const EVENTS: [(&str, Option<u64>); 7] = [
    (ENTER, None),
    (EXIT, None),
    ("instance-ready-for-operation", Some(3600)),
    ("instance-ready-for-shutdown", Some(3600)),
    ("instance-scaling-state-change-draining", Some(3600)),
    ("instance-scaling-state-change-bounced", Some(3600)),
    ("instance-healthcheck", Some(0)),
];

const ENTER: &str = "enter-maintenance-window-period";
const EXIT: &str = "exit-maintenance-window-period";

/// No wish is tried for longer than this, seconds: a week.
pub const LONGEST: u64 = 7 * 86_400;

/// What somebody wants the scripts to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// One of the events.
    pub event: String,
    /// The state before, for the script.
    pub previous: String,
    /// A wish of another generation is another wish.
    pub generation: String,
    /// Until when it is tried, milliseconds since 1970; 0: for ever, 1: once.
    pub deadline: u64,
    /// The scripts have ended well, or there are none.
    pub acknowledged: bool,
    /// Nothing more is tried.
    pub over: bool,
    /// In which boot that was.
    pub boot: String,
    /// How the last try ended, in words.
    pub verdict: String,
}

/// Whether there is an event of that name.
pub fn is_event(name: &str) -> bool {
    EVENTS.iter().any(|(known, _)| *known == name)
}

/// All names, for an error.
pub fn names() -> String {
    EVENTS.map(|(name, _)| name).join(", ")
}

/// A period is a level: what holds after a reboot is told again.
fn opposite(event: &str) -> Option<&'static str> {
    match event {
        ENTER => Some(EXIT),
        EXIT => Some(ENTER),
        _ => None,
    }
}

impl Wish {
    /// A new wish; `limit` in seconds, if it says one.
    pub fn new(event: &str, limit: Option<u64>, now: Utc) -> Wish {
        let usual = EVENTS.iter().find(|(name, _)| *name == event).and_then(|(_, usual)| *usual);
        let deadline = match limit.map(|limit| limit.min(LONGEST)).or(usual) {
            None => 0,
            Some(0) => 1,
            Some(seconds) => now.0 + seconds * 1000,
        };
        Wish {
            event: event.to_owned(),
            previous: String::new(),
            generation: String::new(),
            deadline,
            acknowledged: false,
            over: false,
            boot: String::new(),
            verdict: String::new(),
        }
    }

    /// Whether the scripts are to be asked in this boot.
    pub fn is_due(&self, boot: &str) -> bool {
        let level = opposite(&self.event).is_some();
        !self.over && (!self.acknowledged || level && self.boot != boot)
    }

    /// Notes how a try ended.
    pub fn tried(&mut self, good: bool, verdict: String, boot: &str) {
        (self.acknowledged, self.verdict) = (good, verdict);
        if good {
            self.boot = boot.to_owned();
        }
        self.over = !good && self.deadline == 1;
    }

    /// Gives it up if its time is over; whether that is news.
    pub fn expire(&mut self, now: Utc) -> bool {
        let late = self.deadline > 1 && now.0 >= self.deadline;
        if !late || self.acknowledged || self.over {
            return false;
        }
        self.over = true;
        true
    }
}

/// Takes a wish in: it replaces one for the same event, unless that is the same, and one for the
/// opposite.
pub fn take(wishes: &mut Vec<Wish>, mut wish: Wish, boot: &str) {
    // Whoever names no generation means this period; and of what isn't one, this boot.
    let opposite = opposite(&wish.event);
    if wish.generation.is_empty() && opposite.is_none() {
        wish.generation = boot.to_owned();
    }
    let same = wishes
        .iter()
        .any(|old| old.event == wish.event && old.generation == wish.generation && !old.over);
    wishes.retain(|old| opposite != Some(old.event.as_str()));
    if !same {
        wishes.retain(|old| old.event != wish.event);
        wishes.push(wish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "instance-ready-for-operation";

    fn wish(event: &str, generation: &str) -> Wish {
        Wish { generation: generation.into(), ..Wish::new(event, None, Utc(1000)) }
    }

    #[test]
    fn the_opposite_period_takes_the_place_and_others_stay() {
        let mut wishes = Vec::new();
        for event in [ENTER, READY, EXIT] {
            take(&mut wishes, wish(event, ""), "b1");
        }
        let names: Vec<_> = wishes.iter().map(|wish| wish.event.as_str()).collect();
        assert_eq!(names, [READY, EXIT]);
    }

    #[test]
    fn the_same_wish_again_keeps_its_deadline_and_what_was_answered() {
        let mut wishes = Vec::new();
        take(&mut wishes, wish(READY, "7"), "b1");
        wishes[0].tried(true, "well".into(), "b1");
        let again = Wish { deadline: 9_999_999, ..wish(READY, "7") };
        take(&mut wishes, again, "b1");
        assert_eq!((wishes.len(), wishes[0].acknowledged), (1, true));
        assert_eq!(wishes[0].deadline, 1000 + 3_600_000);
        take(&mut wishes, wish(READY, "8"), "b1");
        assert_eq!((wishes.len(), wishes[0].acknowledged), (1, false));
        // Without a generation a boot is one.
        take(&mut wishes, wish(READY, ""), "b1");
        wishes[0].tried(true, "well".into(), "b1");
        take(&mut wishes, wish(READY, ""), "b1");
        assert!(wishes[0].acknowledged);
        take(&mut wishes, wish(READY, ""), "b2");
        assert!(!wishes[0].acknowledged);
    }

    #[test]
    fn a_period_is_told_again_after_a_boot_and_a_question_is_not() {
        for (event, again) in [(ENTER, true), (EXIT, true), (READY, false)] {
            let mut wish = wish(event, "");
            assert!(wish.is_due("b1"));
            wish.tried(false, "no".into(), "b1");
            assert!(wish.is_due("b1"));
            wish.tried(true, "yes".into(), "b1");
            assert!(!wish.is_due("b1"));
            assert_eq!(wish.is_due("b2"), again, "{event}");
        }
    }

    #[test]
    fn a_wish_is_given_up_at_its_deadline_and_a_period_never() {
        let mut asked = wish(READY, "");
        assert!(!asked.expire(Utc(1000 + 3_599_999)) && asked.expire(Utc(1000 + 3_600_000)));
        assert!(!asked.is_due("b1") && !asked.expire(Utc(u64::MAX)));
        let mut period = wish(ENTER, "");
        assert!(!period.expire(Utc(u64::MAX)));
        let mut once = wish("instance-healthcheck", "");
        once.tried(false, "no".into(), "b1");
        assert!(once.over && !once.is_due("b1"));
        assert_eq!(Wish::new(READY, Some(u64::MAX), Utc(0)).deadline, LONGEST * 1000);
    }
}
