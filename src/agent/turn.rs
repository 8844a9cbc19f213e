//! How the jobs that have been started stand to each other.

/// How one of them stands to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It runs beside others.
    Beside,
    /// It runs, and wants to be the only one.
    Alone,
    /// It goes on after a reboot, before which nothing else is started.
    AwaitsReboot,
    /// It would have gone on after a reboot, which failed for this reason.
    GivenUp(String),
}

impl Turn {
    /// Whether a worker is at it.
    pub fn is_running(&self) -> bool {
        matches!(self, Turn::Beside | Turn::Alone)
    }
}

/// The jobs that have been started and are not over, by id. They are as few as the device has
/// workers, so a list is searched from its beginning.
#[derive(Debug, Default)]
pub struct Turns {
    jobs: Vec<(String, Turn)>,
    /// The device has been told to reboot.
    going_down: bool,
}

impl Turns {
    /// Notes how a job stands; a new one is added.
    pub fn set(&mut self, id: &str, turn: Turn) {
        match self.jobs.iter_mut().find(|(known, _)| known == id) {
            Some((_, old)) => *old = turn,
            None => self.jobs.push((id.to_owned(), turn)),
        }
    }

    /// How a job stands; `None` if it hasn't been started or is over.
    pub fn of(&self, id: &str) -> Option<&Turn> {
        self.jobs.iter().find(|(known, _)| known == id).map(|(_, turn)| turn)
    }

    /// A job is over.
    pub fn remove(&mut self, id: &str) {
        self.jobs.retain(|(known, _)| known != id);
    }

    /// How all of them stand.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Turn> {
        self.jobs.iter().map(|(_, turn)| turn)
    }

    /// Whether a job may be started beside them on a device that takes so many at once.
    pub fn let_in(&self, alone: bool, most: usize) -> bool {
        let together = self.jobs.len() < most && self.all().all(|turn| *turn == Turn::Beside);
        !self.going_down && (self.jobs.is_empty() || together && !alone)
    }

    /// From now on nothing is started, even if nobody awaits the reboot any more.
    pub fn go_down(&mut self) {
        self.going_down = true;
    }

    /// Those that await a reboot are given up for this reason.
    pub fn give_up_reboot(&mut self, reason: &str) {
        self.going_down = false;
        for (_, turn) in &mut self.jobs {
            if *turn == Turn::AwaitsReboot {
                *turn = Turn::GivenUp(reason.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_let_in_if_there_is_room_and_nobody_wants_to_be_alone() {
        let mut turns = Turns::default();
        assert!(turns.let_in(true, 1));
        turns.set("a", Turn::Beside);
        assert!(turns.let_in(false, 2) && !turns.let_in(true, 2) && !turns.let_in(false, 1));
        turns.set("a", Turn::Alone);
        assert!(!turns.let_in(false, 2));
        turns.set("a", Turn::AwaitsReboot);
        assert!(!turns.let_in(false, 2));
        turns.go_down();
        turns.remove("b");
        turns.give_up_reboot("why");
        assert_eq!(turns.of("a"), Some(&Turn::GivenUp("why".into())));
        turns.remove("a");
        assert_eq!(turns.all().len(), 0);
        turns.go_down();
        assert!(!turns.let_in(false, 2));
        turns.give_up_reboot("why");
        assert!(turns.let_in(false, 2));
    }
}
