//! The plugins: which names exist, and the one way in which each is run.

#[cfg(feature = "supervise")]
use super::configure_agent;
#[cfg(feature = "events")]
use super::event;
use super::exec::Signals;
use super::parameter_store::{self, ReferenceError};
use super::parse::Step;
use super::remote::{Patience, Remote, RemoteError, Stop};
#[cfg(all(uplink, feature = "update"))]
use super::update_ssm_agent;
use super::{
    configure_docker, download_content, run_docker_action, run_document, run_power_shell_script,
    run_shell_script,
};
use crate::sys::process::Identity;
use std::path::Path;
use std::time::{Duration, Instant};
use stint_wire::json::Node;
use stint_wire::reply::{Status, limit_stream};

/// Plugins that this agent runs.
const HERE: &[&str] = &[
    #[cfg(feature = "supervise")]
    configure_agent::NAME,
    #[cfg(feature = "events")]
    event::NAME,
    run_shell_script::NAME,
    download_content::NAME,
    run_document::NAME,
    run_power_shell_script::NAME,
    run_docker_action::NAME,
    configure_docker::NAME,
    #[cfg(all(uplink, feature = "update"))]
    update_ssm_agent::NAME,
];

/// Plugins that the original doesn't have on Linux either.
const ELSEWHERE: [&str; 4] =
    ["aws:applications", "aws:configureDaemon", "aws:psModule", "aws:updateAgent"];

/// Plugins that the original has on Linux and this agent lacks.
const MISSING: &[&str] = &[
    "aws:configurePackage",
    "aws:refreshAssociation",
    "aws:softwareInventory",
    #[cfg(not(all(uplink, feature = "update")))]
    "aws:updateSsmAgent",
];

/// Plugins that the original has on Linux and that have no place on a device such as this; with
/// the reason that the operator is told. The original's aws:cloudWatch fails there as well.
const REFUSED: [(&str, &str); 2] = [
    ("aws:cloudWatch", "it sends a Windows computer's metrics"),
    ("aws:domainJoin", "it needs a server distribution with realmd, sssd and the AWS CLI"),
];

/// How long the values of Parameter Store may take that a step refers to.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(120);

/// The code of what the agent stopped.
const STOPPED: i32 = 137;

/// Whether a plugin can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Yes.
    Here,
    /// It is for another platform.
    Elsewhere,
    /// It is known and makes no sense here, for this reason.
    Refused(&'static str),
    /// It would have its place here, and this version doesn't have it.
    Missing,
    /// Nobody knows it.
    Unknown,
}

/// Whether the plugin of that name can be run.
pub fn support(name: &str) -> Support {
    if HERE.contains(&name) {
        Support::Here
    } else if ELSEWHERE.contains(&name) {
        Support::Elsewhere
    } else if MISSING.contains(&name) {
        Support::Missing
    } else {
        let refused = REFUSED.iter().find(|(known, _)| *known == name);
        refused.map_or(Support::Unknown, |(_, reason)| Support::Refused(reason))
    }
}

/// Whether a step of this plugin that was interrupted goes on where it was when it is started once
/// more. Of any other nobody knows how far it came.
pub fn goes_on(plugin: &str) -> bool {
    #[cfg(all(uplink, feature = "update"))]
    return plugin == update_ssm_agent::NAME;
    #[cfg(not(all(uplink, feature = "update")))]
    {
        let _ = plugin;
        false
    }
}

/// What a plugin may know and use.
pub struct Context<'a> {
    /// The command's id.
    pub command: &'a str,
    /// This node's id.
    pub node: &'a str,
    /// This node's region.
    pub region: &'a str,
    /// A folder of the step's own, for its files and its output.
    pub folder: &'a Path,
    /// Where a script is written before it runs; it is removed afterwards.
    pub script: &'a Path,
    /// Where relative working directories are looked for: what `aws:downloadContent` fetched.
    pub downloads: &'a Path,
    /// Where a script runs that names no folder, or one that isn't among the downloads.
    pub directory: &'a Path,
    /// Tells this step from those that share its folder: empty, or the way to it through the steps
    /// that run documents.
    pub way: &'a str,
    /// How many documents this step is inside of, besides the one that was sent.
    pub depth: u8,
    /// When all of it must be over, where a step around this one says so.
    pub deadline: Option<Instant>,
    /// The network.
    pub remote: &'a dyn Remote,
    /// The agent's state folder; the usual one if nobody says.
    pub state: Option<&'a Path>,
    /// The worker's signals.
    pub signals: &'a mut Signals,
    /// Hears of each process that is started.
    pub begun: &'a mut dyn FnMut(Identity),
}

