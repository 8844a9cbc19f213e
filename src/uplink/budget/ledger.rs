//! What has passed today: a line in the state folder. Pure but for reading it.

use crate::sys::clock;
use crate::uplink::clock as time;
use std::fs;
use std::path::Path;

/// The day's length, seconds.
const DAY: u64 = 86_400;

/// A longer file isn't ours, bytes.
const MAX_FILE: usize = 256;

/// What the day is counted by.
#[derive(Clone, Debug)]
pub struct Now {
    /// Seconds since 1970. If the time isn't certain: it is not earlier.
    pub seconds: u64,
    /// Somebody has set the clock, or a server has said the time or agreed with the clock.
    pub certain: bool,
    /// Seconds since this boot.
    pub uptime: u64,
    /// Which boot it is.
    pub boot: String,
}

impl Now {
    /// The present, in the boot with that id.
    pub fn read(boot: &str) -> Now {
        let (known, certain) = time::known();
        let uptime = clock::since_boot().as_secs();
        Now { seconds: known.secs(), certain, uptime, boot: boot.to_owned() }
    }
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Bytes that may pass in a day.
    pub limit: u64,
    /// The day (UTC), counted from the first of 1970.
    pub day: u64,
    /// Bytes that have passed in it, with what processes have set aside.
    pub used: u64,
    /// Seconds of the day that have gone by, at least.
    age: u64,
    /// When that was so: seconds since the boot.
    uptime: u64,
    /// The boot's id.
    boot: String,
}

impl Ledger {
    /// Reads the file. `None`: there is no budget, or the file can't be read.
    pub fn load(path: &Path) -> Option<Ledger> {
        Ledger::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(text: &str) -> Option<Ledger> {
        let mut words = text.get(..text.len().min(MAX_FILE))?.split_ascii_whitespace();
        let mut number = || words.next()?.parse().ok();
        let (limit, day, used, age, uptime) =
            (number()?, number()?, number()?, number()?, number()?);
        Some(Ledger { limit, day, used, age, uptime, boot: words.next()?.to_owned() })
    }

    /// The file's content.
    pub fn write(&self) -> String {
        let Ledger { limit, day, used, age, uptime, boot } = self;
        format!("{limit} {day} {used} {age} {uptime} {boot}\n")
    }

    /// Brings it up to now; a day that is over takes along what was used in it.
    ///
    /// A clock that can't be relied on begins no day, or each boot of a device without one would: there
    /// the time counts that has passed in each boot since the day began.
    pub fn turn(&mut self, now: &Now) {
        let passed = match self.boot == now.boot {
            true => now.uptime.saturating_sub(self.uptime),
            false => now.uptime,
        };
        self.age = self.age.saturating_add(passed);
        self.uptime = now.uptime;
        self.boot.clone_from(&now.boot);
        let today = now.seconds / DAY;
        let before = self.day;
        if now.certain || today > before {
            // A day in the future was a wrong clock's. What was used was used all the same.
            (self.day, self.age) = (today, now.seconds % DAY);
        } else if self.age >= DAY {
            self.day = self.day.saturating_add(self.age / DAY);
            self.age %= DAY;
        }
        if self.day > before {
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: u64 = 20_000 * DAY + DAY / 2;

    fn now(seconds: u64, certain: bool, uptime: u64, boot: &str) -> Now {
        Now { seconds, certain, uptime, boot: boot.to_owned() }
    }

    /// A ledger as it is at noon, with so many bytes used.
    fn at_noon(used: u64) -> Ledger {
        let mut ledger = Ledger { limit: 1000, ..Ledger::default() };
        ledger.turn(&now(NOON, true, 100, "a"));
        ledger.used = used;
        ledger
    }

    #[test]
    fn the_day_turns_at_midnight_and_not_with_a_boot() {
        let mut ledger = at_noon(700);
        ledger.turn(&now(NOON + 60, true, 5, "b"));
        ledger.turn(&now(NOON + DAY / 2 - 1, true, 5, "c"));
        assert_eq!((ledger.used, ledger.day), (700, 20_000));
        ledger.turn(&now(NOON + DAY / 2, true, 6, "c"));
        assert_eq!((ledger.used, ledger.day), (0, 20_001));
    }

    #[test]
    fn a_device_without_a_clock_counts_the_hours_that_it_was_on() {
        let mut ledger = at_noon(700);
        for boot in ["b", "c", "d"] {
            ledger.turn(&now(0, false, 3600, boot));
            ledger.turn(&now(0, false, 3 * 3600, boot));
            assert_eq!((ledger.used, ledger.day), (700, 20_000), "{boot}");
        }
        ledger.turn(&now(0, false, 3 * 3600, "e"));
        assert_eq!((ledger.used, ledger.day), (0, 20_001));
        // Then the server says the time, and it was the right day.
        ledger.used = 1;
        ledger.turn(&now(NOON + DAY / 2 + 60, true, 3 * 3600, "e"));
        assert_eq!((ledger.used, ledger.day), (1, 20_001));
    }

    #[test]
    fn a_clock_that_was_ahead_gives_no_bytes_back() {
        let mut ledger = at_noon(700);
        ledger.turn(&now(NOON + 4000 * DAY, true, 200, "a"));
        ledger.used = 300;
        ledger.turn(&now(NOON + 60, true, 300, "a"));
        assert_eq!((ledger.used, ledger.day), (300, 20_000));
        // And the days go on.
        ledger.turn(&now(NOON + DAY, true, 400, "a"));
        assert_eq!(ledger.used, 0);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(limit: u64, day: u64, used: u64, age: u64, uptime: u64) {
            let ledger = Ledger { limit, day, used, age, uptime, boot: "0-1".into() };
            prop_assert_eq!(Ledger::parse(&ledger.write()), Some(ledger));
        }

        #[test]
        fn nothing_in_the_file_makes_it_panic(text: String, seconds: u64, uptime: u64) {
            let mut ledger = Ledger::parse(&text).unwrap_or_default();
            ledger.turn(&now(seconds, seconds % 2 == 0, uptime, "x"));
        }

        #[test]
        fn boots_within_a_day_never_bring_bytes_back(ups in prop::collection::vec(0..2000u64, 1..20)) {
            let mut ledger = at_noon(500);
            for (boot, up) in ups.iter().enumerate() {
                ledger.turn(&now(0, false, *up, &boot.to_string()));
                prop_assert_eq!(ledger.used, 500);
            }
        }
    }
}
