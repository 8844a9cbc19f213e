//! The task that reboots the device when a document asks for it (exit code 194).
//!
//! Other jobs get time to end, and the server gets to hear what has happened so far. A device
//! that doesn't go down is reported: the job fails with the reason instead of waiting for ever.

use super::Shared;
use super::modules::Ended;
use super::turn::Turn;
use crate::document::DEFAULT_PATH;
use crate::reactor::after;
use crate::spool::Outbox;
use crate::sys::command::{Child, Command, Stdio};
use crate::sys::process::{self, Group};
use std::env;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long other jobs may go on. What runs after that is reported as interrupted.
const FOR_JOBS: Duration = Duration::from_secs(5 * 60);

/// How long the server is waited for. What it hasn't heard it hears after the reboot.
const FOR_REPORTS: Duration = Duration::from_secs(30);

/// How long the command itself may take.
const FOR_COMMAND: Duration = Duration::from_secs(60);

/// A device that is still up after this won't go down: services that stop slowly take minutes.
const FOR_SHUTDOWN: Duration = Duration::from_secs(10 * 60);

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Reboots the device, once it is wanted.
pub async fn run(shared: Rc<Shared>) -> Ended {
    loop {
        shared.reboot.wait().await;
        log::warn!("a document asks for a reboot; no other is started until then");
        while_true(FOR_JOBS, || shared.running.borrow().all().any(Turn::is_running)).await;
        while_true(FOR_REPORTS, || Outbox::count(&shared.state) > 0).await;
        if !shared.running.borrow().all().any(|turn| *turn == Turn::AwaitsReboot) {
            log::info!("no reboot: the document that asked for it was cancelled");
            shared.jobs.ring();
            continue;
        }
        shared.running.borrow_mut().go_down();
        let reason = match reboot(&shared.settings.reboot_command).await {
            Ok(()) => {
                after(FOR_SHUTDOWN).await;
                format!("it was still up after {} minutes", FOR_SHUTDOWN.as_secs() / 60)
            }
            Err(reason) => reason,
        };
        log::error!("the device can't be rebooted: {reason}");
        shared.running.borrow_mut().give_up_reboot(&reason);
        shared.jobs.ring();
    }
}

/// Waits while `busy`, at most for `limit`.
async fn while_true(limit: Duration, busy: impl Fn() -> bool) {
    let end = Instant::now() + limit;
    while busy() && Instant::now() < end {
        after(LOOK).await;
    }
}

async fn reboot(words: &[String]) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("rebootCommand is empty")?;
    log::warn!("rebooting: {}", words.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if env::var_os("PATH").is_none_or(|path| path.is_empty()) {
        command.env("PATH", DEFAULT_PATH);
    }
    let child = process::isolate(&mut command, Group::Session).spawn();
    let child = child.map_err(|cause| format!("can't start {program}: {cause}"))?;
    finished(child, program).await
}

async fn finished(mut child: Child, program: &str) -> Result<(), String> {
    let end = Instant::now() + FOR_COMMAND;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program} failed: {status}")),
            // One that doesn't return may be waiting for the very shutdown it has begun.
            Ok(None) if Instant::now() >= end => return Ok(()),
            Ok(None) => {}
            Err(cause) => return Err(format!("{program}: {cause}")),
        }
        after(LOOK).await;
    }
}
