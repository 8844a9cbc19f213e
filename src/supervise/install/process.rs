//! The daemon's side of an `install-package` process: it is started, listened to, and started
//! again when it dies.

use super::super::jobs::Failure;
use super::order::{Order, Outcome};
use crate::reactor::{after, readable};
use crate::sys::command::{Command, Stdio};
use crate::sys::doorbell::{self, Look};
use crate::sys::process::{self, Group};
use crate::sys::{FileError, faults};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Processes that may die over one order.
const MAX_RUNS: usize = 5;

/// Between one that died and the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Has an order carried out. One that was already when the daemon was killed isn't once more.
///
/// # Errors
/// What went wrong, in words for the operator. The order is forgotten then.
pub async fn carry_out(child_folder: &Path, order: &Order) -> Result<String, Failure> {
    let outcome = run(child_folder, order).await.map_err(|error| Failure::new(error.to_string()));
    let outcome = outcome.and_then(|outcome| match outcome {
        Some(outcome) if outcome.error.is_empty() => Ok(outcome.folder),
        Some(outcome) => Err(Failure::new(outcome.error)),
        None => Err(Failure::new(format!(
            "the process that installs packages died {MAX_RUNS} times over this one"
        ))),
    });
    if outcome.is_err()
        && let Err(error) = Order::forget(child_folder)
    {
        log::warn!("{error}");
    }
    outcome
}

async fn run(child_folder: &Path, order: &Order) -> Result<Option<Outcome>, FileError> {
    let folder = match Order::find(child_folder, order) {
        Some(folder) => folder,
        None => order.put(child_folder)?,
    };
    // One that an earlier daemon started may still be at it.
    listen(doorbell::listen(&folder)?).await;
    for _ in 0..MAX_RUNS {
        if let Some(outcome) = Outcome::of(child_folder) {
            return Ok(Some(outcome));
        }
        let listener = doorbell::listen(&folder)?;
        let bell = doorbell::hold(&folder)?;
        faults::point("start an installer");
        let mut child = start(&folder, bell)?;
        listen(listener).await;
        // It has closed its end of the doorbell, so it has ended or is just about to.
        let _ = child.wait();
        if let Some(outcome) = Outcome::of(child_folder) {
            return Ok(Some(outcome));
        }
        log::warn!("the process that installs a package of {} died", order.child);
        after(PAUSE).await;
    }
    Ok(None)
}

fn start(folder: &Path, bell: File) -> Result<crate::sys::command::Child, FileError> {
    // The file this process was started from, even if an update has put another in its place.
    let program = Path::new("/proc/self/exe");
    let mut command = Command::new(program);
    command.arg("install-package").arg(folder).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::from(bell)).stderr(Stdio::null());
    process::isolate(&mut command, Group::Session).spawn().map_err(FileError::new("start", program))
}

/// Returns when the process is gone.
async fn listen(listener: File) {
    while !matches!(doorbell::look(&listener), Ok(Look::Gone) | Err(_)) {
        readable(&listener).await;
    }
}
