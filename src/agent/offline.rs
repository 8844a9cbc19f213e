//! The task that takes documents from the local folder.

use super::Shared;
use super::modules::Ended;
use super::news::{News, SELDOM};
use crate::offline::{Folder, Look, MAX_UNFINISHED, RECEIPT, Taken};
use crate::reactor::after;
use crate::spool::{Acceptance, Outcome, Report, SpoolError};
use crate::sys::FileError;
use crate::{identity, offline};
use std::rc::Rc;
use std::time::Duration;
use stint_wire::reply::Status;

/// Between two looks while there is a file, or where nobody tells of one. The original's.
const LOOK: Duration = Duration::from_secs(2);

/// The pause after one that failed: what ails a folder or a disk takes a person to mend.
const AGAIN: Duration = Duration::from_secs(60);

/// Takes documents for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut look = Look::default();
    let mut told = String::new();
    // What an earlier daemon took and didn't come to accept.
    let mut unaccepted = true;
    loop {
        let news = News::of(shared.offline.path());
        match turn(&shared, &mut look, &mut told, &mut unaccepted) {
            Ok(()) if look.has_seen() || unaccepted => after(LOOK).await,
            Ok(()) => news.wait(LOOK, SELDOM).await,
            Err(problem) => {
                log::error!("no document is taken from the local folder: {problem}");
                after(AGAIN).await;
            }
        }
    }
}

fn turn(
    shared: &Shared,
    look: &mut Look,
    told: &mut String,
    unaccepted: &mut bool,
) -> Result<(), String> {
    let folder = &shared.offline;
    let words = |error: FileError| error.to_string();
    // Looked at before anything in it is made, removed or read.
    folder.check(false)?;
    folder.open().map_err(words)?;
    let names = look.at(folder.path(), &offline::is_document);
    if !names.is_empty() {
        let unfinished = folder.unfinished().map_err(words)?.len();
        let room = MAX_UNFINISHED.saturating_sub(unfinished);
        *unaccepted |= take(folder, &names, room, told);
    }
    if *unaccepted {
        *unaccepted = !accept(shared)?;
    }
    Ok(())
}

/// Takes so many of the files at most; whether there was a document. One that can't be taken now keeps no other
/// from it. That is said once: `told` is what was said of the files before.
fn take(folder: &Folder, names: &[String], mut room: usize, told: &mut String) -> bool {
    let (mut any, mut failed) = (false, String::new());
    for name in names {
        if room == 0 {
            // The others stay where they are until some of these are over.
            break;
        }
        match folder.take(name) {
            Ok(Taken::Submitted(id)) => {
                log::info!("{name} from the local folder is document {id}");
                any = true;
                room -= 1;
            }
            Ok(Taken::Invalid(reason)) => {
                log::warn!("{name} from the local folder is no document: {reason}");
            }
            Err(error) => {
                failed.push_str("; ");
                failed.push_str(&error.to_string());
            }
        }
    }
    if *told != failed {
        *told = failed;
        if !told.is_empty() {
            log::error!("not everything is taken from the local folder{told}");
        }
    }
    any
}

/// Accepts what was submitted; whether all of it is accepted now.
fn accept(shared: &Shared) -> Result<bool, String> {
    let registration = identity::registration(&shared.state).ok();
    let registration = registration.as_ref();
    let node = registration.map_or("", |registration| registration.instance_id.as_str());
    let region = registration.map_or("", |registration| registration.region.as_str());
    for file in shared.offline.unfinished().map_err(|error| error.to_string())? {
        // One at a time: a document may be large.
        let Some(job) = shared.offline.job(&file, node, region) else { continue };
        match shared.spool.accept(&job) {
            Ok(Acceptance::New) => {
                log::info!("job {} ({}) accepted", job.id, job.document_name);
                shared.audit_accepted(&job, "local folder");
                shared.jobs.ring();
            }
            Ok(_) => {}
            // Nobody offers it again, so it waits here.
            Err(SpoolError::Full | SpoolError::NoRoom(_)) => return Ok(false),
            Err(SpoolError::File(error)) => return Err(error.to_string()),
            Err(error @ SpoolError::TooLarge) => {
                let reason = format!("The device can't take the document: {error}.");
                let outcome = Outcome::ended(Status::Failed, reason);
                shared.report(&Report::on(&job, outcome)).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(true)
}

/// Whether a job came from the folder.
pub fn is_local(receipt: &str) -> bool {
    receipt == RECEIPT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder as Place;
    use std::fs;

    #[test]
    fn a_file_that_cannot_be_taken_now_is_in_no_other_ones_way_and_told_once() {
        let place = Place::new();
        let folder = Folder::of(place.path(), offline::KEEP);
        folder.open().unwrap();
        let mut told = String::new();
        for name in ["b.json", "d.json"] {
            fs::write(folder.path().join(name), "{}").unwrap();
        }
        // The first has gone since it was seen.
        let names = ["a.json", "b.json", "c", "d.json"].map(str::to_owned);
        fs::write(folder.path().join("c"), "{").unwrap();
        assert!(take(&folder, &names[..3], 9, &mut told));
        assert!(told.contains("a.json"), "{told}");
        assert_eq!(folder.unfinished().unwrap().len(), 1);
        assert!(!take(&folder, &names[3..], 0, &mut told));
        assert!(take(&folder, &names[3..], 1, &mut told));
    }
}
