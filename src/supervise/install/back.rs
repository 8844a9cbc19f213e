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
        |plan: &Plan| plan.older().is_some() && matches!(plan.phase, Phase::Trial | Phase::Back);
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
        let words = match plan.older() {
            Some(from) => {
                let from = self.version(from);
                format!("version {to} failed: {why}; version {from} is in its place again")
            }
            None => why.clone(),
        };
        if plan.older().is_some() {
            self.supervisor.notes().event("rollback", self.name, &plan.why, words.clone());
        }
        plan.phase = Phase::Done;
        if plan.before.is_some() || plan.from.is_some() {
            self.save(plan);
            self.clean_up();
        }
        words
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
            return match self.definition_before(plan) {
                Ok(source) => self.define(source),
                Err(_) => Ok(()),
            };
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

#[cfg(test)]
mod tests {
    use super::super::kind::Kind;
    use super::super::order::Outcome;
    use super::super::plan::Before;
    use super::super::versions::{Note, Versions};
    use super::*;
    use crate::config::Supervise;
    use crate::supervise::limits::Groups;
    use crate::testing::Folder;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use stint_wire::bootagent::{Action, Job};

    const DEFINITION: &str = "{\"name\":\"app\",\"exec\":\"app\"}";

    fn supervisor(folder: &Folder) -> Rc<Supervisor> {
        let definitions = folder.path().join("children.d");
        let settings = Supervise { definitions, ..Supervise::default() };
        let supervisor = Supervisor::open(folder.path(), settings).unwrap();
        assert!(supervisor.groups.set(Groups::none()).is_ok());
        Rc::new(supervisor)
    }

    fn sha256(version: &str) -> String {
        version.repeat(64)
    }

    fn add(versions: &Versions, version: &str, kind: Kind) {
        let note = Note {
            version: version.into(),
            sha256: sha256(version),
            kind,
            package: "app".into(),
            file: String::new(),
        };
        let made = versions.begin().unwrap();
        fs::write(made.join("app"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(made.join("app"), PermissionsExt::from_mode(0o755)).unwrap();
        versions.finish(&made, &note).unwrap();
    }

    /// The child has version 2, and had version 1 before.
    fn installed(site: &Site<'_>, kind: Kind) {
        add(&site.versions, "1", kind);
        add(&site.versions, "2", kind);
        site.versions.switch(Some("2"), Some("1")).unwrap();
        fs::write(site.folder.join(definitions::BY_JOB), DEFINITION).unwrap();
        let definition = super::super::super::definition::Definition::parse(DEFINITION).unwrap();
        site.supervisor.define(definition, None).unwrap();
    }

    fn plan(from: Option<&str>, to: &str) -> Plan {
        Plan {
            job: "install 1".into(),
            phase: Phase::Back,
            to: to.into(),
            from: from.map(str::to_owned),
            definition: Some(DEFINITION.into()),
            before: Some(Before::default()),
            why: "the disk is full".into(),
        }
    }

    #[test]
    fn a_package_that_can_t_be_installed_once_more_stays_as_it_is() {
        let folder = Folder::new();
        let supervisor = supervisor(&folder);
        let site = Site::of(&supervisor, "app");
        installed(&site, Kind::TarGz);
        let job = Job {
            id: "1".into(),
            action: Action::Install,
            name: "app".into(),
            version: None,
            url: Some("https://example.com/app.tgz".into()),
            checksum: Some(format!("SHA256:{}", sha256("2"))),
            envs: None,
            limits: None,
            definition: None,
            force: true,
            server_list: None,
            step: None,
        };
        // As the process has left it that fetches packages.
        let key = "install 1".to_owned();
        let incoming = site.order(&job, key.clone()).put(&site.folder).unwrap();
        Outcome { error: String::new(), folder: "2".into() }.put(&incoming).unwrap();
        let mut plan = smol::block_on(site.prepare(&job, key)).unwrap().unwrap();
        assert_eq!((plan.from.as_deref(), plan.to.as_str(), plan.older()), (Some("2"), "2", None));
        site.turn_back(&mut plan, "the disk is full".into());
        let words = smol::block_on(site.back(&mut plan));
        assert_eq!(words, "the disk is full");
        assert_eq!(site.versions.current().as_deref(), Some("2"));
        assert_eq!(site.versions.previous().as_deref(), Some("1"));
        assert!(site.is_known() && site.versions.path("2").join("app").exists());
    }

    #[test]
    fn the_systems_package_manager_removes_only_what_wasn_t_there() {
        let folder = Folder::new();
        let supervisor = supervisor(&folder);
        let site = Site::of(&supervisor, "app");
        installed(&site, Kind::Deb);
        add(&site.versions, "3", Kind::TarGz);
        for (from, to, wanted) in [
            (None, "2", Some((Act::Remove, "2"))),
            (Some("3"), "2", Some((Act::Remove, "2"))),
            (Some("1"), "2", Some((Act::Apply, "1"))),
            (Some("2"), "2", Some((Act::Apply, "2"))),
            // Its note can't be read.
            (Some("4"), "2", None),
            (None, "3", None),
        ] {
            assert_eq!(site.undo(&plan(from, to)), wanted, "{from:?} {to}");
        }
    }
}
