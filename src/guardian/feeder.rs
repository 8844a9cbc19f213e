//! Feeds the board's watchdog as long as there is hope, and lets it bite when there is none.

use crate::agent::modules::Ended;
use crate::reactor::after;
use crate::sys::watchdog::Watchdog;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Meals within the time after which it bites.
const MEALS: u32 = 3;

/// What feeds; a board without a watchdog has nothing to feed. Dropped, which is an end in good order,
/// it leaves a watchdog that is stopped.
pub struct Feeder {
    /// The one to be started, and its time.
    wanted: Option<(PathBuf, Duration)>,
    watchdog: Option<Watchdog>,
    next: Instant,
    /// It was told that there is no hope.
    is_hopeless: bool,
}

impl Feeder {
    /// For the watchdog at `path`, if there is one. It isn't touched before [`Feeder::begin`].
    pub fn new(path: Option<&Path>, timeout: Duration) -> Feeder {
        let wanted = path.map(|path| (path.to_owned(), timeout));
        Feeder { wanted, watchdog: None, next: Instant::now(), is_hopeless: false }
    }

    /// Starts the watchdog, unless that was done. One that somebody else feeds is left to them.
    pub fn begin(&mut self) {
        let Some((path, timeout)) = self.wanted.take() else { return };
        match Watchdog::open(&path, timeout) {
            Ok(watchdog) => {
                let seconds = watchdog.timeout().as_secs();
                log::info!(
                    "{} resets this board when it isn't fed for {seconds} s",
                    path.display()
                );
                self.watchdog = Some(watchdog);
            }
            Err(error) => log::warn!("the watchdog {} can't be had: {error}", path.display()),
        }
    }

    /// Whether there is one that is still to be started.
    pub fn waits(&self) -> bool {
        self.wanted.is_some()
    }

    /// Feeds if it is time, and there is hope. True when hope has come or gone.
    pub fn turn(&mut self, now: Instant, is_hopeful: bool) -> bool {
        let Some(watchdog) = &mut self.watchdog else { return false };
        let is_turned = is_hopeful == self.is_hopeless;
        if is_turned {
            self.is_hopeless = !is_hopeful;
            match is_hopeful {
                true => log::info!("the watchdog is fed again"),
                false => log::error!("nothing helps; the watchdog isn't fed any more"),
            }
        }
        if now < self.next {
            return is_turned;
        }
        self.next = now + watchdog.timeout() / MEALS;
        if is_hopeful && let Err(error) = watchdog.feed() {
            log::error!("the watchdog can't be fed: {error}");
        }
        is_turned
    }

    /// How long until the next meal.
    pub fn due(&self, now: Instant) -> Option<Duration> {
        self.watchdog.as_ref().map(|_| self.next.saturating_duration_since(now))
    }
}

/// The daemon's own work where there is no guardian: a loop that hangs doesn't feed.
pub async fn run(path: PathBuf, timeout: Duration) -> Ended {
    let mut feeder = Feeder::new(Some(&path), timeout);
    feeder.begin();
    loop {
        let now = Instant::now();
        feeder.turn(now, true);
        let Some(due) = feeder.due(now) else { return Ok(()) };
        after(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn it_is_fed_three_times_in_its_time_while_there_is_hope_and_stopped_at_the_end() {
        let folder = Folder::new();
        let path = folder.path().join("watchdog");
        std::fs::write(&path, "").unwrap();
        let mut feeder = Feeder::new(Some(&path), Duration::from_secs(30));
        let eaten = || std::fs::read_to_string(&path).unwrap();
        assert!(!feeder.turn(Instant::now(), true) && feeder.due(Instant::now()).is_none());
        assert_eq!(eaten(), "");
        feeder.begin();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for second in 0..30 {
            assert!(!feeder.turn(at(second + 1), true));
        }
        assert_eq!(eaten(), "...");
        for second in 30..90 {
            assert_eq!(feeder.turn(at(second + 1), false), second == 30);
        }
        assert_eq!(eaten(), "...");
        assert!(feeder.turn(at(100), true));
        assert_eq!(eaten(), "....");
        assert_eq!(feeder.due(at(105)), Some(Duration::from_secs(5)));
        drop(feeder);
        assert_eq!(eaten(), "....V");
    }

    #[test]
    fn a_board_without_a_watchdog_goes_on() {
        for path in [None, Some(Path::new("/nonexistent/watchdog"))] {
            let mut feeder = Feeder::new(path, Duration::from_secs(30));
            let now = Instant::now();
            feeder.begin();
            assert!(!feeder.turn(now, true) && !feeder.turn(now, false));
            assert_eq!(feeder.due(now), None);
            drop(feeder);
        }
    }
}
