//! stint: an agent of 0.4 to 1.3 megabytes that makes a small Linux device a managed node.

#![cfg_attr(test, allow(clippy::indexing_slicing))]
// `sys::start` has the entry; libFuzzer has one of its own, and tests have theirs.
#![cfg_attr(not(test), no_main)]
#![cfg_attr(fuzzing, allow(dead_code))]
// A build without some modules leaves parts of the core without a caller; the linker drops them.
// The default build has them all, and is held to every lint.
#![cfg_attr(
    not(all(
        feature = "audit",
        feature = "events",
        feature = "ssm",
        feature = "documents",
        feature = "serial",
        feature = "bootagent",
        feature = "guardian",
        feature = "logs",
        feature = "offline",
        feature = "session",
        feature = "update"
    )),
    allow(dead_code, unused_imports)
)]

mod agent;
#[cfg_attr(not(feature = "audit"), path = "no_audit.rs")]
mod audit;
mod bell;
mod board;
mod cli;
mod config;
#[cfg(feature = "documents")]
mod document;
#[cfg(feature = "events")]
mod events;
#[cfg(fuzzing)]
mod fuzz;
#[cfg(feature = "guardian")]
mod guardian;
mod identity;
mod lane;
#[cfg(feature = "offline")]
mod offline;
mod patience;
mod reactor;
mod remote;
#[cfg(feature = "serial")]
mod serial;
#[cfg(feature = "session")]
mod session;
mod spool;
#[cfg(feature = "supervise")]
mod supervise;
mod sys;
#[cfg(test)]
mod testing;
#[cfg(feature = "update")]
mod update;
mod uplink;
#[cfg(feature = "documents")]
mod worker;
