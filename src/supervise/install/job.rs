//! The jobs install and upgrade.
//!
//! Each step is durable before the next begins, so that after a power cut the same job goes on
//! where it was: what then runs is the old version or the new one, whole, and the job has one
//! result.

use super::super::definitions::{self, Found};
use super::super::jobs::{self, Failure};
use super::super::{Supervisor, child};
use super::define::{self, Source};
use super::order::{Act, Order};
use super::plan::{Before, Phase, Plan};
use super::process::carry_out;
use super::versions::Versions;
use super::{prepare, system};
use crate::reactor::after;
use crate::sys::{FileError, clock, durable};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::bootagent::{ChildStatus, Job};

/// Between two looks at a version that has to show that it stays up.
const LOOK: Duration = Duration::from_secs(1);

/// Puts a package on the device and starts it, or puts it in the place of the version that is
/// there. Done when the new version has stayed up from one look of the supervisor to the next.
///
/// # Errors
/// It couldn't be had or installed, or it doesn't stay up. What was there before runs again.
pub async fn install(supervisor: &Rc<Supervisor>, job: &Job) -> Result<String, Failure> {
    let site = Site::of(supervisor, &job.name);
    let key = format!("{} {}", job.action.as_str(), job.id);
    let begun = Plan::load(&site.folder);
    let mut plan = match begun.filter(|plan| plan.job == key && plan.phase != Phase::Done) {
        Some(plan) => plan,
        None => match site.prepare(job, key).await {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                jobs::config(supervisor, job).await?;
                return Ok("it is installed already".to_owned());
            }
            Err(failure) => {
                site.clean_up();
                return Err(failure);
            }
        },
    };
    if plan.phase == Phase::Switching
        && let Err(failure) = site.switch(job, &mut plan).await
    {
        site.turn_back(&mut plan, failure.message);
    }
    if plan.phase == Phase::Trial {
        let Err(failure) = site.stays_up().await else {
            site.clean_up();
            return Ok(format!("version {} is installed", site.version(&plan.to)));
        };
        if plan.older().is_none() {
            // There is nothing to go back to: it stays as it is, for the operator to look at.
            plan.phase = Phase::Done;
            site.save(&plan);
            site.clean_up();
            let version = site.version(&plan.to);
            let why = failure.message;
            return Err(Failure::new(format!("version {version} doesn't stay up: {why}")));
        }
        site.turn_back(&mut plan, failure.message);
    }
    let words = site.back(&mut plan).await;
    Err(Failure::new(words))
}

/// Where a child is installed.
pub struct Site<'a> {
    pub(super) supervisor: &'a Rc<Supervisor>,
    pub(super) name: &'a str,
    pub(super) folder: PathBuf,
    pub(super) versions: Versions,
}

