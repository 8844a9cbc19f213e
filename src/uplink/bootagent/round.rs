//! Which server is asked next. Pure.

/// The servers, and where the last exchange went well.
pub struct Round {
    servers: Vec<String>,
    pushed: usize,
    current: usize,
}

impl Round {
    /// Servers that a server has named are tried before the device's own, and replace none: a
    /// wrong list must not leave a device that nobody can reach.
    pub fn new(pushed: Vec<String>, own: &[String]) -> Round {
        let count = pushed.len();
        let mut servers = pushed;
        servers.extend_from_slice(own);
        Round { servers, pushed: count, current: 0 }
    }

    /// All servers, each once, the one that answered last first.
    pub fn order(&self) -> Vec<String> {
        let (before, after) = self.servers.split_at(self.current.min(self.servers.len()));
        after.iter().chain(before).cloned().collect()
    }

    /// The server that is asked first.
    pub fn first(&self) -> &str {
        self.servers.get(self.current).map(String::as_str).unwrap_or_default()
    }

    /// That server answered, and is the first to be asked from now on.
    pub fn answered(&mut self, server: &str) {
        self.current = self.servers.iter().position(|known| known == server).unwrap_or_default();
    }

    /// None answered: the device's own are the first next time.
    pub fn failed(&mut self) {
        self.current = if self.pushed < self.servers.len() { self.pushed } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(pushed: &[&str], own: &[&str]) -> Round {
        let owned = |list: &[&str]| list.iter().map(|&server| server.to_owned()).collect();
        let own: Vec<String> = owned(own);
        Round::new(owned(pushed), &own)
    }

    #[test]
    fn pushed_servers_come_first_and_the_one_that_answers_stays() {
        let mut round = round(&["p"], &["a", "b"]);
        assert_eq!(round.order(), ["p", "a", "b"]);
        round.answered("a");
        assert_eq!(round.order(), ["a", "b", "p"]);
        assert_eq!(round.first(), "a");
    }

    #[test]
    fn after_a_round_without_an_answer_the_devices_own_are_first() {
        let mut both = round(&["p", "q"], &["a"]);
        both.failed();
        assert_eq!(both.order(), ["a", "p", "q"]);
        let mut own = round(&[], &["a", "b"]);
        own.answered("b");
        own.failed();
        assert_eq!(own.order(), ["a", "b"]);
        let mut pushed = round(&["p"], &[]);
        pushed.failed();
        assert_eq!(pushed.order(), ["p"]);
        assert_eq!(round(&[], &[]).first(), "");
    }
}
