//! The words for how far an invocation is.

/// The statuses from which an invocation or a command can still move, as SQL.
macro_rules! unfinished {
    () => {
        "('Pending', 'Delayed', 'InProgress', 'Cancelling')"
    };
}
pub(crate) use unfinished;

/// How long an invocation waits for its node, seconds, as SQL over a command `c` and the node's row
/// `b` of `boot_agent`, if it has one. A node of the BootAgent protocol asks once in a step, so it
/// gets two of them at least.
macro_rules! delivery_seconds {
    () => {
        "(CASE WHEN b.only_this = 1 AND c.timeout_seconds < 2 * b.step THEN 2 * b.step
          ELSE c.timeout_seconds END)"
    };
}
pub(crate) use delivery_seconds;

/// Whether an invocation or command of this status has ended.
pub fn is_finished(status: &str) -> bool {
    !matches!(status, "Pending" | "Delayed" | "InProgress" | "Cancelling")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unfinished_statuses_are_the_same_in_sql_and_here() {
        for status in ["Pending", "Delayed", "InProgress", "Cancelling"] {
            assert!(!is_finished(status) && unfinished!().contains(&format!("'{status}'")));
        }
        for status in ["Success", "Failed", "TimedOut", "Cancelled"] {
            assert!(is_finished(status) && !unfinished!().contains(status));
        }
    }
}
