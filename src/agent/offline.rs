//! The task that takes documents from the local folder.

use super::Shared;
use super::modules::Ended;
use super::news::{News, SELDOM};
use crate::offline::{Look, MAX_UNFINISHED, RECEIPT, Taken};
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
    // What an earlier daemon took and didn't come to accept.
    let mut unaccepted = true;
    loop {
        let news = News::of(shared.offline.path());
        match turn(&shared, &mut look, &mut unaccepted) {
            Ok(()) if look.has_seen() || unaccepted => after(LOOK).await,
            Ok(()) => news.wait(LOOK, SELDOM).await,
            Err(problem) => {
                log::error!("no document is taken from the local folder: {problem}");
                after(AGAIN).await;
            }
        }
    }
}

fn turn(shared: &Shared, look: &mut Look, unaccepted: &mut bool) -> Result<(), String> {
    let folder = &shared.offline;
    let words = |error: FileError| error.to_string();
    // Looked at before anything in it is made, removed or read.
    if let Some(path) = folder.exposed().map_err(words)? {
        return Err(format!(
            "{} must be a folder of the agent's user that nobody else can write to; give it to that \
             user, and run `chmod 700` on it",
            path.display()
        ));
    }
    folder.open().map_err(words)?;
    let names = look.at(folder.path(), &offline::is_document);
    let mut room = match names.is_empty() {
        true => 0,
        false => MAX_UNFINISHED.saturating_sub(folder.unfinished().map_err(words)?.len()),
    };
    for name in names {
        if room == 0 {
            // The others stay where they are until some of these are over.
            break;
        }
        match folder.take(&name).map_err(words)? {
            Taken::Submitted(id) => {
                log::info!("{name} from the local folder is document {id}");
                *unaccepted = true;
                room -= 1;
            }
            Taken::Invalid(reason) => {
                log::warn!("{name} from the local folder is no document: {reason}");
            }
        }
    }
    if *unaccepted {
        *unaccepted = !accept(shared)?;
    }
    Ok(())
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
