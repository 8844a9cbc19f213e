//! The task that takes documents from the local folder.

use super::Shared;
use super::modules::Ended;
use crate::offline::{Look, RECEIPT, Taken};
use crate::spool::{Acceptance, Outcome, Report, SpoolError};
use crate::sys::FileError;
use crate::{identity, offline};
use smol::Timer;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::reply::Status;

/// Between two looks. The original's.
const LOOK: Duration = Duration::from_secs(2);

/// The pause after one that failed: what ails a folder or a disk takes a person to mend.
const AGAIN: Duration = Duration::from_secs(60);

/// Takes documents for ever.
pub async fn run(shared: Rc<Shared>) -> Ended {
    let mut look = Look::default();
    // What an earlier daemon took and didn't come to accept.
    let mut unaccepted = true;
    loop {
        let wait = match turn(&shared, &mut look, &mut unaccepted) {
            Ok(()) => LOOK,
            Err(problem) => {
                log::error!("no document is taken from the local folder: {problem}");
                AGAIN
            }
        };
        Timer::after(wait).await;
    }
}

fn turn(shared: &Shared, look: &mut Look, unaccepted: &mut bool) -> Result<(), String> {
    let folder = &shared.offline;
    let words = |error: FileError| error.to_string();
    folder.open().map_err(words)?;
    if !folder.is_private().map_err(words)? {
        return Err(format!(
            "others than the agent's user can write to {}; run `chmod 700` on it",
            folder.path().display()
        ));
    }
    for name in look.at(folder.path(), &offline::is_document) {
        match folder.take(&name).map_err(words)? {
            Taken::Submitted(id) => {
                log::info!("{name} from the local folder is document {id}");
                *unaccepted = true;
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
    let mut all = true;
    for job in shared.offline.waiting(node, region).map_err(|error| error.to_string())? {
        match shared.spool.accept(&job) {
            Ok(Acceptance::New) => {
                log::info!("job {} ({}) accepted", job.id, job.document_name);
                shared.audit_accepted(&job, "local folder");
                shared.jobs.ring();
            }
            Ok(_) => {}
            // Nobody offers it again, so it waits here.
            Err(SpoolError::Full | SpoolError::NoRoom(_)) => all = false,
            Err(SpoolError::File(error)) => return Err(error.to_string()),
            Err(error @ SpoolError::TooLarge) => {
                let reason = format!("The device can't take the document: {error}.");
                let outcome = Outcome::ended(Status::Failed, reason);
                shared.report(&Report::on(&job, outcome)).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(all)
}

/// Whether a job came from the folder.
pub fn is_local(receipt: &str) -> bool {
    receipt == RECEIPT
}
