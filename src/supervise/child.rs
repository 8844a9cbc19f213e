//! One child: its process, and what becomes of it.
//!
//! Nothing here waits. [`Unit::turn`] looks at what has changed since the last look and says when
//! the next is due.

mod ending;

use super::definition::Definition;
use super::health::Health;
use super::launch;
use super::limits::{Applied, Group};
use super::notes::Notes;
use super::policy::Rules;
use super::record::Record;
use crate::sys::child::{self, End, Waited};
use crate::sys::process::{self, Identity};
use crate::sys::tree::{self, Process};
use crate::sys::{FileError, random};
use smol::Task;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stint_wire::bootagent::{Child, ChildStatus, Limits};

/// Between two looks at what can't be waited for otherwise. Not more than one wake-up a second.
const LOOK: Duration = Duration::from_secs(1);

/// Between two looks at a tree that has been killed and dies.
const DYING: Duration = Duration::from_millis(100);

/// Between two looks at a process that isn't the agent's child, on kernels that can't tell its
/// end by themselves (before Linux 5.3).
const STRANGER: Duration = Duration::from_secs(5);

/// A start that failed on this side, most often of a full disk, is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);

/// A child in the supervisor's hands.
pub struct Unit {
    /// What it is.
    pub definition: Definition,
    /// What is known of it.
    pub record: Record,
    /// Its folder.
    pub folder: PathBuf,
    /// Its control group.
    pub group: Group,
    /// Is dropped, and so ended, with the child: what drains its output.
    pub output: Option<Task<()>>,
    /// The same: what waits for the end of a process that isn't the agent's child.
    pub watcher: Option<Task<()>>,
    /// Whether it is well.
    pub health: Health,
    /// Its definition is gone; it is stopped, and then forgotten.
    pub leaving: bool,
    rules: Rules,
    /// It is being stopped on purpose.
    stopping: Option<Stopping>,
    /// It is being killed against its will, for this reason.
    doomed: Option<String>,
    /// It has put itself into the background and is looked for until then.
    settling: Option<Duration>,
    /// Its process isn't the agent's child: an earlier agent started it.
    pub is_stranger: bool,
    /// Something of its tree may be left.
    lingering: bool,
    /// CPU time at the last report, and when that was.
    used: Option<(Duration, Duration)>,
}

struct Stopping {
    kill_at: Duration,
    killed: bool,
}

impl Unit {
    /// A child of that definition, as its record says it is.
    pub fn new(
        definition: Definition,
        record: Record,
        folder: PathBuf,
        group: Group,
        rules: Rules,
    ) -> Unit {
        let mut unit = Unit {
            health: Health::default(),
            rules,
            definition,
            record,
            folder,
            group,
            output: None,
            watcher: None,
            leaving: false,
            stopping: None,
            doomed: None,
            settling: None,
            is_stranger: false,
            lingering: false,
            used: None,
        };
        unit.set_rules(rules);
        unit
    }

    /// Takes on a changed definition. What runs goes on as it was started, but for limits.
    pub fn redefine(&mut self, definition: Definition, rules: Rules) {
        self.definition = definition;
        self.set_rules(rules);
        self.apply_limits();
    }

