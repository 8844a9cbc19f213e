//! `aws:runDocument`: the steps of another document, run as one step of this one.
//!
//! The inner steps share the outer one's output files, its cancellation and its place in the
//! job's journal: whoever finds the outer step begun and not ended runs none of them again. Only
//! a reboot that an inner step asks for is a point to go on from, so only then is there a note of
//! how far the inner document has come.

mod progress;
mod source;

use super::flow::{Flow, Next};
use super::parameter_store;
use super::parse::{Document, Step};
use super::plugin::{self, Context, Ended};
use crate::sys::durable;
use progress::Progress;
#[cfg(fuzzing)]
pub use source::fuzz;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stint_wire::json::Node;
use stint_wire::reply::Status;

/// The plugin's name.
pub const NAME: &str = "aws:runDocument";

/// Documents that may be inside one another below the one that was sent. The original's number.
const MAX_DEPTH: u8 = 3;

/// A document path that stands for nothing to do.
const NOOP: &str = "AWS-Noop";

/// The code of a step that failed without a program of its own having failed.
const FAILED: i32 = 1;

/// The code of a step that asks for a reboot.
const REBOOT: i32 = 194;

/// Runs the document that `inputs`, the step's `part`-th, name.
pub fn run(inputs: &Node, part: usize, context: &mut Context<'_>) -> Ended {
    if context.depth >= MAX_DEPTH {
        return Ended::failed(format!(
            "documents may run one another {MAX_DEPTH} deep, and this one is deeper"
        ));
    }
    if inputs.get_any_case("documentPath").and_then(Node::as_str) == Some(NOOP) {
        return success(String::new());
    }
    // The inputs themselves don't name it: a parameter's value may change over a reboot.
    let way = format!("{}{part}", context.way);
    let note = context.folder.join(format!("document-{way}.json"));
    let (mut progress, is_new) = match Progress::read(&note) {
        Ok(Some(progress)) => (progress, false),
        Ok(None) => match source::find(inputs, context) {
            Ok(found) => (Progress::new(found), true),
            Err(ended) => return ended,
        },
        Err(reason) => return Ended::failed(reason),
    };
    let document = match Document::parse(&progress.document, &progress.parameters) {
        Ok(document) => document,
        Err(error) => return Ended::failed(format!("{}: {error}", progress.name)),
    };
    // Before a reboot they were found good.
    if is_new {
        let patience = context.patience(plugin::RESOLVE_LIMIT);
        let (text, given) = (&progress.document, &progress.parameters);
        let checked = parameter_store::check_values(text, given, context.remote, &patience);
        if let Err(error) = checked {
            let ended = Ended::unresolved(&error);
            return Ended { stderr: format!("{}: {}", progress.name, ended.stderr), ..ended };
        }
    }
    run_steps(&document, &mut progress, inputs, &way, context);
    if progress.asks_for_reboot() {
        progress.forget_the_last();
        if let Err(error) = durable::write(&note, progress.to_json().as_bytes()) {
            // Rebooted without it, the device would run the inner steps again from the first.
            return Ended::failed(format!("no reboot, because it can't be noted: {error}"));
        }
        let (stdout, stderr) = (progress.stdout, progress.stderr);
        return Ended { status: Status::SuccessAndReboot, code: REBOOT, stdout, stderr };
    }
    let status = progress.merged();
    let code = if matches!(status, Status::Success | Status::Skipped) { 0 } else { FAILED };
    Ended { status, code, stdout: progress.stdout, stderr: progress.stderr }
}

fn success(stdout: String) -> Ended {
    Ended { status: Status::Success, code: 0, stdout, stderr: String::new() }
}

/// Runs the steps that aren't over yet, up to one that asks for a reboot.
fn run_steps(
    document: &Document,
    progress: &mut Progress,
    inputs: &Node,
    way: &str,
    context: &mut Context<'_>,
) {
    let downloads = context.folder.join(format!("document-{way}")).join("downloads");
    let own = source::limit(inputs).map(|limit| Instant::now() + Duration::from_secs(limit));
    let deadline = [own, context.deadline].into_iter().flatten().min();
    let directory = PathBuf::from(&progress.directory);
    let mut flow = Flow::default();
    for (number, step) in document.steps.iter().enumerate() {
        if let Some((status, code)) = progress.known(number) {
            flow.ended(step, status, code);
            continue;
        }
        let last = number + 1 == document.steps.len();
        let mut inner = Context {
            downloads: &downloads,
            directory: &directory,
            way: &format!("{way}-{number}-"),
            depth: context.depth + 1,
            deadline,
            command: context.command,
            node: context.node,
            region: context.region,
            folder: context.folder,
            script: context.script,
            remote: context.remote,
            state: context.state,
            signals: context.signals,
            begun: context.begun,
        };
        let mut ended = one_step(step, last, &flow, &mut inner);
        let (status, code) = flow.ended(step, ended.status, ended.code);
        if status == Status::Success && ended.status == Status::Failed {
            // A failure that the document turns into a success leaves no error behind.
            ended.stderr.clear();
        }
        progress.add(Ended { status, code, ..ended });
        if progress.asks_for_reboot() {
            return;
        }
    }
}

fn one_step(step: &Step, last: bool, flow: &Flow, context: &mut Context<'_>) -> Ended {
    let not_started = |status, why: &str| {
        let stderr = format!("Step {} was {why} before it was started.\n", step.name);
        Ended { status, code: FAILED, stdout: String::new(), stderr }
    };
    if context.signals.is_cancelled() {
        return not_started(Status::Cancelled, "cancelled");
    }
    if context.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return not_started(Status::TimedOut, "out of time");
    }
    match flow.next(step, last) {
        Next::Run => plugin::run(step, context),
        Next::Skip(why) => Ended { status: Status::Skipped, ..success(format!("{why}\n")) },
        Next::Fail(why) => Ended::failed(format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests;
