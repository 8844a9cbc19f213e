//! The command line: arguments, one function per command, exit codes.
//!
//! Never here: logic that a test would want to reach without a process.

mod access_key;
mod attachment;
mod audit;
mod logging;
mod node;
mod open;
mod package;
mod release;
mod role;
mod serve;
mod server_key;
mod session;

use crate::error::StartError;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A self-hosted control plane that answers the AWS Systems Manager API.
#[derive(Parser)]
#[command(name = "stint-hub", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM.
    Serve(serve::Arguments),
    /// Manage the access keys of operators; works beside a hub that runs.
    #[command(subcommand)]
    AccessKey(access_key::Command),
    /// Show and manage the identities of nodes; works beside a hub that runs.
    #[command(subcommand)]
    Node(node::Command),
    /// Manage what nodes may read, by their role and tags; works beside a hub that runs.
    #[command(subcommand)]
    Role(role::Command),
    /// Show who opened sessions, and manage who may; works beside a hub that runs.
    #[command(subcommand)]
    Session(session::Command),
    /// Manage the files that documents take with them; works beside a hub that runs.
    #[command(subcommand)]
    Attachment(attachment::Command),
    /// Manage the packages of child agents; works beside a hub that runs.
    #[command(subcommand)]
    Package(package::Command),
    /// Make, sign and serve new versions of the agent; works beside a hub that runs.
    #[command(subcommand)]
    Release(release::Command),
    /// Manage the keys by which child-agent nodes know this hub; works beside a hub that runs.
    #[command(subcommand)]
    ServerKey(server_key::Command),
    /// Show what nodes have sent of their audit logs, and whether anything in them was changed.
    Audit(audit::Arguments),
    /// Print the operations that the hub answers, as docs/SUPPORT.md has them.
    Operations,
    /// Print the version, as --version does.
    Version,
}

/// Where the hub keeps everything. Only `serve` makes one.
#[derive(Args)]
struct Data {
    /// The hub's data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Runs the program. Exit code 1 says that a command failed, with one line on standard error;
/// 2 that the arguments are wrong.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::AccessKey(command) => access_key::run(&command),
        Command::Node(command) => node::run(&command),
        Command::Role(command) => role::run(&command),
        Command::Session(command) => session::run(&command),
        Command::Attachment(command) => attachment::run(&command),
        Command::Package(command) => package::run(&command),
        Command::Release(command) => release::run(&command),
        Command::ServerKey(command) => server_key::run(&command),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Operations => {
            print!("{}", crate::tools::support::markdown());
            Ok(())
        }
        Command::Version => {
            print!("{}", Arguments::command().render_version());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stint-hub: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `1 node`, `2 nodes`.
fn number_of(count: i64, thing: &str) -> String {
    let more = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{more}")
}

/// One thread per processor for the server, as tokio has it.
fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| {
        StartError::new(format!("can't start threads: {e}"), "raise the limit on processes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn one_of_a_thing_is_not_many() {
        assert_eq!([0, 1, 2].map(|n| number_of(n, "node")), ["0 nodes", "1 node", "2 nodes"]);
    }

    #[test]
    fn half_a_tls_pair_and_a_malformed_account_id_are_usage_errors() {
        let parse = |extra: &[&str]| {
            let base = ["stint-hub", "serve", "--data", "d"];
            Arguments::try_parse_from(base.iter().chain(extra)).map(drop)
        };
        assert!(parse(&[]).is_ok());
        assert!(parse(&["--tls-cert", "c", "--tls-key", "k"]).is_ok());
        assert!(parse(&["--account-id", "012345678901"]).is_ok());
        for bad in [
            &["--tls-cert", "c"][..],
            &["--tls-key", "k"],
            &["--tls-self-signed", "--tls-cert", "c", "--tls-key", "k"],
            &["--account-id", "12345"],
            &["--account-id", "12345678901x"],
            &["--tls-name", "hub.lan"],
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad:?}");
        }
    }
}
