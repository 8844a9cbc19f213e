//! When the agent looks for a new version by itself.
//!
//! It does so once a day, or in so many days, in the window that the configuration names, by a process of its
//! own: the daemon's memory isn't for downloads.

use crate::config::Update;
use crate::reactor::after;
use crate::sys::command::{Command, Stdio};
use crate::sys::process::{self, Group};
use crate::sys::{clock::since_boot, random};
use crate::uplink::clock::known;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stint_wire::time::Utc;

/// The first look after a start: by then the server has been heard, and the clock set.
const FIRST: Duration = Duration::from_secs(30);

/// Between two looks at the clock. A fleet is spread over as long.
const LOOK: Duration = Duration::from_secs(10 * 60);

/// Between two looks whether the process has ended.
const GLANCE: Duration = Duration::from_secs(2);

const DAY: u64 = 24 * 60;

/// When, and by which command.
#[derive(Clone, Debug)]
pub struct Schedule {
    days: [bool; 7],
    window: (u32, u32),
    every: u64,
    words: Vec<OsString>,
}

impl Schedule {
    /// As the configuration says, which is in the file `config`; `None`: never.
    pub fn new(update: &Update, config: &Option<PathBuf>, state: &Path) -> Option<Schedule> {
        let mut words: Vec<OsString> = vec!["update".into(), "--automatic".into()];
        words.extend(["--state-dir".into(), state.into()]);
        if let Some(config) = config {
            words.extend(["--config".into(), config.into()]);
        }
        let Update { automatic, days, window, every, .. } = update.clone();
        automatic.then_some(Schedule { days, window, every, words })
    }

    /// Whether it is due: `done` is the day, since 1970, of the last look that went well. A clock that was set back
    /// doesn't put it off.
    fn is_due(&self, done: Option<u64>, day: u64) -> bool {
        done.is_none_or(|done| day < done || day - done >= self.every)
    }

    /// The number of the day, if this is a time to look. A time that nobody knows is in no window; where all of the week is
    /// one, the days since the boot will do.
    fn day(&self, time: Option<Utc>, since_boot: Duration) -> Option<u64> {
        let is_always = self.days == [true; 7] && self.window.0 == self.window.1;
        let seconds = match time {
            Some(now) => self.is_open(now).then(|| now.secs()),
            None => is_always.then_some(since_boot.as_secs()),
        };
        seconds.map(|seconds| seconds / 60 / DAY)
    }

    /// Whether this is a time for it. Two equal times of day are the whole day; a window that ends
    /// before it begins ends on the next day.
    fn is_open(&self, now: Utc) -> bool {
        let minutes = now.secs() / 60;
        let (day, minute) = (minutes / DAY, (minutes % DAY) as u32);
        let (from, to) = self.window;
        let (open, began) = match from < to {
            true => (from <= minute && minute < to, day),
            false if minute < to => (true, day.saturating_sub(u64::from(from > 0))),
            false => (minute >= from, day),
        };
        // The first of January 1970 was a Thursday.
        let weekday = (began + 4) % 7;
        open && self.days.get(weekday as usize).copied().unwrap_or_default()
    }
}

/// Looks for ever.
pub async fn run(schedule: Schedule) -> Result<(), String> {
    let mut done = None;
    let mut wait = FIRST;
    loop {
        after(wait).await;
        wait = LOOK.mul_f64(0.5 + random::fraction());
        let (time, is_known) = known();
        let day = schedule.day(is_known.then_some(time), since_boot());
        #[cfg(feature = "ssm")]
        if crate::uplink::budget::pressure() >= crate::uplink::budget::Pressure::Saving {
            continue;
        }
        if let Some(day) = day.filter(|day| schedule.is_due(done, *day)) {
            let has_looked = look(&schedule.words).await;
            // One that failed, most often for want of a network, is made up for.
            done = Some(day).filter(|_| has_looked).or(done);
        }
    }
}

async fn look(words: &[OsString]) -> bool {
    let mut command = Command::new("/proc/self/exe");
    command.args(words).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let child = process::isolate(&mut command, Group::Session).spawn();
    match child {
        Ok(mut child) => loop {
            match child.try_wait() {
                Ok(None) => {}
                ended => return matches!(ended, Ok(Some(status)) if status.success()),
            }
            after(GLANCE).await;
        },
        Err(error) => log::error!("the look for a new version can't be started: {error}"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Saturday, 3 January 1970, so many minutes after midnight.
    fn saturday(minutes: u64) -> Utc {
        Utc::from_secs((2 * DAY + minutes) * 60)
    }

    fn schedule(days: [bool; 7], window: (u32, u32)) -> Schedule {
        Schedule { days, window, every: 1, words: Vec::new() }
    }

    #[test]
    fn the_window_is_open_on_its_days_and_from_its_first_minute_to_before_its_last() {
        let mut days = [false; 7];
        days[6] = true;
        let night = schedule(days, (120, 240));
        for (minutes, open) in [(119, false), (120, true), (239, true), (240, false)] {
            assert_eq!(night.is_open(saturday(minutes)), open, "{minutes}");
        }
        assert!(!night.is_open(saturday(120 + DAY)));
        assert!(schedule([true; 7], (0, 0)).is_open(saturday(5)));
    }

    #[test]
    fn it_is_due_once_in_its_days_and_after_a_clock_was_set_back() {
        for (every, due) in [(1, 101), (7, 107)] {
            let schedule = Schedule { every, ..schedule([true; 7], (0, 0)) };
            assert!(schedule.is_due(None, 100) && !schedule.is_due(Some(100), 100));
            assert!(!schedule.is_due(Some(100), due - 1) && schedule.is_due(Some(100), due));
            assert!(schedule.is_due(Some(100), 99));
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let mut days = [false; 7];
        days[6] = true;
        let late = schedule(days, (22 * 60, 2 * 60));
        for (minutes, open) in [
            (60, false),
            (21 * 60, false),
            (23 * 60, true),
            (DAY + 60, true),
            (DAY + 2 * 60, false),
            (DAY + 23 * 60, false),
        ] {
            assert_eq!(late.is_open(saturday(minutes)), open, "{minutes}");
        }
    }

    #[test]
    fn a_time_that_nobody_knows_is_in_no_window() {
        let (since_boot, saturday) = (Duration::from_secs(DAY * 60 + 3600), saturday(150));
        let mut days = [true; 7];
        assert_eq!(schedule(days, (120, 240)).day(Some(saturday), since_boot), Some(2));
        assert_eq!(schedule(days, (120, 240)).day(None, since_boot), None);
        assert_eq!(schedule(days, (0, 0)).day(None, since_boot), Some(1));
        days[0] = false;
        assert_eq!(schedule(days, (0, 0)).day(None, since_boot), None);
        assert_eq!(schedule(days, (0, 0)).day(Some(saturday), since_boot), Some(2));
    }
}
