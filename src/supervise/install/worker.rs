//! `stint install-package`: does one order in a process of its own.

use super::order::{Act, Order, Outcome};
use super::prepare::prepare;
use super::system;
use super::tool::InstallError;
use super::versions::Versions;
#[cfg(feature = "ssm")]
use crate::config::{self, DEFAULT_PATH};
use crate::patience::{Patience, Signals, Stop};
use crate::sys::{FileError, durable};
use std::path::Path;
use std::time::Duration;

/// A package that hasn't come in this time doesn't come. 64 MiB at 10 KB/s take two hours.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// No package manager takes longer.
const MANAGING: Duration = Duration::from_secs(1800);

/// Does the order in `folder` and leaves what became of it there. If it is told to stop, nothing:
/// the order is done again after the next start.
///
/// # Errors
/// There is no order, or what became of it can't be written.
pub fn work(folder: &Path) -> Result<(), String> {
    let Some(order) = Order::read(folder) else {
        return Err(format!("there is no order in {}", folder.display()));
    };
    durable::sweep(folder).map_err(|error| error.to_string())?;
    let outcome = match act(&order, folder) {
        Ok(name) => Outcome { error: String::new(), folder: name },
        Err(InstallError::Stopped(Stop::Cancelled)) => return Ok(()),
        Err(error) => Outcome { error: error.to_string(), folder: String::new() },
    };
    outcome.put(folder).map_err(|error| error.to_string())
}

fn act(order: &Order, folder: &Path) -> Result<String, InstallError> {
    if order.act == Act::Prepare {
        #[cfg(uplink)]
        if let Some(state) = folder.ancestors().nth(3) {
            go_online(order, state).map_err(InstallError::Refused)?;
        }
        let signals =
            Signals::catch().map_err(|cause| FileError::new("catch signals for", folder)(cause))?;
        return prepare(order, folder, &Patience::new(&signals, LONGEST));
    }
    let versions = Versions::of(folder.parent().unwrap_or(folder));
    let note = versions
        .note(&order.folder)
        .ok_or_else(|| InstallError::Refused(format!("version {} is not there", order.folder)))?;
    // A package manager is not stopped half-way.
    let patience = Patience::of_time(MANAGING);
    match order.act {
        Act::Remove => system::remove(note.kind, &note.package, folder, &patience)?,
        _ => {
            let package = versions.path(&order.folder).join(&note.file);
            system::install(note.kind, &package, folder, &patience)?;
        }
    }
    Ok(order.folder.clone())
}

/// Goes by what the daemon goes by: its proxy, the time that it has learnt, and the day's budget.
#[cfg(uplink)]
fn go_online(order: &Order, state: &Path) -> Result<(), String> {
    #[cfg(feature = "ssm")]
    {
        let loaded = config::load(order.sources.config.as_deref(), &[DEFAULT_PATH]);
        crate::uplink::prepare(&loaded.map_err(|error| error.to_string())?.config, state, false)
    }
    #[cfg(not(feature = "ssm"))]
    {
        let _ = order;
        crate::uplink::clock::remember(state, false);
        Ok(())
    }
}
