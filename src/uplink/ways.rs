//! Which of several servers is asked: the first, until it can't be reached; then the next that can.
//! Pure.

use std::time::{Duration, Instant};

/// After so long on another server the first is tried again. If it is still gone, that costs one failed
/// call.
const RETURN: Duration = Duration::from_secs(600);

/// The servers of one node, which all know it.
pub struct Ways {
    servers: Vec<String>,
    current: usize,
    left: Option<Instant>,
}

impl Ways {
    /// In the order in which they are tried; there is at least one.
    pub fn new(servers: Vec<String>) -> Ways {
        Ways { servers, current: 0, left: None }
    }

    /// The one that is preferred.
    pub fn first(&self) -> &str {
        self.servers.first().map(String::as_str).unwrap_or_default()
    }

    /// The server to ask now.
    pub fn pick(&mut self, now: Instant) -> String {
        if self.left.is_some_and(|left| now.duration_since(left) >= RETURN) {
            (self.current, self.left) = (0, None);
        }
        self.servers.get(self.current).cloned().unwrap_or_default()
    }

    /// That one couldn't be reached. What another thread has left already is none of ours.
    pub fn failed(&mut self, server: &str, now: Instant) {
        if self.servers.len() < 2 || self.servers.get(self.current).is_none_or(|it| it != server) {
            return;
        }
        self.current = (self.current + 1) % self.servers.len();
        self.left = Some(now).filter(|_| self.current != 0);
        let next = self.servers.get(self.current).map(String::as_str).unwrap_or_default();
        log::warn!("{server} can't be reached; {next} is next");
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
        assert_eq!(ways.pick(start), "b");
        assert_eq!(ways.pick(start + RETURN - Duration::from_secs(1)), "b");
        assert_eq!(ways.pick(start + RETURN), "a");
        for server in ["a", "b", "c"] {
            ways.failed(server, start);
        }
        assert_eq!(ways.pick(start), "a");
    }

    #[test]
    fn a_single_server_is_asked_again_and_again() {
        let mut ways = Ways::new(vec!["a".into()]);
        ways.failed("a", Instant::now());
        assert_eq!(ways.pick(Instant::now() + RETURN), "a");
    }
}
