//! The hub: a control plane for small Linux devices with the AWS Systems Manager API.
//!
//! `docs/ARCHITECTURE.md` is the map. Requests flow one way: [`server`] reads HTTP, [`auth`]
//! says who asks, [`nodes`] or [`tools`] answer out of the [`store`].

mod app;
mod auth;
mod cli;
mod commands;
mod console;
mod error;
mod model;
mod nodes;
mod random;
mod schedule;
mod server;
mod sessions;
mod store;
mod tools;
mod updates;

fn main() -> std::process::ExitCode {
    cli::main()
}
