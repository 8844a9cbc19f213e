//! What each job does: one function per action.
//!
//! Two jobs of one child may be under way: a slow one (install, upgrade, uninstall), which fetches
//! for minutes, and a quick one, which overtakes it. Before a slow one touches the child it takes
//! the child for itself ([`Supervisor::hold`]).

use super::definition::Definition;
use super::definitions::BY_JOB;
use super::{Supervisor, install};
use crate::sys::durable;
use std::fs;
use std::io::ErrorKind;
use std::rc::Rc;
use stint_wire::bootagent::{Action, ChildStatus, Job};

/// `errcode` of a job that failed.
pub const FAILED: i32 = 1;

/// `errcode` of a job for a child that isn't there.
pub const NO_SUCH_CHILD: i32 = 3;

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub errcode: i32,
    /// For people.
    pub message: String,
    /// The disk is why: it is full, can't be written for now, or has trouble. That may pass by itself.
    pub is_of_disk: bool,
}

impl Failure {
    /// One that needs no number of its own.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { errcode: FAILED, message: message.into(), is_of_disk: false }
    }

    /// A process of the child is stuck in the kernel.
    pub fn stuck(name: &str) -> Failure {
        let seconds = super::DYING.as_secs();
        Failure::new(format!("{name} lives on {seconds} s after it was killed"))
    }

    /// There is no such child.
    pub fn no_such_child(name: &str) -> Failure {
        Failure {
            errcode: NO_SUCH_CHILD,
            ..Failure::new(format!("there is no child agent {name}"))
        }
    }
}

/// Whether a job takes long, and lets quick ones overtake it.
pub fn is_slow(action: Action) -> bool {
    matches!(action, Action::Install | Action::Upgrade | Action::Uninstall)
}

/// Does a job. The result is the message of its success.
pub async fn perform(supervisor: &Rc<Supervisor>, job: &Job) -> Result<String, Failure> {
    if job.name.is_empty() {
        return match job.action {
            Action::Config => supervisor.settings_job(job).await,
            _ => Err(Failure::new("the job names no child agent")),
        };
    }
    match job.action {
        Action::Install | Action::Upgrade => install::install(supervisor, job).await,
        Action::Uninstall => uninstall(supervisor, job).await,
        Action::Start => start(supervisor, &job.name).await,
        Action::Stop => stop(supervisor, &job.name).await,
        Action::Restart => restart(supervisor, &job.name).await,
        Action::Config => config(supervisor, job).await,
    }
}

fn success() -> Result<String, Failure> {
    Ok("success".to_owned())
}

/// Starts a child, out of every state.
///
/// # Errors
/// There is none, or its program can't be started.
pub async fn start(supervisor: &Rc<Supervisor>, name: &str) -> Result<String, Failure> {
    if supervisor.with(name, |unit| unit.is_up())? {
        return success();
    }
    // What is left of it from before must be gone first.
    supervisor.until_clear(name).await?;
    supervisor.begin(name)?;
    success()
}

/// Stops a child on purpose; done when nothing of it is left.
///
/// # Errors
/// There is none.
pub async fn stop(supervisor: &Rc<Supervisor>, name: &str) -> Result<String, Failure> {
    supervisor.halt(name)?;
    supervisor.until_clear(name).await?;
    success()
}

/// Stops and starts a child.
///
/// # Errors
/// There is none, or its program can't be started.
pub async fn restart(supervisor: &Rc<Supervisor>, name: &str) -> Result<String, Failure> {
    stop(supervisor, name).await?;
    start(supervisor, name).await
}

/// Changes environment, limits and definition of a child. Limits hold at once, the rest from the
/// next start on. A child that was given up is started anew.
///
/// # Errors
/// There is none, or the definition makes no sense.
pub async fn config(supervisor: &Rc<Supervisor>, job: &Job) -> Result<String, Failure> {
    if let Some(text) = &job.definition {
        define(supervisor, &job.name, text)?;
    }
    let saved = supervisor.with(&job.name, |unit| {
        adopt_settings(&mut unit.record, job);
        unit.apply_limits();
        unit.group.recheck(unit.record.run);
        unit.try_save()
    })?;
    saved.map_err(|error| Failure::new(error.to_string()))?;
    let status = supervisor.with(&job.name, |unit| unit.record.status)?;
    supervisor.wake();
    if status == ChildStatus::Fatal { start(supervisor, &job.name).await } else { success() }
}

/// Takes over what a job says of environment and limits. An empty object clears what an earlier
/// job said, and more: the child then has none.
pub fn adopt_settings(record: &mut super::record::Record, job: &Job) {
    if let Some(envs) = &job.envs {
        record.envs = Some(envs.clone());
    }
    if let Some(limits) = &job.limits {
        record.limits = Some(limits.clone());
    }
}

/// Gives a child the definition of a job. One that isn't known is known from now on, and stopped.
///
/// # Errors
/// The definition makes no sense, or can't be written.
pub fn define(supervisor: &Rc<Supervisor>, name: &str, text: &str) -> Result<(), Failure> {
    let definition = Definition::parse(text)
        .map_err(|error| Failure::new(format!("the definition makes no sense: {error}")))?;
    if definition.name != name {
        let other = &definition.name;
        return Err(Failure::new(format!("the job is for {name}, its definition for {other}")));
    }
    let folder = supervisor.folder(name);
    let kept = durable::make_folder(&folder)
        .and_then(|()| durable::write(&folder.join(BY_JOB), text.as_bytes()));
    kept.map_err(|error| Failure::new(error.to_string()))?;
    supervisor.define(definition, None).map_err(|error| Failure::new(error.to_string()))
}

/// Takes a child off the device: its processes, its package, its settings and its group. Also one
/// whose definition can't be read.
///
/// # Errors
/// Something of it can't be removed, and the job isn't to be forced.
pub async fn uninstall(supervisor: &Rc<Supervisor>, job: &Job) -> Result<String, Failure> {
    let name = &job.name;
    let _held = supervisor.hold(name).await;
    let (ended, file) = match supervisor.with(name, |unit| unit.record.file.clone()) {
        Ok(file) => (stop(supervisor, name).await.map(drop), file),
        // Wanted is that it isn't there.
        Err(_) if !supervisor.folder(name).exists() => return success(),
        Err(_) => supervisor.end_unknown(name).await,
    };
    if let Err(failure) = ended
        && !job.force
    {
        return Err(failure);
    }
    if let Err(failure) = install::remove(supervisor, name, &job.id).await
        && !job.force
    {
        return Err(failure);
    }
    if !file.is_empty() {
        // Left there, it would bring the child back.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound && !job.force => {
                return Err(Failure::new(format!("can't remove {file}: {error}")));
            }
            _ => {}
        }
    }
    supervisor.forget(name).map_err(|error| Failure::new(error.to_string()))?;
    supervisor.notes().event("uninstall", name, "", "it was taken off the device".to_owned());
    success()
}
