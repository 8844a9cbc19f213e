//! Jobs and their outcomes on disk: what has been accepted is never lost and never run twice.
//!
//! `pending/` holds jobs that are durable and may not be acknowledged yet, `current/` a folder
//! for each job that a worker has or had, `completed/` a line about each job that is over, by
//! which a second delivery is recognised, and `corrupt/` what could not be read. The outbox
//! holds what the server has yet to be told.
//!
//! Never here: a server's protocol, and running anything.

pub mod content;
mod corrupt;
mod folder;
#[cfg(fuzzing)]
pub mod fuzz;
mod job;
mod journal;
mod outbox;
mod retention;
mod store;

pub use folder::JobFolder;
pub use job::{Job, Outcome, OutputTo, Reboot, Report, StepOutcome, Uploaded};
pub use outbox::Outbox;
pub use retention::Retention;
pub use store::{Acceptance, Counts, Lost, MAX_JOB, Spool, SpoolError};

use stint_wire::text;

/// Ids longer than this don't become file names.
const MAX_NAME: usize = 80;

/// The file name for a job's id: the id itself where that is safe, else its digest.
fn file_name(id: &str) -> String {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !id.is_empty() && id.len() <= MAX_NAME && id.bytes().all(safe) {
        id.to_owned()
    } else {
        text::sha256_hex(id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_job_id_leaves_its_folder() {
        assert_eq!(file_name("4f7c1d0e-5b2a"), "4f7c1d0e-5b2a");
        for id in ["", "../x", "a/b", "a.b", &"x".repeat(81)] {
            let name = file_name(id);
            assert!(name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        }
    }
}
