//! The text of a job's journal: a line for each worker, each step before it is started, and each
//! script. Pure.

use crate::sys::process::Identity;

/// What the journal tells of earlier workers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// How many workers have been at it.
    pub runs: usize,
    /// The last of them, dead or alive.
    pub worker: Option<Identity>,
    /// The last step that was started: its number, and how many reboots had been asked for then.
    pub step: Option<(usize, u32)>,
    /// The leader of the process group of the last script, to be ended if its worker was killed.
    pub script: Option<Identity>,
    /// A line can't be read, so that more may have happened than can be told.
    pub damaged: bool,
}

/// Lines cut short are expected: of a worker's or a script's nothing depends on the rest. Anything
/// else that can't be read may have been a step.
pub fn parse(text: &str) -> Journal {
    let mut journal = Journal::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        match words.next().unwrap_or_default() {
            "run" => {
                journal.runs += 1;
                journal.worker = identity(words);
            }
            "script" => journal.script = identity(words),
            word if "run".starts_with(word) || word != "s" && "script".starts_with(word) => {}
            _ => match step(line) {
                Some(step) => journal.step = Some(step),
                None => journal.damaged = true,
            },
        }
    }
    journal
}

/// A whole line about a step: its number, and the reboots before it.
fn step(line: &str) -> Option<(usize, u32)> {
    let (number, reboots) = line.strip_prefix("step ")?.strip_suffix('.')?.split_once(' ')?;
    Some((number.parse().ok()?, reboots.parse().ok()?))
}

/// A process id and its start.
fn identity<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Identity> {
    Some(Identity { pid: words.next()?.parse().ok()?, started: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_of_each_kind_counts_and_workers_are_counted() {
        let text = "\nrun 1 2\n\nstep 0 0.\n\nscript 5 6\n\nrun 3 4\n\nstep 2 1.\n";
        let journal = Journal {
            runs: 2,
            worker: Some(Identity { pid: 3, started: 4 }),
            step: Some((2, 1)),
            script: Some(Identity { pid: 5, started: 6 }),
            damaged: false,
        };
        assert_eq!(parse(text), journal);
    }

    proptest! {
        #[test]
        fn no_journal_makes_the_parser_panic(text: String) {
            let _ = parse(&text);
        }

        #[test]
        fn a_journal_cut_anywhere_never_tells_of_more_than_it_did(length in 0usize..48) {
            let whole = "\nrun 1 2\n\nstep 0 0.\n\nscript 5 6\n\nstep 12 0.\n";
            let cut = parse(whole.get(..length).unwrap_or(whole));
            prop_assert!(cut.step.is_none_or(|step| step == (0, 0) || step == (12, 0)));
        }
    }
}