    fn set_rules(&mut self, rules: Rules) {
        self.rules = Rules {
            cooldown: self.definition.cooldown.unwrap_or(rules.cooldown),
            retries: self.definition.retries.unwrap_or(rules.retries),
            ..rules
        };
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    fn limits(&self) -> &Limits {
        self.record.limits.as_ref().unwrap_or(&self.definition.limits)
    }

    /// Limits it as is wanted now, also while it runs.
    pub fn apply_limits(&mut self) -> Applied {
        let limits = self.limits().clone();
        self.group.apply(&limits)
    }

    /// Writes the record; a record that can't be written is only logged, because what it says has
    /// happened.
    pub fn save(&self) {
        if let Err(error) = self.try_save() {
            log::error!("{}: {error}", self.name());
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The step that failed.
    pub fn try_save(&self) -> Result<(), FileError> {
        self.record.save(&self.folder)
    }

    /// Whether its process runs, or comes up.
    pub fn is_up(&self) -> bool {
        self.record.run.is_some() || self.settling.is_some()
    }

    /// Whether nothing of it is left: it may be started, or removed.
    pub fn is_clear(&mut self) -> bool {
        if self.is_up() {
            return false;
        }
        if self.lingering {
            self.lingering = !self.group.is_empty(None);
            if self.lingering {
                self.group.kill_all(None);
            } else if self.record.due.is_none() {
                self.group.remove();
            }
        }
        !self.lingering
    }

    /// Takes on what an earlier agent has left: a process that runs, one whose start nobody
    /// noted, one that has ended meanwhile; or nothing, after a boot.
    pub fn resume(&mut self, boot: &str, now: Duration, notes: &Notes) {
        if self.record.boot != boot {
            // Only a boot leaves `fatal`, besides jobs. What was to run is started again.
            let fresh = self.record.boot.is_empty();
            let wanted = if fresh { self.definition.autostart } else { self.record.wanted };
            self.record = Record {
                boot: boot.to_owned(),
                wanted,
                status: ChildStatus::Stopped,
                reason: String::new(),
                streak: 0,
                due: wanted.then_some(now),
                run: None,
                settled: false,
                mark: String::new(),
                ..self.record.clone()
            };
            self.save();
            self.apply_limits();
            // Where the record is new because the old one was damaged, what it told of may run.
            self.lingering = true;
            return;
        }
        // What is left is looked for, and killed, in the groups where there are some.
        self.apply_limits();
        if self.record.run.is_none() && !self.record.mark.is_empty() {
            launch::settle(&self.folder);
            self.record.run = self.find_process(None);
            match self.record.run {
                Some(run) => {
                    log::info!("{} was just being started; it is process {}", self.name(), run.pid);
                    self.record.status = ChildStatus::Running;
                    self.save();
                }
                None => self.ended(End::Unknown, now, notes),
            }
        } else if let Some(run) = self.record.run {
            if self.is_alive(run) {
                log::info!("{} still runs as process {}", self.name(), run.pid);
            } else {
                if !self.record.wanted || self.record.due.is_some() {
                    // Its stop was under way, so this is no unexpected end.
                    self.stopping = Some(Stopping { kill_at: now, killed: false });
                }
                self.first_process_ended(run, End::Unknown, now, notes);
            }
        } else {
            // The agent may have been killed before all of it was dead.
            self.lingering = true;
        }
        if self.record.run.is_some() {
            self.group.recheck(self.record.run);
            self.health.socket(&self.definition, &self.folder);
            self.health.start(now);
            if !self.record.wanted {
                // The stop that was under way, or the job that comes again, finds it stopping.
                self.stop(now);
            } else if self.record.due.is_some() {
                self.stop_to_start_again(now);
            }
        }
    }

    fn is_alive(&self, run: Identity) -> bool {
        Process::of(run.pid).is_some_and(|found| found.identity == run && found.state != b'Z')
    }

    /// The process of a start that isn't known: the one in the file that it writes, or the first
    /// of those with its mark but for `not`.
    fn find_process(&self, not: Option<u32>) -> Option<Identity> {
        let mut found = launch::find(&self.folder, &self.record.mark);
        found.retain(|process| Some(process.identity.pid) != not);
        if let Some(path) = &self.definition.pidfile {
            let pid =
                fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
            if let Some(named) = found.iter().find(|process| Some(process.identity.pid) == pid) {
                return Some(named.identity);
            }
        }
        found.first().map(|process| process.identity)
    }

    /// Starts it, out of every state. Nothing may be left of it.
    pub fn begin(&mut self, now: Duration, boot: &str, notes: &Notes) {
        let mark = match random::uuid() {
            Ok(mark) => mark,
            Err(error) => return self.put_off(&error.to_string(), now),
        };
        self.record.boot = boot.to_owned();
        self.record.mark = mark;
        self.record.due = None;
        self.record.wanted = true;
        self.record.settled = false;
        // The mark is on disk before there is a process that has it.
        if let Err(error) = self.try_save() {
            self.record.mark = String::new();
            return self.put_off(&error.to_string(), now);
        }
        self.apply_limits();
        let socket = self.health.socket(&self.definition, &self.folder);
        let started = launch::start(
            &self.folder,
            &self.definition,
            &self.record,
            &self.group,
            socket.as_deref(),
        );
        match started {
            Ok(run) => {
                log::info!("{} started as process {}", self.name(), run.pid);
                self.record.run = Some(run);
                self.record.status = ChildStatus::Running;
                self.record.reason.clear();
                self.used = None;
                self.group.recheck(Some(run));
                self.health.start(now);
                self.save();
            }
            Err(reason) => {
                self.doomed = Some(format!("spawn: {reason}"));
                self.ended(End::Unknown, now, notes);
            }
        }
    }

    fn put_off(&mut self, why: &str, now: Duration) {
        log::error!(
            "{} can't be started, trying again in {} s: {why}",
            self.name(),
            AGAIN.as_secs()
        );
        self.record.due = Some(now + AGAIN);
    }

    /// Stops it on purpose. It has ended when [`Unit::is_clear`].
    pub fn stop(&mut self, now: Duration) {
        self.end(now, false);
    }

    /// Stops it, and it is started again as soon as nothing of it is left, if need be by the next
    /// agent: whenever this one is killed, the record says that it is to run. A stop that is under
    /// way stays what it is.
    pub fn stop_to_start_again(&mut self, now: Duration) {
        if self.stopping.is_none() {
            self.end(now, true);
        }
    }

    /// Stops it because the agent ends, and starts with the next one. It is killed at `kill_at` if its
    /// own stop time isn't over before, and so is one whose stop is under way.
    pub fn stop_with_agent(&mut self, now: Duration, kill_at: Duration) {
        // Written down as one that is to run before it is told: init kills an agent that takes its time.
        self.stop_to_start_again(now);
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = stopping.kill_at.min(kill_at);
        }
    }

    fn end(&mut self, now: Duration, again: bool) {
        self.record.wanted = again;
        self.record.due = again.then_some(now);
        self.doomed = None;
        let stop_time = self.definition.stop_time;
        let stopping = Stopping { kill_at: now + stop_time, killed: false };
        match self.record.run {
            Some(_) if self.stopping.is_some() => {}
            Some(run) => {
                self.stopping = Some(stopping);
                self.save();
                if self.definition.stop_as_group {
                    self.group.signal_all(Some(run), self.definition.stop_signal);
                } else {
                    self.group.resume();
                    let _ = process::signal(run.pid, self.definition.stop_signal);
                }
            }
            None => {
                if self.settling.take().is_some() {
                    self.group.kill_all(None);
                    self.lingering = true;
                }
                self.record.mark.clear();
                // What was given up isn't down on purpose.
                if self.record.status != ChildStatus::Fatal {
                    self.record.status = ChildStatus::Stopped;
                    self.record.reason.clear();
                    self.record.streak = 0;
                }
                self.save();
            }
        }
    }

    /// It is started again as soon as nothing of it is left, if need be by the next agent.
    pub fn start_again(&mut self, now: Duration) {
        self.record.wanted = true;
        self.record.due = Some(now);
        self.save();
    }

    /// Its definition has changed. What runs is restarted, what was given up is given another chance,
    /// and what is stopped stays so.
    pub fn renew(&mut self, now: Duration) {
        if self.is_up() && self.stopping.is_none() {
            log::info!("the definition of {} has changed; it is restarted", self.name());
            self.record.streak = 0;
            self.stop_to_start_again(now);
        } else if self.record.status == ChildStatus::Fatal {
            self.record.streak = 0;
            self.start_again(now);
        }
    }

    /// Kills it against its will; it is restarted by the rule.
    pub fn doom(&mut self, reason: &str, message: &str, notes: &Notes) {
        if self.doomed.is_none() && self.stopping.is_none() && self.record.run.is_some() {
            let category = if reason == "health" { "health" } else { "limit" };
            notes.event(category, self.name(), reason, format!("{message}; it is killed"));
            self.doomed = Some(reason.to_owned());
            self.group.kill_all(self.record.run);
        }
    }

    /// Looks at what has happened; says when to look again.
    pub fn turn(
        &mut self,
        now: Duration,
        may_start: bool,
        boot: &str,
        notes: &Notes,
    ) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        let mut by = |time: Duration| next = Some(next.map_or(time, |next| next.min(time)));
        if let Some(run) = self.record.run {
            match child::wait(run.pid) {
                Waited::Running => self.is_stranger = false,
                Waited::Ended(end) => self.first_process_ended(run, end, now, notes),
                Waited::Stranger if !self.is_alive(run) => {
                    self.first_process_ended(run, End::Unknown, now, notes);
                }
                Waited::Stranger => {
                    self.is_stranger = true;
                    if self.watcher.is_none() {
                        by(now + STRANGER);
                    }
                }
            }
        }
        if let Some(until) = self.settling {
            self.settle(until, now, notes);
            if self.settling.is_some() {
                by(now + LOOK);
            }
        }
        if let (Some(stopping), Some(run)) = (&mut self.stopping, self.record.run) {
            if now < stopping.kill_at {
                by(stopping.kill_at);
            } else {
                if !stopping.killed {
                    log::warn!(
                        "{} doesn't heed its stop signal and is killed",
                        self.definition.name
                    );
                    stopping.killed = true;
                }
                self.group.kill_all(Some(run));
                by(now + LOOK);
            }
        } else if let Some(run) = self.record.run {
            if self.doomed.is_some() {
                self.group.kill_all(Some(run));
                by(now + LOOK);
            } else {
                if self.group.needs_looking() {
                    if let Some(excess) = self.group.look(Some(run), Instant::now()) {
                        self.doom(excess.reason(), &excess.to_string(), notes);
                    }
                    by(now + LOOK);
                }
                match self.health.judge(&self.definition, now) {
                    Ok(due) => due.into_iter().for_each(&mut by),
                    Err(why) => {
                        self.doom("health", &why, notes);
                        by(now + LOOK);
                    }
                }
            }
            let well_at = started(run) + self.rules.window;
            if self.record.streak > 0 || self.record.trial {
                match now < well_at {
                    true => by(well_at),
                    false => self.is_well_again(notes),
                }
            }
        }
        if let Some(due) = self.record.due.filter(|_| may_start) {
            if now < due {
                by(due);
            } else if self.is_clear() {
                self.begin(now, boot, notes);
                // What it brought about is looked at in the next turn, at once.
                by(now);
            } else {
                by(now + LOOK);
            }
        } else if self.lingering && !self.is_clear() {
            by(now + DYING);
        }
        next
    }

    fn is_well_again(&mut self, notes: &Notes) {
        if self.record.streak > 0 {
            let seconds = self.rules.window.as_secs();
            notes.event("recovered", self.name(), "", format!("it has run for {seconds} s again"));
        }
        self.record.streak = 0;
        self.record.trial = false;
        self.save();
    }

    /// What a report says of it.
    pub fn child(&mut self, now: Duration) -> Child {
        let run = self.record.run;
        let uptime = run.map_or(0, |run| now.saturating_sub(started(run)).as_secs());
        let (mut cpu, mut memory) = (None, None);
        if run.is_some() {
            let usage = self.group.usage(run);
            memory = Some(usage.memory);
            let (before, since) =
                self.used.unwrap_or((Duration::ZERO, now - Duration::from_secs(uptime).min(now)));
            let time = now.saturating_sub(since).as_millis();
            let used = usage.cpu.saturating_sub(before).as_millis();
            cpu = (used * 10_000).checked_div(time).map(|share| share as u32);
            self.used = Some((usage.cpu, now));
        }
        let applied = self.group.recheck(run);
        let unhealthy = || self.health.trouble().map(|_| "health".to_owned()).unwrap_or_default();
        Child {
            name: self.definition.name.clone(),
            version: match self.record.version.is_empty() {
                true => self.definition.version.clone(),
                false => self.record.version.clone(),
            },
            status: self.record.status,
            uptime,
            reason: if run.is_some() { unhealthy() } else { self.record.reason.clone() },
            next_start: self.record.due.map(|due| due.saturating_sub(now).as_secs()),
            cpu,
            memory,
            cpu_enforced: applied.cpu,
            memory_enforced: applied.memory,
        }
    }
}

/// When a process was started, counted from boot.
pub fn started(run: Identity) -> Duration {
    tree::ticks(run.started)
}

/// The folder of a child below the state folder.
pub fn folder(state: &Path, name: &str) -> PathBuf {
    state.join("children").join(name)
}

#[cfg(test)]
mod tests;
