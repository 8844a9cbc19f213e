//! Rate control: how many nodes run a command at a time, and after how many errors it stops.

use super::Tally;

/// What rate control wants done with the invocations that are not released yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// Release so many, perhaps none.
    Release(i64),
    /// Too many errors: release nothing any more.
    Stop,
}

/// Decides. `overdue` is how many of the running invocations are past their time: the script has
/// been killed by then, whatever the node says later, so they hold no place.
pub fn decide(tally: &Tally, overdue: i64, max_concurrency: &str, max_errors: &str) -> Decision {
    if tally.unreleased == 0 {
        return Decision::Release(0);
    }
    if tally.errors() > errors_allowed(max_errors, tally.total()) {
        return Decision::Stop;
    }
    let busy = tally.waiting + tally.running - overdue;
    let free = places(max_concurrency, tally.total()) - busy;
    Decision::Release(free.clamp(0, tally.unreleased))
}

/// How many errors a command may have without failing: a number, or a share of the nodes,
/// rounded down (10% of 50 nodes: the sixth error is one too many; AWS's documentation).
pub fn errors_allowed(max_errors: &str, total: i64) -> i64 {
    share(max_errors, total, 0)
}

/// How many nodes may run the command at a time: a number, or a share of the nodes, rounded up
/// so that it is never none.
fn places(max_concurrency: &str, total: i64) -> i64 {
    share(max_concurrency, total, 99).max(1)
}

/// `text` of `total`; `rounding` hundredths are added before a percentage is cut to a whole. The
/// model's pattern has been checked; what is no number after all counts as 0.
fn share(text: &str, total: i64, rounding: i64) -> i64 {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: i64 = percent.parse().unwrap_or(0);
            total.saturating_mul(percent).saturating_add(rounding) / 100
        }
        None => text.parse().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_rounded_to_the_careful_side() {
        for (text, total, at_a_time, errors) in [
            ("10", 50, 10, 10),
            ("10%", 50, 5, 5),
            ("10%", 5, 1, 0),
            ("50%", 3, 2, 1),
            ("100%", 7, 7, 7),
            ("1", 0, 1, 1),
            ("1%", 0, 1, 0),
        ] {
            assert_eq!(places(text, total), at_a_time, "{text} of {total}");
            assert_eq!(errors_allowed(text, total), errors, "{text} of {total}");
        }
    }

    #[test]
    fn places_are_filled_until_too_many_errors() {
        let tally = |unreleased, waiting, running, failed| Tally {
            unreleased,
            waiting,
            running,
            failed,
            ..Tally::default()
        };
        for (tally, overdue, concurrency, errors, expected) in [
            (tally(10, 0, 0, 0), 0, "3", "0", Decision::Release(3)),
            (tally(2, 0, 0, 0), 0, "3", "0", Decision::Release(2)),
            (tally(7, 1, 2, 0), 0, "3", "0", Decision::Release(0)),
            (tally(7, 1, 2, 0), 2, "3", "0", Decision::Release(2)),
            (tally(7, 0, 2, 1), 0, "3", "0", Decision::Stop),
            (tally(7, 0, 2, 1), 0, "3", "1", Decision::Release(1)),
            (tally(7, 0, 1, 2), 0, "3", "19%", Decision::Stop),
            (tally(7, 0, 0, 3), 0, "50%", "30%", Decision::Release(5)),
            (tally(0, 0, 0, 3), 0, "3", "0", Decision::Release(0)),
            (tally(5, 6, 0, 0), 0, "3", "0", Decision::Release(0)),
        ] {
            assert_eq!(decide(&tally, overdue, concurrency, errors), expected, "{tally:?}");
        }
    }

    proptest! {
        #[test]
        fn never_more_run_at_a_time_than_allowed(
            unreleased in 0i64..500, waiting in 0i64..50, running in 0i64..50,
            number in 1i64..100, percent: bool,
        ) {
            let tally = Tally { unreleased, waiting, running, ..Tally::default() };
            let text = if percent { format!("{number}%") } else { number.to_string() };
            let Decision::Release(n) = decide(&tally, 0, &text, "0") else {
                panic!("no errors, no stop")
            };
            let most = places(&text, tally.total());
            prop_assert!(n >= 0 && n <= unreleased);
            prop_assert!(n == 0 || waiting + running + n <= most);
        }
    }
}
