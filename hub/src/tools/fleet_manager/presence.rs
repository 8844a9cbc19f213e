//! Whether a node is Online or its connection is lost.

use stint_wire::time::Utc;

/// How often a node says that it is there (the agents' default, and the longest they allow).
const PING_INTERVAL_MS: u64 = 5 * 60_000;

/// How much later than its step a node of the BootAgent protocol may report, in percent: it
/// spreads its reports.
const STEP_JITTER_PERCENT: u64 = 10;

/// How many pings may be missed: one can get lost on any link.
const MISSED_PINGS: u64 = 2;

/// How late a ping may be: jitter, and a slow request.
const SLACK_MS: u64 = 30_000;

/// PingStatus: Online while the node waits for work, or has pinged lately. `Inactive` is
/// deprecated by AWS and never used. `step` is the time in seconds between two reports of a node
/// that does nothing but report.
pub fn ping_status(
    last_ping: Option<Utc>,
    step: Option<i64>,
    is_polling: bool,
    now: Utc,
) -> &'static str {
    let interval = match step {
        Some(step) => step.unsigned_abs().saturating_mul(1000) * (100 + STEP_JITTER_PERCENT) / 100,
        None => PING_INTERVAL_MS,
    };
    let life = MISSED_PINGS * interval + SLACK_MS;
    let fresh = last_ping.is_some_and(|at| now.0.saturating_sub(at.0) <= life);
    if is_polling || fresh { "Online" } else { "ConnectionLost" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_online_while_it_polls_or_pings() {
        let now = Utc(10_000_000);
        for (last_ping, is_polling, expected) in [
            (Some(now), false, "Online"),
            (Some(Utc(now.0 + 5000)), false, "Online"),
            (Some(Utc(now.0 - 630_000)), false, "Online"),
            (Some(Utc(now.0 - 630_001)), false, "ConnectionLost"),
            (Some(Utc(0)), true, "Online"),
            (None, false, "ConnectionLost"),
            (None, true, "Online"),
        ] {
            assert_eq!(ping_status(last_ping, None, is_polling, now), expected, "{last_ping:?}");
        }
        for (ago, expected) in [(1_350_000, "Online"), (1_350_001, "ConnectionLost")] {
            assert_eq!(ping_status(Some(Utc(now.0 - ago)), Some(600), false, now), expected);
        }
    }
}
