//! The BootAgent protocol: what a node and a server tell each other about child agents
//! (`docs/PROTOCOL.md`, "BootAgent").
//!
//! The founding page names the members; a member that isn't on it is ours, is left out when it
//! says nothing, and is ignored by whoever doesn't know it.

pub mod job;
pub mod limits;
pub mod report;

pub use job::{Action, Job, Limits};
pub use limits::BadLimit;
pub use report::{Child, ChildStatus, Enforcement, Event, JobResult};
