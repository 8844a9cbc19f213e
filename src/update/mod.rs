//! The agent replaces itself: a new version is fetched beside the one that runs, tried, and kept
//! only if the server hears it.
//!
//! The binary that was flashed, perhaps on a file system that can't be written, is the *factory*
//! one. Newer ones are in two slots in the state folder, of which one is in use and the other is
//! the next to be overwritten. [`boot`] decides at every start which of the three runs; [`trial`]
//! is what a new one does to be kept; [`apply`] fetches it.
//!
//! Never here: a version that no release key has signed, a version below the one that runs unless
//! the operator says so, and a change that isn't on disk before anything depends on it.

#[cfg(fetching)]
pub mod apply;
pub mod boot;
#[cfg(fetching)]
mod error;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(fetching)]
pub mod schedule;
pub mod shown;
pub mod state;
pub mod trial;
#[cfg(fetching)]
mod trust;

#[cfg(fetching)]
pub use error::UpdateError;
pub use state::State;

use crate::board::{BOARD, TRIPLE};
use std::path::{Path, PathBuf};

/// Where all of it is, below the state folder.
const FOLDER: &str = "update";

/// The program's name in its slot.
const PROGRAM: &str = "stint";

/// The name that this build's file has in a manifest: one for each board and target triple, as a
/// board's defaults are baked in.
pub fn file_name() -> String {
    format!("stint-{}-{TRIPLE}", BOARD.name)
}

/// The folder of updates in a state folder.
fn folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// The program in a slot.
fn program(state: &Path, slot: &str) -> PathBuf {
    folder(state).join("slots").join(slot).join(PROGRAM)
}
