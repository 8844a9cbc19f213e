//! What the supervisor has to tell: events and results, durable until the server has them.

use super::queue::Queue;
use crate::bell::Bell;
use crate::sys::{FileError, clock};
use std::path::Path;
use stint_wire::bootagent::{Event, JobResult};
use stint_wire::text::head;

/// More events than this wait for no server; the oldest are dropped.
const MAX_EVENTS: usize = 500;

/// More results than this wait for no server; the oldest are dropped.
const MAX_RESULTS: usize = 1000;

/// What people are told in one event or result, bytes. Servers have bounds; a package manager's
/// complaints have none.
const MAX_MESSAGE: usize = 4 * 1024;

/// Cuts a message that is too long, and says in it that it is cut.
pub fn bounded(mut message: String) -> String {
    const MARK: &str = " … (cut)";
    if message.len() > MAX_MESSAGE {
        message.truncate(head(&message, MAX_MESSAGE - MARK.len()).len());
        message.push_str(MARK);
    }
    message
}

/// Events and results that haven't been delivered.
pub struct Notes {
    /// What happened.
    pub events: Queue<Event>,
    /// What became of jobs.
    pub results: Queue<JobResult>,
    /// Rings when there is a new one of either.
    pub changed: Bell,
}

impl Notes {
    /// Opens the queues in the supervisor's folder.
    ///
    /// # Errors
    /// A folder can't be made or read.
    pub fn open(folder: &Path) -> Result<Notes, FileError> {
        Ok(Notes {
            events: Queue::open(folder.join("events"), MAX_EVENTS)?,
            results: Queue::open(folder.join("results"), MAX_RESULTS)?,
            changed: Bell::new(),
        })
    }

    /// Notes and logs an event. One that can't be written is in the log at least.
    pub fn event(&self, category: &str, child: &str, extra: &str, message: String) {
        log::warn!("{child}: {message}");
        let message = bounded(message);
        let event = |category: &str, extra: &str, message: String| Event {
            timestamp: clock::system().0 / 1000,
            local_id: 0,
            category: category.to_owned(),
            subject: child.to_owned(),
            extra: extra.to_owned(),
            message,
        };
        match self.events.push(&event(category, extra, message)) {
            Ok(0) => {}
            Ok(count) => self.dropped(count, "events"),
            Err(error) => log::error!("an event is lost: {error}"),
        }
        self.changed.ring();
    }

    /// Notes the result of a job.
    ///
    /// # Errors
    /// It can't be written.
    pub fn result(&self, result: &JobResult) -> Result<(), FileError> {
        let count = self.results.push(result)?;
        if count > 0 {
            self.dropped(count, "results of jobs");
        }
        self.changed.ring();
        Ok(())
    }

    fn dropped(&self, count: usize, what: &str) {
        let message =
            format!("{count} {what} were dropped: the server hasn't been reached for long");
        let event = Event {
            timestamp: clock::system().0 / 1000,
            local_id: 0,
            category: "dropped".to_owned(),
            subject: String::new(),
            extra: count.to_string(),
            message,
        };
        log::warn!("{}", event.message);
        // There is room: some have just been dropped, or the queue isn't this one.
        if let Err(error) = self.events.push(&event) {
            log::error!("an event is lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_two_characters_and_says_so() {
        assert_eq!(bounded("short".into()), "short");
        let whole = "x".repeat(MAX_MESSAGE);
        assert_eq!(bounded(whole.clone()), whole);
        for long in ["x".repeat(MAX_MESSAGE + 1), "é".repeat(MAX_MESSAGE)] {
            let cut = bounded(long.clone());
            assert!(cut.len() <= MAX_MESSAGE && cut.len() > MAX_MESSAGE - 16, "{}", cut.len());
            assert!(long.starts_with(cut.strip_suffix(" … (cut)").unwrap()));
        }
    }
}
