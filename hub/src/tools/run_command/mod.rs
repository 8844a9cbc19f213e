//! Run Command: sends a document to nodes, follows it, cancels it.
//!
//! Never here: delivery. A released invocation is a row that the device's side hands out; what
//! comes back is rows too.

mod cancel;
mod command;
mod filters;
mod get_invocation;
mod list_commands;
mod list_invocations;
mod output_urls;
mod send;
mod step_status;
mod steps;
mod targets;

pub use cancel::cancel;
pub use get_invocation::get_invocation;
pub use list_commands::list_commands;
pub use list_invocations::list_invocations;
pub use send::send;

#[cfg(test)]
mod tests;