impl<'a> Site<'a> {
    /// That of the child `name`, which need not be there yet.
    pub fn of(supervisor: &'a Rc<Supervisor>, name: &'a str) -> Site<'a> {
        let folder = supervisor.folder(name);
        Site { supervisor, name, versions: Versions::of(&folder), folder }
    }

    /// Gets the package and finds out all that can be wrong with it. Nothing that runs is touched.
    /// `None`: the version that runs is of this very package.
    pub(super) async fn prepare(&self, job: &Job, key: String) -> Result<Option<Plan>, Failure> {
        let checksum = job.checksum.clone().unwrap_or_default();
        let sha256 = prepare::checksum(&checksum).map_err(|why| Failure::new(why.to_string()))?;
        if job.url.is_none() {
            return Err(Failure::new("the job has no url of a package"));
        }
        let current = self.versions.current();
        let runs = current.as_ref().and_then(|current| self.versions.note(current));
        if runs.is_some_and(|note| note.sha256 == sha256) && !job.force && self.is_known() {
            return Ok(None);
        }
        let definition = self.given()?;
        durable::make_folder(&self.folder).map_err(in_words)?;
        let order = self.order(job, key.clone());
        let to = carry_out(&self.folder, &order).await?;
        let plan = Plan {
            job: key,
            phase: Phase::Switching,
            from: current,
            definition,
            before: self
                .supervisor
                .with(self.name, |unit| Before {
                    wanted: unit.record.wanted,
                    envs: unit.record.envs.clone(),
                    limits: unit.record.limits.clone(),
                    version: unit.record.version.clone(),
                })
                .ok(),
            to,
            why: String::new(),
        };
        let source = define::choose(job, self, &plan)?;
        define::check(&source, &self.versions, &plan.to)?;
        plan.save(&self.folder).map_err(in_words)?;
        Ok(Some(plan))
    }

    /// The text of the definition that a job has given the child. Of one that can't be read any more
    /// the child itself knows what it said.
    pub(super) fn given(&self) -> Result<Option<String>, Failure> {
        match definitions::read_kept(&self.folder.join(definitions::BY_JOB)) {
            Ok(kept) => Ok(kept.map(|definition| definition.text)),
            Err(error) => {
                log::error!("{}: {error}", self.name);
                let known = self.supervisor.with(self.name, |unit| unit.definition.clone());
                // Who runs what, and what of it may be replaced, nobody knows.
                let Ok(known) = known else {
                    return Err(Failure::new(format!(
                        "{error}; mend it, or uninstall the child first"
                    )));
                };
                let by_file = self.of_operator().is_some_and(|file| file.definition == known);
                Ok(Some(known.text).filter(|_| !by_file))
            }
        }
    }

    /// What a file of the operator says of the child.
    pub(super) fn of_operator(&self) -> Option<Found> {
        let (found, _) = definitions::read_folder(&self.supervisor.settings().definitions);
        found.into_iter().find(|found| found.definition.name == self.name)
    }

    /// What has to be done before anything that runs is touched.
    pub(super) fn order(&self, job: &Job, key: String) -> Order {
        let settings = self.supervisor.settings();
        Order {
            act: Act::Prepare,
            job: key,
            child: self.name.to_owned(),
            url: job.url.clone().unwrap_or_default(),
            checksum: job.checksum.clone().unwrap_or_default(),
            version: job.version.clone(),
            folder: String::new(),
            max_package: settings.max_package,
            sources: settings.sources.clone(),
        }
    }

    /// Stops what runs and starts the new version in its place.
    async fn switch(&self, job: &Job, plan: &mut Plan) -> Result<(), Failure> {
        let gone = || Failure::new(format!("version {} is gone", plan.to));
        let note = self.versions.note(&plan.to).ok_or_else(gone)?;
        let _held = self.supervisor.hold(self.name).await;
        self.end_child().await?;
        if system::is_for(note.kind) {
            self.manage(Act::Apply, &plan.job, &plan.to).await?;
        }
        let source = define::choose(job, self, plan)?;
        let previous = plan.older().map(str::to_owned).or_else(|| self.versions.previous());
        self.versions.switch(Some(&plan.to), previous.as_deref()).map_err(in_words)?;
        self.define(source)?;
        let now = clock::since_boot();
        let saved = self.supervisor.with(self.name, |unit| {
            jobs::adopt_settings(&mut unit.record, job);
            unit.record.version.clone_from(&note.version);
            // With nothing to go back to, a trial would only end in giving it up.
            unit.record.trial = plan.older().is_some();
            unit.record.streak = 0;
            // What the version before was, `fatal` perhaps, is not this one's.
            unit.record.status = ChildStatus::Stopped;
            unit.record.reason.clear();
            unit.record.wanted = true;
            unit.record.due = Some(now);
            unit.apply_limits();
            unit.try_save()
        })?;
        saved.map_err(in_words)?;
        plan.phase = Phase::Trial;
        plan.save(&self.folder).map_err(in_words)?;
        let version = &note.version;
        let message = match plan.older() {
            Some(from) => format!("version {version} takes the place of {}", self.version(from)),
            None => format!("version {version} is installed"),
        };
        self.supervisor.notes().event("install", self.name, version, message);
        self.supervisor.wake();
        Ok(())
    }

    /// Waits until the new version has shown that it stays up.
    async fn stays_up(&self) -> Result<(), Failure> {
        let settings = self.supervisor.settings();
        let settled = settings.check.min(settings.window);
        let last = clock::since_boot() + settings.window + settings.check;
        loop {
            let now = clock::since_boot();
            let (status, reason, due, run) = self.supervisor.with(self.name, |unit| {
                let record = &unit.record;
                (record.status, record.reason.clone(), record.due, record.run)
            })?;
            let age = run.map(|run| now.saturating_sub(child::started(run)));
            match status {
                ChildStatus::Running if age.is_some_and(|age| age >= settled) => return Ok(()),
                // It has ended well, or has been stopped meanwhile.
                ChildStatus::Stopped if due.is_none() => return Ok(()),
                ChildStatus::Fatal => return Err(Failure::new(reason)),
                ChildStatus::Killed if due.is_none() || now > last => {
                    return Err(Failure::new(reason));
                }
                _ if now > last => return Ok(()),
                _ => {}
            }
            after(LOOK.min(settled)).await;
        }
    }

    /// Whether the supervisor knows the child.
    pub(super) fn is_known(&self) -> bool {
        self.supervisor.with(self.name, |_| ()).is_ok()
    }

    /// Stops the child, if there is one; done when nothing of it is left.
    pub(super) async fn end_child(&self) -> Result<(), Failure> {
        if self.is_known() {
            jobs::stop(self.supervisor, self.name).await.map(drop)
        } else {
            Ok(())
        }
    }

    /// Has the system's package manager install or remove a version.
    pub(super) async fn manage(&self, act: Act, job: &str, version: &str) -> Result<(), Failure> {
        let order = Order {
            act,
            job: job.to_owned(),
            child: self.name.to_owned(),
            url: String::new(),
            checksum: String::new(),
            version: None,
            folder: version.to_owned(),
            max_package: 0,
            sources: Default::default(),
        };
        carry_out(&self.folder, &order).await.map(drop)
    }

    /// Gives the child its definition.
    pub(super) fn define(&self, source: Source) -> Result<(), Failure> {
        let by_job = self.folder.join(definitions::BY_JOB);
        match source {
            Source::Text(text, definition) => durable::write(&by_job, text.as_bytes())
                .and_then(|()| self.supervisor.define(*definition, None))
                .map_err(in_words),
            Source::File(definition, file) => durable::remove(&by_job)
                .and_then(|()| definitions::keep(&file, &self.folder))
                .and_then(|()| self.supervisor.define(*definition, Some(&file)))
                .map_err(in_words),
            Source::Kept => Ok(()),
            Source::Later => {
                let name = self.name;
                Err(Failure::new(format!("the package says nothing of how {name} is started")))
            }
        }
    }

    /// What people call the version in a folder.
    pub(super) fn version(&self, name: &str) -> String {
        self.versions.note(name).map_or_else(|| name.to_owned(), |note| note.version)
    }

    /// Writes the plan down. One that can't be written is only logged: the next step is no other.
    pub(super) fn save(&self, plan: &Plan) {
        if let Err(error) = plan.save(&self.folder) {
            log::error!("{}: {error}", self.name);
        }
    }

    /// Removes what is of no use any more. What can't be removed now is, the next time.
    pub(super) fn clean_up(&self) {
        let done = Order::forget(&self.folder).and_then(|()| self.versions.prune());
        if let Err(error) = done {
            log::warn!("{}: {error}", self.name);
        }
        if !self.is_known() {
            Order::leave(&self.folder);
        }
    }
}

/// A failure of a file operation, as that of a job.
pub fn in_words(error: FileError) -> Failure {
    let code = error.cause.raw_os_error().unwrap_or_default();
    let is_of_disk = [libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EIO].contains(&code);
    Failure { is_of_disk, ..Failure::new(error.to_string()) }
}
