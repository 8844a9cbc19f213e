//! The words for how far an invocation is.

/// The statuses from which an invocation or a command can still move, as SQL.
macro_rules! unfinished {
    () => {
        "('Pending', 'Delayed', 'InProgress', 'Cancelling')"
    };
}
pub(crate) use unfinished;

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
