//! The way back to the version before, and off the device.

use super::super::Supervisor;
use super::super::definitions::{self, BY_FILE};
use super::super::jobs::Failure;
use super::define::Source;
use super::job::{Site, in_words};
use super::order::Act;
use super::plan::{Phase, Plan};
use super::system;
use crate::sys::clock;
use smol::Timer;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::bootagent::ChildStatus;

/// After a step back that failed, most often of a full disk, it is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// A version on trial has become fatal after its job was done: the one before takes its place.
pub async fn roll_back(supervisor: &Rc<Supervisor>, name: &str) {
    let site = Site::of(supervisor, name);
    let on_trial =
        |plan: &Plan| plan.from.is_some() && matches!(plan.phase, Phase::Trial | Phase::Back);
    match Plan::load(&site.folder).filter(on_trial) {
        Some(mut plan) => {
            let why = supervisor.with(name, |unit| unit.record.reason.clone());
            site.turn_back(&mut plan, why.unwrap_or_default());
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

impl Site<'_> {
    /// Decides that the version before takes its place again.
    pub(super) fn turn_back(&self, plan: &mut Plan, why: String) {
        (plan.phase, plan.why) = (Phase::Back, why);
        self.save(plan);
    }

    /// Brings back what was before the plan; says what happened.
    pub(super) async fn back(&self, plan: &mut Plan) -> String {
        while let Err(failure) = self.step_back(plan).await {
            log::error!(
                "{} can't go back to what was before, trying again in {} s: {}",
                self.name,
                AGAIN.as_secs(),
                failure.message
            );
            Timer::after(AGAIN).await;
        }
        let (to, why) = (self.version(&plan.to), &plan.why);
        let words = match &plan.from {
            Some(from) => {
                let from = self.version(from);
                format!("version {to} failed: {why}; version {from} is in its place again")
            }
            None => why.clone(),
        };
        if plan.from.is_some() {
            self.supervisor.notes().event("rollback", self.name, &plan.why, words.clone());
        }
        plan.phase = Phase::Done;
        if plan.before.is_some() {
            self.save(plan);
            self.clean_up();
        }
        words
    }

    async fn step_back(&self, plan: &Plan) -> Result<(), Failure> {
        let _held = self.supervisor.hold(self.name).await;
        self.end_child().await?;
        let is_system =
            |name: &str| self.versions.note(name).is_some_and(|note| system::is_for(note.kind));
        let managed = match &plan.from {
            Some(from) if is_system(from) => self.manage(Act::Apply, &plan.job, from).await,
            _ if is_system(&plan.to) => self.manage(Act::Remove, &plan.job, &plan.to).await,
            _ => Ok(()),
        };
        if let Err(failure) = managed {
            // What can be done without it is done all the same.
            log::error!("{}: {}", self.name, failure.message);
        }
        self.versions.switch(plan.from.as_deref(), None).map_err(in_words)?;
        let Some(before) = &plan.before else {
            // It wasn't there.
            return self.supervisor.forget(self.name).map_err(in_words);
        };
        self.define(self.definition_before(plan)?)?;
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

    fn definition_before(&self, plan: &Plan) -> Result<Source, Failure> {
        let unreadable = |what: String| Failure::new(format!("its definition before: {what}"));
        if let Some(text) = &plan.definition {
            let definition = super::super::definition::Definition::parse(text)
                .map_err(|error| unreadable(error.to_string()))?;
            return Ok(Source::Text(text.clone(), Box::new(definition)));
        }
        let (found, _) = definitions::read_folder(&self.supervisor.settings().definitions);
        let file = found.into_iter().find(|found| found.definition.name == self.name);
        if let Some(found) = file
            && let Some(file) = found.file
        {
            return Ok(Source::File(Box::new(found.definition), file));
        }
        // What its file said when it was last good.
        let kept = self.folder.join(BY_FILE);
        let definition = definitions::read_file(&kept).map_err(unreadable)?;
        Ok(Source::File(Box::new(definition), kept))
    }
}
