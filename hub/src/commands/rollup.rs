//! A command's status, from those of its invocations (AWS's "Understanding command statuses").

use super::Tally;
use super::rate::errors_allowed;

/// A command's status in the model's few words, and in detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// CommandStatus of the model.
    pub status: &'static str,
    /// StatusDetails.
    pub details: &'static str,
}

impl State {
    const fn new(status: &'static str, details: &'static str) -> State {
        State { status, details }
    }

    const fn plain(word: &'static str) -> State {
        State::new(word, word)
    }
}

/// Rolls the invocations up. `cancelling` is whether the operator cancelled the whole command.
pub fn rollup(tally: &Tally, max_errors: &str, cancelling: bool) -> State {
    let (total, completed) = (tally.total(), tally.completed());
    let allowed = errors_allowed(max_errors, total);
    if total == 0 {
        return State::new("Success", "NoInstancesInTag");
    }
    if tally.unfinished() > 0 {
        return match (cancelling, tally.running + completed) {
            (true, _) => State::plain("Cancelling"),
            (_, 0) => State::plain("Pending"),
            _ => State::plain("InProgress"),
        };
    }
    if tally.cancelled > 0 && (cancelling || tally.cancelled == total) {
        return State::plain("Cancelled");
    }
    if tally.errors() > allowed {
        return match tally.failed {
            0 => State::new("TimedOut", "ExecutionTimedOut"),
            _ => State::plain("Failed"),
        };
    }
    if tally.delivery_timed_out > allowed {
        return State::new("TimedOut", "DeliveryTimedOut");
    }
    // Undeliverable invocations "don't contribute", unless there is nothing else.
    if tally.success > 0 && tally.success + tally.undeliverable == total {
        return State::plain("Success");
    }
    State::new("Failed", "Incomplete")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::is_finished;

    #[test]
    fn a_command_is_what_its_invocations_are() {
        let t = Tally::default;
        for (tally, max_errors, cancelling, status, details) in [
            (t(), "0", false, "Success", "NoInstancesInTag"),
            (Tally { waiting: 2, unreleased: 1, ..t() }, "0", false, "Pending", "Pending"),
            (Tally { waiting: 1, running: 1, ..t() }, "0", false, "InProgress", "InProgress"),
            (Tally { unreleased: 1, success: 1, ..t() }, "0", false, "InProgress", "InProgress"),
            (Tally { running: 1, cancelled: 3, ..t() }, "0", true, "Cancelling", "Cancelling"),
            (Tally { success: 3, ..t() }, "0", false, "Success", "Success"),
            // The cancellation came too late.
            (Tally { success: 3, ..t() }, "0", true, "Success", "Success"),
            (Tally { success: 1, cancelled: 2, ..t() }, "0", true, "Cancelled", "Cancelled"),
            (Tally { cancelled: 2, ..t() }, "0", false, "Cancelled", "Cancelled"),
            // Only some nodes were cancelled.
            (Tally { success: 1, cancelled: 2, ..t() }, "0", false, "Failed", "Incomplete"),
            (Tally { failed: 1, ..t() }, "0", false, "Failed", "Failed"),
            (Tally { failed: 1, terminated: 4, ..t() }, "0", false, "Failed", "Failed"),
            (Tally { success: 4, failed: 1, ..t() }, "1", false, "Failed", "Incomplete"),
            (Tally { success: 4, failed: 1, ..t() }, "20%", false, "Failed", "Incomplete"),
            (Tally { success: 5, failed: 2, ..t() }, "20%", false, "Failed", "Failed"),
            (Tally { execution_timed_out: 1, ..t() }, "0", false, "TimedOut", "ExecutionTimedOut"),
            (Tally { execution_timed_out: 1, failed: 1, ..t() }, "0", false, "Failed", "Failed"),
            (Tally { delivery_timed_out: 1, ..t() }, "0", false, "TimedOut", "DeliveryTimedOut"),
            (
                Tally { success: 1, delivery_timed_out: 1, ..t() },
                "1",
                false,
                "Failed",
                "Incomplete",
            ),
            (Tally { success: 1, undeliverable: 1, ..t() }, "0", false, "Success", "Success"),
            (Tally { undeliverable: 1, ..t() }, "0", false, "Failed", "Incomplete"),
            (Tally { success: 1, invalid_platform: 1, ..t() }, "0", false, "Failed", "Incomplete"),
        ] {
            let state = rollup(&tally, max_errors, cancelling);
            assert_eq!((state.status, state.details), (status, details), "{tally:?}");
            assert_eq!(is_finished(state.status), tally.unfinished() == 0, "{tally:?}");
        }
    }
}
