//! The words of nodes for how far a step is, in the words of the API.

/// A step's status as nodes report it, in the words that CommandPlugin has.
pub fn of_step(reported: &str) -> &'static str {
    match reported {
        "Success" | "Skipped" | "TestPass" => "Success",
        "Failed" | "TestFailure" => "Failed",
        "TimedOut" => "TimedOut",
        "Cancelled" => "Cancelled",
        "NotStarted" => "Pending",
        // InProgress, and the two that wait for a reboot.
        _ => "InProgress",
    }
}

/// StatusDetails of a step: TimedOut has two meanings, and a step that ran has the second.
pub fn details_of_step(status: &'static str) -> &'static str {
    if status == "TimedOut" { "ExecutionTimedOut" } else { status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::reply::Status;

    #[test]
    fn every_status_a_node_can_report_has_a_word_for_operators() {
        for (reported, expected) in [
            (Status::InProgress, "InProgress"),
            (Status::Success, "Success"),
            (Status::SuccessAndReboot, "InProgress"),
            (Status::Failed, "Failed"),
            (Status::TimedOut, "TimedOut"),
            (Status::Cancelled, "Cancelled"),
            (Status::Skipped, "Success"),
        ] {
            assert_eq!(of_step(reported.as_str()), expected);
        }
    }
}
