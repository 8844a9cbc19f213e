//! The supervisor: child agents that are kept running, limited and reported.
//!
//! Never here: a server's protocol. Jobs come in by [`Supervisor::accept`], from whichever side;
//! what becomes of them and of the children waits in queues on disk for whoever delivers it.

// Its callers, the uplink and the installer, are being written.
#![allow(dead_code)]

pub mod definition;
mod entries;
pub mod install;
pub mod limits;
pub mod policy;
mod queue;

pub use crate::config::Supervise as Settings;
pub use queue::Queue;

use crate::bell::Bell;
use crate::sys::FileError;
use smol::LocalExecutor;
use std::path::Path;
use std::rc::Rc;
use stint_wire::bootagent::{Child, Event, Job, JobResult};

/// More events than this wait for no server; the oldest are dropped.
const MAX_EVENTS: usize = 500;

/// More results than this wait for no server; the oldest are dropped.
const MAX_RESULTS: usize = 1000;

/// What became of a job that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is new, and will be done.
    New,
    /// It is being done, or its result waits already: nothing changes.
    Known,
    /// It has been done, and its result had been delivered: the same result waits once more.
    Repeated,
}

/// The children and their jobs. Lives on the loop.
pub struct Supervisor {
    events: Queue<Event>,
    results: Queue<JobResult>,
    changed: Bell,
}

impl Supervisor {
    /// Opens what is kept in the folder `state`.
    ///
    /// # Errors
    /// A folder can't be made or read.
    pub fn open(state: &Path, _settings: Settings) -> Result<Supervisor, FileError> {
        let own = state.join("supervise");
        Ok(Supervisor {
            events: Queue::open(own.join("events"), MAX_EVENTS)?,
            results: Queue::open(own.join("results"), MAX_RESULTS)?,
            changed: Bell::new(),
        })
    }

    /// Takes a job in; durable when it returns. A known pair of id and action is not done again.
    ///
    /// # Errors
    /// It can't be written down, and is not taken.
    pub fn accept(&self, _job: Job) -> Result<Accepted, FileError> {
        Ok(Accepted::Known)
    }

    /// The children as a status report shows them, by name.
    pub fn children(&self) -> Vec<Child> {
        Vec::new()
    }

    /// What happened and hasn't been delivered.
    pub fn events(&self) -> &Queue<Event> {
        &self.events
    }

    /// Results of jobs that haven't been delivered. Whoever does a job without the supervisor
    /// (the settings of an uplink) puts its result here by [`Supervisor::answer`].
    pub fn results(&self) -> &Queue<JobResult> {
        &self.results
    }

    /// Puts a result into the queue, and rings.
    ///
    /// # Errors
    /// It can't be written.
    pub fn answer(&self, result: &JobResult) -> Result<(), FileError> {
        self.results.push(result)?;
        self.changed.ring();
        Ok(())
    }

    /// What this device can do: bit 0: limits by control groups.
    pub fn feature_bits(&self) -> u32 {
        0
    }

    /// Rings when there is a new result or event. One task may listen.
    pub fn changed(&self) -> &Bell {
        &self.changed
    }
}

/// Looks after the children for ever.
pub async fn run(_supervisor: Rc<Supervisor>, _executor: Rc<LocalExecutor<'static>>) {
    std::future::pending().await
}
