//! What becomes of a wish, decided from what is known of it. Pure.

use super::deadline::{Deadline, Now};
use miniserde::{Deserialize, Serialize};

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

/// How the verdict on a wish begins that no script was asked for.
pub const REPLACED: &str = "replaced by ";

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
    /// Until when it is tried; `None`: for ever, or once.
    pub deadline: Option<Deadline>,
    /// It is tried once.
    pub once: bool,
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
    pub fn new(event: &str, limit: Option<u64>, now: &Now<'_>) -> Wish {
        let usual = EVENTS.iter().find(|(name, _)| *name == event).and_then(|(_, usual)| *usual);
        let limit = limit.map(|limit| limit.min(LONGEST)).or(usual);
        let deadline = limit.filter(|limit| *limit > 0).map(|limit| Deadline::new(limit, now));
        Wish {
            event: event.to_owned(),
            previous: String::new(),
            generation: String::new(),
            deadline,
            once: limit == Some(0),
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
        self.over = !good && self.once;
    }

    /// Counts what is left of its time; whether that is to be written down.
    pub fn count(&mut self, now: &Now<'_>) -> bool {
        self.is_open() && self.deadline.as_mut().is_some_and(|deadline| deadline.count(now))
    }

    /// Gives it up if its time is over; whether that is news.
    pub fn expire(&mut self, now: &Now<'_>) -> bool {
        let late = self.deadline.as_ref().is_some_and(|deadline| deadline.is_over(now));
        let is_news = late && self.is_open();
        self.over |= is_news;
        is_news
    }

    fn is_open(&self) -> bool {
        !self.acknowledged && !self.over
    }
}

/// Takes a wish in: it replaces one for the same event, unless that is the same, and one for the
/// opposite.
pub fn take(wishes: &mut Vec<Wish>, mut wish: Wish, boot: &str) {
    let opposite = opposite(&wish.event);
    wish.generation = generation(&wish, boot).to_owned();
    let same = wishes
        .iter()
        .any(|old| old.event == wish.event && old.generation == wish.generation && !old.over);
    wishes.retain(|old| opposite != Some(old.event.as_str()));
    if !same {
        wishes.retain(|old| old.event != wish.event);
        wishes.push(wish);
    }
}

/// Whoever names no generation means this period; and of what isn't one, this boot.
fn generation<'a>(wish: &'a Wish, boot: &'a str) -> &'a str {
    match opposite(&wish.event) {
        None if wish.generation.is_empty() => boot,
        _ => &wish.generation,
    }
}

/// What is told of a wish that was taken in: how it is, or that one that came after it has its place.
pub fn verdict(wishes: &[Wish], asked: &Wish, boot: &str) -> Wish {
    let opposite = opposite(&asked.event);
    let stands = |wish: &&Wish| wish.event == asked.event || opposite == Some(wish.event.as_str());
    let now = wishes.iter().find(stands);
    match now {
        Some(now) if now.event == asked.event && now.generation == generation(asked, boot) => {
            now.clone()
        }
        _ => {
            let by = now.map_or(&asked.event, |now| &now.event);
            let verdict = format!("{REPLACED}{by}, which came after it");
            Wish { over: true, verdict, ..asked.clone() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "instance-ready-for-operation";

    fn at(since_boot: u64) -> Now<'static> {
        Now { boot: "b1", since_boot, time: None }
    }

    fn wish(event: &str, generation: &str) -> Wish {
        Wish { generation: generation.into(), ..Wish::new(event, None, &at(1000)) }
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
    fn a_wish_whose_place_another_has_taken_is_told_so_and_the_same_one_how_it_is() {
        let mut wishes = Vec::new();
        let asked =
            [wish(ENTER, ""), wish(READY, "1"), wish(EXIT, ""), wish(READY, "2"), wish(READY, "2")];
        asked.iter().for_each(|one| take(&mut wishes, one.clone(), "b1"));
        wishes.iter_mut().for_each(|one| one.tried(true, "well".into(), "b1"));
        let told = asked.map(|one| verdict(&wishes, &one, "b1"));
        let replaced = |by: &str| format!("replaced by {by}, which came after it");
        let words = [&replaced(EXIT), &replaced(READY), "well", "well", "well"];
        assert_eq!(told.each_ref().map(|one| one.verdict.as_str()), words);
        assert_eq!(told.each_ref().map(|one| one.acknowledged), [false, false, true, true, true]);
        assert!(told[0].over && told[1].over);
        // Without a generation it is this boot's.
        take(&mut wishes, wish(READY, ""), "b1");
        assert_eq!(verdict(&wishes, &wish(READY, ""), "b1").verdict, "");
    }

    #[test]
    fn the_same_wish_again_keeps_its_deadline_and_what_was_answered() {
        let mut wishes = Vec::new();
        take(&mut wishes, wish(READY, "7"), "b1");
        wishes[0].tried(true, "well".into(), "b1");
        let deadline = wishes[0].deadline.clone();
        let again = Wish { generation: "7".into(), ..Wish::new(READY, Some(9), &at(2000)) };
        take(&mut wishes, again, "b1");
        assert_eq!((wishes.len(), wishes[0].acknowledged), (1, true));
        assert_eq!(wishes[0].deadline, deadline);
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
        assert!(!asked.expire(&at(1000 + 3_599_999)) && asked.expire(&at(1000 + 3_600_000)));
        assert!(!asked.is_due("b1") && !asked.expire(&at(u64::MAX)));
        let mut period = wish(ENTER, "");
        assert!(!period.expire(&at(u64::MAX)));
        let mut once = wish("instance-healthcheck", "");
        once.tried(false, "no".into(), "b1");
        assert!(once.over && !once.is_due("b1"));
        // What is answered is written no more.
        let mut answered = wish(READY, "");
        assert!(answered.count(&at(LONGEST)));
        answered.tried(true, "yes".into(), "b1");
        assert!(!answered.count(&at(2 * LONGEST)));
        let mut long = Wish::new(READY, Some(u64::MAX), &at(0));
        assert!(!long.expire(&at(LONGEST * 1000 - 1)) && long.expire(&at(LONGEST * 1000)));
    }
}
