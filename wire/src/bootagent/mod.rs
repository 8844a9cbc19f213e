//! The BootAgent protocol: what a node and a server tell each other about child agents
//! (`docs/PROTOCOL.md`, "BootAgent").
//!
//! The founding page names the members; a member that isn't on it is ours, is left out when it
//! says nothing, and is ignored by whoever doesn't know it.

pub mod job;
mod job_text;
pub mod limits;
pub mod register;
pub mod report;
pub mod servers;
pub mod sign;
pub mod status;
mod text;

pub use job::{Action, Job, Limits};
pub use job_text::{is_child_name, is_version};
pub use limits::BadLimit;
pub use report::{Child, ChildStatus, Enforcement, Event, JobResult};
pub use text::is_agentsn;

/// Where a node registers.
pub const REGISTER: &str = "/agent/register";
/// Where a node reports how it is, and is told what to do.
pub const STATUS: &str = "/agent/status";
/// Where a node delivers the results of jobs.
pub const RESULT: &str = "/agent/job/result";

/// The time between two reports where nobody says otherwise, seconds.
pub const DEFAULT_STEP: u64 = 600;

/// The steps that a server may ask for, seconds.
pub const STEPS: std::ops::RangeInclusive<u64> = 60..=3600;
