//! Documents: what the steps are, which of them run, and what each plugin does.
//!
//! Never here: a server, and the spool's files. Parsing and deciding are pure; only the plugins
//! touch the system, and they run in a worker process.

mod check;
#[cfg(feature = "supervise")]
mod configure_agent;
mod configure_docker;
mod docker;
mod download_content;
#[cfg(feature = "events")]
mod event;
mod exec;
mod flow;
#[cfg(fuzzing)]
pub mod fuzz;
mod given;
mod limits;
mod parameter_store;
mod parameters;
mod parse;
mod plugin;
mod precondition;
pub mod remote;
mod run_docker_action;
mod run_document;
mod run_power_shell_script;
mod run_shell_script;
mod script;
mod stream;
#[cfg(all(uplink, feature = "update"))]
mod update_ssm_agent;

pub use check::check;
#[cfg(feature = "offline")]
pub use check::refuse;
pub use exec::Signals;
pub use flow::{Flow, Next};
pub use given::given;
pub use parameter_store::{ReferenceError, check_values};
#[cfg(feature = "session")]
pub use parameters::Parameters;
pub use parse::{Document, Step, runs_alone};
pub use plugin::{Context, Ended, RESOLVE_LIMIT, goes_on, run};
pub use script::DEFAULT_PATH;
