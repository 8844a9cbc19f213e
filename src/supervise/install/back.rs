//! The way back to the version before, and off the device.

use super::super::Supervisor;
use super::super::definition::Definition;
use super::super::definitions::{self, BY_FILE};
use super::super::jobs::Failure;
use super::define::Source;
use super::job::{Site, in_words};
use super::order::Act;
use super::plan::{Before, Phase, Plan};
use super::system;
use crate::reactor::after;
use crate::sys::clock;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::bootagent::ChildStatus;

/// After a step back that failed, most often of a full disk, it is tried again; each further
/// pause is twice as long, up to the pause before a restart.
const AGAIN: Duration = Duration::from_secs(10);

/// So many times. With the founding page's pauses that is a quarter of an hour. Tries that fail of the disk
/// don't count: it may have room again, or come back, at any time.
const MAX_TRIES: u32 = 10;

/// A version on trial has become fatal after its job was done: the one before takes its place.
pub async fn roll_back(supervisor: &Rc<Supervisor>, name: &str) {
    let site = Site::of(supervisor, name);
    let on_trial =
        |plan: &Plan| plan.older().is_some() && matches!(plan.phase, Phase::Trial | Phase::Back);
    match Plan::load(&site.folder).filter(on_trial) {
        Some(mut plan) => {
            // One that an earlier agent had begun knows why.
            if plan.phase == Phase::Trial {
                let why = supervisor.with(name, |unit| unit.record.reason.clone());
                site.turn_back(&mut plan, why.unwrap_or_default());
            }
            site.back(&mut plan).await;
        }
        None => {
            let _ = supervisor.with(name, |unit| {
                unit.record.trial = false;
                unit.save();
            });
        }
    }
}

/// Whether the way back to the version before has been begun and isn't at its end: a boot doesn't
/// undo that, although it forgets how the child failed.
pub fn is_going_back(supervisor: &Rc<Supervisor>, name: &str) -> bool {
    let plan = Plan::load(&Site::of(supervisor, name).folder);
    plan.is_some_and(|plan| plan.phase == Phase::Back && plan.older().is_some())
}

/// Takes the package of a child off the device, as far as it isn't in the child's folder.
///
/// # Errors
/// The system's package manager can't.
pub async fn remove(supervisor: &Rc<Supervisor>, name: &str, job: &str) -> Result<(), Failure> {
    let site = Site::of(supervisor, name);
    let Some(current) = site.versions.current() else { return Ok(()) };
    let is_system = site.versions.note(&current).is_some_and(|note| system::is_for(note.kind));
    if is_system { site.manage(Act::Remove, job, &current).await } else { Ok(()) }
}

/// The pause after so many tries that failed.
fn pause(tries: u32, longest: Duration) -> Duration {
    AGAIN.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(longest)
}

