//! Which of several servers is asked: the first, until it can't be reached or is of no use; then the next that
//! is. Pure.

use std::time::{Duration, Instant};

/// After so long on another server the first is tried again. If it is still gone, that costs one failed
/// call.
const RETURN: Duration = Duration::from_secs(600);

/// After so many answers in a row by which a proxy says that its server is gone, that server counts as gone;
/// so it does after so many channels in a row that weren't opened there, or died young.
const TRIES: u32 = 3;

/// The servers of one node, which all know it.
pub struct Ways {
    servers: Vec<String>,
    current: usize,
    left: Option<Instant>,
    /// Answers of no use in a row.
    useless: u32,
    /// Channels in a row of which nothing came, wherever.
    mute: u32,
}

impl Ways {
    /// In the order in which they are tried; there is at least one.
    pub fn new(servers: Vec<String>) -> Ways {
        Ways { servers, current: 0, left: None, useless: 0, mute: 0 }
    }

    /// All of them.
    pub fn all(&self) -> &[String] {
        &self.servers
    }

    /// The one that is preferred.
    pub fn first(&self) -> &str {
        self.servers.first().map(String::as_str).unwrap_or_default()
    }

    /// The server that was asked last.
    pub fn current(&self) -> &str {
        self.servers.get(self.current).map(String::as_str).unwrap_or_default()
    }

    /// The server to ask now.
    pub fn pick(&mut self, now: Instant) -> String {
        if self.left.is_some_and(|left| now.duration_since(left) >= RETURN) {
            (self.current, self.left) = (0, None);
            // It has to show that it is back.
            self.useless = TRIES - 1;
        }
        self.current().to_owned()
    }

    /// That one has answered, with this status of HTTP.
    pub fn answered(&mut self, server: &str, status: u16, now: Instant) {
        if !self.is_current(server) {
            return;
        }
        // What proxies say for a server that is gone, busy or late; the server itself while it starts or ends.
        if !(502..=504).contains(&status) {
            self.useless = 0;
            return;
        }
        self.useless += 1;
        if self.useless >= TRIES {
            self.failed(server, now);
        }
    }

    /// A channel there has lived; or it died young, or none could be opened. Where no server has channels, for
    /// example because somebody in between lets none pass, each is left for that once.
    pub fn channel(&mut self, server: &str, lived: bool, now: Instant) {
        if lived {
            self.mute = 0;
        } else if self.is_current(server) && (self.mute / TRIES) < self.servers.len() as u32 {
            self.mute += 1;
            if self.mute.is_multiple_of(TRIES) {
                self.failed(server, now);
            }
        }
    }

    /// What another thread has left already is none of ours.
    fn is_current(&self, server: &str) -> bool {
        self.servers.get(self.current).is_some_and(|it| it == server)
    }

    /// That one couldn't be reached, or is of no use.
    pub fn failed(&mut self, server: &str, now: Instant) {
        if self.servers.len() < 2 || !self.is_current(server) {
            return;
        }
        self.useless = 0;
        self.current = (self.current + 1) % self.servers.len();
        self.left = Some(now).filter(|_| self.current != 0);
        log::warn!("{server} is of no use now; {} is next", self.current());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_server_is_asked_until_it_is_time_to_return_to_the_first() {
        let mut ways = Ways::new(vec!["a".into(), "b".into(), "c".into()]);
        let start = Instant::now();
        assert_eq!(ways.pick(start), "a");
        ways.failed("a", start);
        // The other thread's call, which was under way.
        ways.failed("a", start);
        assert_eq!((ways.pick(start).as_str(), ways.current()), ("b", "b"));
        assert_eq!(ways.pick(start + RETURN - Duration::from_secs(1)), "b");
        assert_eq!(ways.pick(start + RETURN), "a");
        for server in ["a", "b", "c"] {
            ways.failed(server, start);
        }
        assert_eq!(ways.pick(start), "a");
    }

    fn two() -> (Ways, Instant) {
        (Ways::new(vec!["a".into(), "b".into()]), Instant::now())
    }

    #[test]
    fn a_server_behind_a_proxy_that_says_it_is_gone_is_left_after_three_answers_in_a_row() {
        let (mut ways, now) = two();
        for status in [503, 502, 200, 504, 503, 500, 502, 502] {
            ways.answered("a", status, now);
            assert_eq!(ways.pick(now), "a", "{status}");
        }
        ways.answered("a", 504, now);
        assert_eq!(ways.pick(now), "b");
        // Asked again after a time, one such answer is enough; one good answer, and it takes three again.
        assert_eq!(ways.pick(now + RETURN), "a");
        ways.answered("a", 503, now);
        assert_eq!(ways.pick(now), "b");
        assert_eq!(ways.pick(now + RETURN), "a");
        for status in [200, 503, 503] {
            ways.answered("a", status, now);
        }
        assert_eq!(ways.pick(now), "a");
    }

    #[test]
    fn a_server_that_lets_no_channel_be_opened_is_left_and_each_once_if_none_does() {
        let (mut ways, now) = two();
        let refuse = |ways: &mut Ways, server: &str| {
            for _ in 0..TRIES {
                // Meanwhile everything else is answered.
                ways.answered(server, 200, now);
                ways.channel(server, false, now);
            }
            ways.pick(now)
        };
        assert_eq!(refuse(&mut ways, "a"), "b");
        assert_eq!(refuse(&mut ways, "b"), "a");
        for _ in 0..3 {
            assert_eq!(refuse(&mut ways, "a"), "a");
        }
        ways.channel("a", true, now);
        assert_eq!(refuse(&mut ways, "a"), "b");
    }

    #[test]
    fn a_single_server_is_asked_again_and_again() {
        let mut ways = Ways::new(vec!["a".into()]);
        ways.failed("a", Instant::now());
        assert_eq!(ways.pick(Instant::now() + RETURN), "a");
    }
}
