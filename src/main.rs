//! stint: an agent of about a megabyte that makes a small Linux device a managed node.

#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod agent;
mod cli;
mod config;
mod document;
mod identity;
mod spool;
mod sys;
#[cfg(test)]
mod testing;
mod uplink;
mod worker;

fn main() -> std::process::ExitCode {
    cli::main()
}
