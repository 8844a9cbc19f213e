//! Packages of child agents: fetched, verified and unpacked by `stint install-package`, a process
//! of its own, and switched to by the daemon.
//!
//! Never here: a download, a decompressor, or anything that writes outside the child's folder.
//! What comes over the network comes by `uplink::package`; what has to be unpacked or given to
//! the system is given to the system's own programs. The daemon writes an [`Order`] and waits for
//! an [`Outcome`]; each act may be killed at any moment and is then done again.

mod back;
mod define;
mod file_name;
#[cfg(fuzzing)]
pub mod fuzz;
mod job;
mod kind;
mod listing;
mod order;
mod plan;
mod prepare;
mod process;
mod system;
mod tool;
mod versions;
mod worker;

pub use back::{is_going_back, remove, roll_back};
pub use job::install;
pub use worker::work;
