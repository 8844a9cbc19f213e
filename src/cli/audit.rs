//! `stint audit`: shows the audit log, or checks that nothing in it was changed.

use super::{Audit, Exit, complain, print};
use crate::audit::{folder, verify};
use crate::config::{self, DEFAULT_PATH};
use stint_wire::audit::{Fault, Record};
use stint_wire::json::ObjectWriter;

/// Prints the records, or the verdict.
pub fn run(wish: &Audit) -> Exit {
    let fail = |error: String| complain(&format!("stint: {error}"), Exit::Failure);
    let state = match &wish.state_dir {
        Some(state) => state.clone(),
        None => match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
            Ok(loaded) => loaded.config.state_dir,
            Err(error) => return fail(error.to_string()),
        },
    };
    let seen = match verify(&folder(&state)) {
        Ok(seen) => seen,
        Err(error) => return fail(error.to_string()),
    };
    if !wish.verify {
        let skipped = seen.records.len().saturating_sub(wish.last.unwrap_or(usize::MAX));
        for record in seen.records.iter().skip(skipped) {
            print(&if wish.json { json(record) } else { line(record) });
        }
        return Exit::Success;
    }
    for (at, fault) in &seen.faults {
        complain(&format!("line {at} {}", fault.text()), Exit::Failure);
    }
    if seen.records.is_empty() {
        return fail(format!("there is no record in {}", folder(&state).display()));
    }
    print(&format!("records {} to {}", seen.first, seen.last));
    // A line that a power cut has met is a loss, and told; the chain holds on both sides of it.
    let broken = seen.faults.iter().any(|(_, fault)| *fault != Fault::Unreadable);
    print(if broken { "the chain is broken" } else { "the chain holds" });
    if broken { Exit::Failure } else { Exit::Success }
}

fn line(record: &Record) -> String {
    let Record { number, time, event, who, what, .. } = record;
    let lost = match record.lost {
        0 => String::new(),
        lost => format!(" (missing before this one, as they couldn't be written: {lost})"),
    };
    format!("{number} {time} {event} by {who} {what}{lost}")
}

fn json(record: &Record) -> String {
    ObjectWriter::new()
        .raw("number", &record.number.to_string())
        .string("time", &record.time)
        .string("event", &record.event)
        .string("who", &record.who)
        .string("what", &record.what)
        .raw("lost", &record.lost.to_string())
        .finish()
}