impl Site<'_> {
    /// Decides that the version before takes its place again.
    pub(super) fn turn_back(&self, plan: &mut Plan, why: String) {
        (plan.phase, plan.why) = (Phase::Back, why);
        self.save(plan);
    }

    /// Brings back what was before the plan; says what happened.
    pub(super) async fn back(&self, plan: &mut Plan) -> String {
        let mut tries = 1;
        let failure = loop {
            let Err(failure) = self.step_back(plan).await else { break None };
            let what = &failure.message;
            log::error!("{} can't go back to what was before (try {tries}): {what}", self.name);
            let cooldown = self.supervisor.settings().cooldown;
            if failure.is_of_disk {
                after(cooldown).await;
                continue;
            }
            if tries == MAX_TRIES {
                break Some(failure);
            }
            after(pause(tries, cooldown)).await;
            tries += 1;
        };
        let (to, why) = (self.version(&plan.to), &plan.why);
        let from = plan.older().map(|from| self.version(from));
        let (words, is_back) = match (&failure, &from) {
            (None, Some(from)) => {
                (format!("version {to} failed: {why}; version {from} is in its place again"), true)
            }
            (None, None) => (why.clone(), true),
            (Some(failure), _) => (self.give_up(plan, &failure.message), false),
        };
        if from.is_some() || !is_back {
            self.supervisor.notes().event("rollback", self.name, &plan.why, words.clone());
        }
        plan.phase = Phase::Done;
        if plan.before.is_some() || plan.from.is_some() {
            self.save(plan);
            // What may be wanted yet to mend this by hand stays.
            if is_back || self.versions.current() == plan.from {
                self.clean_up();
            }
        }
        words
    }

    /// There is no way back. Where the version before has its place again the child runs as it is;
    /// else it stays down. Says so.
    fn give_up(&self, plan: &Plan, failure: &str) -> String {
        let is_back = plan.from.is_some() && self.versions.current() == plan.from;
        let restored = plan.before.as_ref().filter(|_| is_back).map(|before| self.restore(before));
        if let Some(Err(error)) = restored {
            log::error!("{}: {}", self.name, error.message);
        }
        // What can't be written down holds at least until the agent's next start.
        let _ = self.supervisor.with(self.name, |unit| unit.record.trial = false);
        let (to, why) = (self.version(&plan.to), &plan.why);
        format!(
            "version {to} failed: {why}; what was before can't be brought back, and after \
             {MAX_TRIES} tries it is given up: {failure}"
        )
    }

    async fn step_back(&self, plan: &Plan) -> Result<(), Failure> {
        let _held = self.supervisor.hold(self.name).await;
        self.end_child().await?;
        let managed = match self.undo(plan) {
            Some((act, version)) => self.manage(act, &plan.job, version).await,
            None => Ok(()),
        };
        if let Err(failure) = managed {
            // What can be done without it is done all the same.
            log::error!("{}: {}", self.name, failure.message);
        }
        self.point_back(plan)?;
        let Some(before) = &plan.before else {
            if plan.from.is_none() {
                // It wasn't there.
                return self.supervisor.forget(self.name).map_err(in_words);
            }
            // Its package was, and stays; nobody knew the child, so nobody wants it to run.
            return self.define(self.definition_before(plan));
        };
        self.define(self.definition_before(plan))?;
        self.restore(before)
    }

    /// Gives the child what jobs had given it before; it runs again if it was to.
    fn restore(&self, before: &Before) -> Result<(), Failure> {
        let now = clock::since_boot();
        let saved = self.supervisor.with(self.name, |unit| {
            unit.record.version.clone_from(&before.version);
            unit.record.envs.clone_from(&before.envs);
            unit.record.limits.clone_from(&before.limits);
            unit.record.trial = false;
            unit.record.streak = 0;
            unit.record.status = ChildStatus::Stopped;
            unit.record.reason.clear();
            unit.record.wanted = before.wanted;
            unit.record.due = before.wanted.then_some(now);
            unit.apply_limits();
            unit.try_save()
        })?;
        saved.map_err(in_words)?;
        self.supervisor.wake();
        Ok(())
    }

    /// What the system's package manager has to do. It never removes what is the version before,
    /// nor what may be.
    fn undo<'p>(&self, plan: &'p Plan) -> Option<(Act, &'p str)> {
        let is_system = |name: &str| self.versions.note(name).map(|note| system::is_for(note.kind));
        match &plan.from {
            Some(from) if is_system(from) == Some(true) => Some((Act::Apply, from)),
            // One that can't be read now may be the system's too.
            Some(from) if is_system(from).is_none() => None,
            _ if is_system(&plan.to) == Some(true) => Some((Act::Remove, &plan.to)),
            _ => None,
        }
    }

    /// Lets the links say what they said before.
    fn point_back(&self, plan: &Plan) -> Result<(), Failure> {
        let is_same = plan.from.as_ref() == Some(&plan.to);
        let previous = if is_same { self.versions.previous() } else { None };
        self.versions.switch(plan.from.as_deref(), previous.as_deref()).map_err(in_words)
    }

    /// Its definition before. Where none can be read, what it has now stays: going back to another
    /// version matters more than going back to every word.
    fn definition_before(&self, plan: &Plan) -> Source {
        if let Some(text) = &plan.definition {
            match Definition::parse(text) {
                Ok(definition) => return Source::Text(text.clone(), Box::new(definition)),
                Err(error) => log::error!("{}: its definition before: {error}", self.name),
            }
        }
        if let Some(found) = self.of_operator()
            && let Some(file) = found.file
        {
            return Source::File(Box::new(found.definition), file);
        }
        // What its file said when it was last good.
        let kept = self.folder.join(BY_FILE);
        match definitions::read_kept(&kept) {
            Ok(Some(definition)) => return Source::File(Box::new(definition), kept),
            Ok(None) => {}
            Err(error) => log::error!("{}: {error}", self.name),
        }
        Source::Kept
    }
}

#[cfg(test)]
mod tests;
