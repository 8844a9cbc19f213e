//! The end of a child's process: what it means, and what follows from it.

use super::super::definition::Restart;
use super::super::notes::Notes;
use super::super::policy::{Rules, Verdict};
use super::{Unit, started};
use crate::sys::child::End;
use crate::sys::process::Identity;
use std::time::Duration;
use stint_wire::bootagent::ChildStatus;

impl Unit {
    /// The first process of a child that puts itself into the background ends on purpose. The one
    /// in the background doesn't.
    pub(super) fn first_process_ended(
        &mut self,
        run: Identity,
        end: End,
        now: Duration,
        notes: &Notes,
    ) {
        let unforced = self.stopping.is_none() && self.doomed.is_none();
        let may_be_on_purpose = matches!(end, End::Code(0) | End::Unknown);
        if self.definition.daemon && !self.record.settled && unforced && may_be_on_purpose {
            self.record.run = None;
            let until = started(run) + self.definition.start_time;
            self.settling = Some(until);
            self.settle(until, now, notes);
        } else {
            self.ended(end, now, notes);
        }
    }

    pub(super) fn settle(&mut self, until: Duration, now: Duration, notes: &Notes) {
        let in_file = self.definition.pidfile.as_ref().is_none_or(|path| path.exists());
        let found = in_file.then(|| self.find_process(None)).flatten();
        if let Some(run) = found {
            self.settling = None;
            log::info!("{} runs in the background as process {}", self.name(), run.pid);
            self.record.run = Some(run);
            self.record.settled = true;
            self.save();
        } else if now >= until {
            self.settling = None;
            self.doomed = Some("start".to_owned());
            self.ended(End::Unknown, now, notes);
        }
    }

    /// Its process is gone.
    pub(super) fn ended(&mut self, end: End, now: Duration, notes: &Notes) {
        let age = self.record.run.map_or(Duration::ZERO, |run| now.saturating_sub(started(run)));
        // The first process may be another than the killed one, and end for its sake.
        let killed_by_kernel = self.group.oom_kills() > 0 && end != End::Code(0);
        // What it has left behind would be in the next one's way.
        self.group.kill_all(self.record.run.take());
        self.lingering = true;
        self.watcher = None;
        self.settling = None;
        self.health.stop();
        self.record.mark.clear();
        let doomed = self.doomed.take();
        if self.stopping.take().is_some() && doomed.is_none() {
            self.record.status = ChildStatus::Stopped;
            self.record.reason.clear();
            self.record.streak = 0;
            log::info!("{} has stopped", self.name());
            return self.save();
        }
        let was_killed = doomed.is_some();
        let reason = doomed.unwrap_or_else(|| match end {
            _ if killed_by_kernel => "oom".to_owned(),
            End::Code(code) => format!("exit:{code}"),
            End::Signal(signal) => format!("signal:{signal}"),
            End::Unknown => "gone".to_owned(),
        });
        let is_good = matches!(end, End::Code(code) if self.definition.exit_codes.contains(&code));
        let again = self.definition.restart;
        self.record.reason = reason;
        if is_good && !was_killed {
            log::info!("{} has ended well: {}", self.name(), self.record.reason);
            self.record.status = ChildStatus::Stopped;
            if again == Restart::Always {
                // Not counted: a good end is no failure.
                let rules = Rules { retries: u32::MAX, ..self.rules };
                if let Verdict::Again(at) = rules.judge(&mut 0, age, now) {
                    self.record.due = Some(at);
                }
            }
            return self.save();
        }
        self.failed(age, now, was_killed, notes);
        self.save();
    }

    fn failed(&mut self, age: Duration, now: Duration, is_told: bool, notes: &Notes) {
        let name = self.definition.name.clone();
        let reason = self.record.reason.clone();
        // A kill by the agent has been told when it was done.
        if !is_told || reason.starts_with("spawn") || reason == "start" {
            let what = match reason.as_str() {
                "oom" => "the kernel killed it for its use of memory".to_owned(),
                "gone" => {
                    "it ended; nobody saw how, because an earlier agent had started it".to_owned()
                }
                reason if reason.starts_with("spawn") => {
                    format!("it can't be started: {}", reason.trim_start_matches("spawn: "))
                }
                "start" => "it didn't show its process in the background in time".to_owned(),
                reason => format!("it ended unexpectedly: {reason}"),
            };
            let category = if reason == "oom" { "limit" } else { "exit" };
            let seconds = age.as_secs();
            notes.event(category, &name, &reason, format!("{what}, after {seconds} s"));
        }
        self.record.status = ChildStatus::Killed;
        if self.definition.restart == Restart::Never {
            return;
        }
        let verdict = self.rules.judge(&mut self.record.streak, age, now);
        let on_trial = self.record.trial && self.record.streak > self.rules.retries;
        match verdict {
            Verdict::Again(at) if !on_trial => self.record.due = Some(at),
            _ => {
                self.record.status = ChildStatus::Fatal;
                let ends = self.record.streak;
                let message = format!("it is given up after {ends} unexpected ends in a row");
                notes.event("fatal", &name, &reason, message);
            }
        }
    }
}