/// How a step ended. The streams are within the limits of the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its status.
    pub status: Status,
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// A step that ended because something on the network can't be had.
    pub fn without(error: &RemoteError) -> Ended {
        let (status, code) = match error {
            RemoteError::Stopped(Stop::Cancelled) => (Status::Cancelled, STOPPED),
            RemoteError::Stopped(Stop::TimedOut) => (Status::TimedOut, STOPPED),
            _ => return Ended::failed(error.to_string()),
        };
        Ended { status, code, stdout: String::new(), stderr: error.to_string() }
    }

    /// A step that ended because its references to Parameter Store can't be filled in.
    pub fn unresolved(error: &ReferenceError) -> Ended {
        match error {
            ReferenceError::Remote(cause @ RemoteError::Stopped(_)) => Ended::without(cause),
            error => Ended::failed(error.to_string()),
        }
    }

    /// A step that failed without a program of its own having failed.
    pub fn failed(reason: impl Into<String>) -> Ended {
        Ended { status: Status::Failed, code: 1, stdout: String::new(), stderr: reason.into() }
    }
}

impl Context<'_> {
    /// Patience for `limit`, or until the time of a step around this one is over.
    pub fn patience(&self, limit: Duration) -> Patience {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        Patience::new(self.signals, left.map_or(limit, |left| left.min(limit)))
    }
}

/// Runs a step. Several inputs run one after the other; the step ends with the first code that
/// isn't 0 and the weightiest status.
pub fn run(step: &Step, context: &mut Context<'_>) -> Ended {
    let patience = context.patience(RESOLVE_LIMIT);
    let inputs = match parameter_store::resolve(&step.inputs, context.remote, &patience) {
        Ok(inputs) => inputs,
        Err(error) => return Ended::unresolved(&error),
    };
    let mut results = inputs.iter().enumerate().map(|(part, inputs)| {
        // Between parts as between steps.
        if part > 0 && context.signals.is_cancelled() {
            let (status, code) = (Status::Cancelled, STOPPED);
            return Ended { status, code, stdout: String::new(), stderr: String::new() };
        }
        run_one(&step.plugin, inputs, part, context)
    });
    let Some(mut merged) = results.next() else { return Ended::failed("the step has no inputs") };
    for next in results {
        merged.code = if merged.code == 0 { next.code } else { merged.code };
        merged.status = merged.status.weightier(next.status);
        merged.stdout = join(&merged.stdout, &next.stdout);
        merged.stderr = join(&merged.stderr, &next.stderr);
    }
    merged
}

/// Both texts, within the limits of the wire.
pub fn join(first: &str, second: &str) -> String {
    let separator = if first.is_empty() || second.is_empty() { "" } else { "\n" };
    limit_stream(&format!("{first}{separator}{second}"))
}

fn run_one(plugin: &str, inputs: &Node, part: usize, context: &mut Context<'_>) -> Ended {
    match plugin {
        run_shell_script::NAME => run_shell_script::run(inputs, context),
        run_power_shell_script::NAME => run_power_shell_script::run(inputs, context),
        download_content::NAME => download_content::run(inputs, context),
        run_document::NAME => run_document::run(inputs, part, context),
        run_docker_action::NAME => run_docker_action::run(inputs, context),
        configure_docker::NAME => configure_docker::run(inputs, context),
        #[cfg(feature = "supervise")]
        configure_agent::NAME => configure_agent::run(inputs, context),
        #[cfg(feature = "events")]
        event::NAME => event::run(inputs, context),
        #[cfg(all(uplink, feature = "update"))]
        update_ssm_agent::NAME => update_ssm_agent::run(inputs, context),
        other => Ended::failed(format!("there is no plugin {other}")),
    }
}

#[cfg(test)]
pub use bench::Bench;

#[cfg(test)]
mod bench {
    use super::*;
    use crate::testing::Folder;

    /// A place where a test can run a step.
    pub struct Bench(Folder);

    impl Bench {
        /// Makes one.
        pub fn new() -> Bench {
            Bench(Folder::new())
        }

        /// The step's folder.
        pub fn path(&self) -> &Path {
            self.0.path()
        }

        /// Calls `step` with a context of that folder.
        pub fn with<T>(&self, step: impl FnOnce(&mut Context<'_>) -> T) -> T {
            let path = self.path();
            step(&mut Context {
                command: "c-1",
                node: "mi-1",
                region: "eu-west-1",
                folder: path,
                script: &path.join("_script.sh"),
                downloads: &path.join("downloads"),
                directory: Path::new("/"),
                way: "",
                depth: 0,
                deadline: None,
                remote: &super::super::remote::Nowhere,
                state: Some(path),
                signals: &mut Signals::catch().unwrap(),
                begun: &mut |_| {},
            })
        }
    }
}
