//! What a reply means for an invocation: pure decisions.

use stint_wire::reply::Status;

/// What the invocation becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node has it and goes on.
    Running,
    /// It has ended; `Status` and `StatusDetails` as the API spells them.
    Ended(&'static str, &'static str),
}

/// Judges the `documentStatus` of a reply. A document that asks for a reboot goes on after it,
/// and a word that is unknown here is no end either.
pub fn of_document(word: &str) -> Verdict {
    match Status::parse(word) {
        Some(Status::Success | Status::Skipped) => Verdict::Ended("Success", "Success"),
        Some(Status::Failed) => Verdict::Ended("Failed", "Failed"),
        Some(Status::TimedOut) => Verdict::Ended("TimedOut", "ExecutionTimedOut"),
        Some(Status::Cancelled) => Verdict::Ended("Cancelled", "Cancelled"),
        Some(Status::InProgress | Status::SuccessAndReboot) | None => Verdict::Running,
    }
}

/// Whether a step's new status replaces the one on record: replies overtake each other, and what
/// has ended does not begin again.
pub fn replaces(new: &str, recorded: Option<&str>) -> bool {
    let ended = |word: &str| !matches!(word, "InProgress" | "NotStarted" | "Pending");
    recorded.is_none_or(|recorded| ended(new) || !ended(recorded))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::is_finished;

    #[test]
    fn a_document_ends_with_the_words_of_the_api() {
        for (word, verdict) in [
            ("Success", Verdict::Ended("Success", "Success")),
            ("Failed", Verdict::Ended("Failed", "Failed")),
            ("TimedOut", Verdict::Ended("TimedOut", "ExecutionTimedOut")),
            ("Cancelled", Verdict::Ended("Cancelled", "Cancelled")),
            ("InProgress", Verdict::Running),
            ("SuccessAndReboot", Verdict::Running),
            ("NewWord", Verdict::Running),
        ] {
            assert_eq!(of_document(word), verdict, "{word}");
            if let Verdict::Ended(status, _) = verdict {
                assert!(is_finished(status));
            }
        }
    }

    #[test]
    fn a_step_that_has_ended_does_not_begin_again() {
        assert!(replaces("InProgress", None) && replaces("Success", Some("InProgress")));
        assert!(replaces("Failed", Some("Success")));
        assert!(!replaces("InProgress", Some("Success")));
    }
}
