//! The supervisor's task: it looks at the children when something has happened or is due, gives
//! jobs their turn, and takes in what comes by the inbox.

use super::child::Unit;
use super::inbox::Inbox;
use super::jobs;
use super::notes;
use super::{Supervisor, install, output};
use crate::agent::modules::Ended;
use crate::reactor::{after, readable};
use crate::sys::tree::{self, Process};
use crate::sys::{child, clock};
use smol::{LocalExecutor, future};
use std::fs::File;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use stint_wire::bootagent::{ChildStatus, Job, JobResult};

/// A zombie that nobody has waited for since the last look is an orphan's, and so much later it is
/// buried. Until then its parent may be a task of the agent that hasn't come to it yet.
const BURIAL: Duration = Duration::from_secs(10);

/// Looks after the children for ever.
pub async fn run(supervisor: Rc<Supervisor>, executor: Rc<LocalExecutor<'static>>) -> Ended {
    tree::adopt_orphans();
    spawn(&executor, listen(supervisor.clone()));
    spawn(&executor, bury(supervisor.clone()));
    supervisor.find_ways_back();
    loop {
        // Most often a full disk is in the way, and nobody rings when there is room again.
        let again = supervisor.take_in().then_some(BURIAL);
        let mut next = supervisor.turn(&executor).into_iter().chain(again).min();
        // After the look, because a version on trial may just have been given up.
        supervisor.dispatch(&executor);
        if supervisor.is_incomplete.get() {
            next = Some(supervisor.complete(next));
        }
        supervisor.looked.ring();
        let rung = supervisor.wake.wait();
        match next {
            Some(wait) => future::or(rung, after(wait)).await,
            None => rung.await,
        }
    }
}

fn spawn(executor: &LocalExecutor<'static>, task: impl Future<Output = ()> + 'static) {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    executor.spawn(task).detach();
}

/// Hears the inbox's bell.
async fn listen(supervisor: Rc<Supervisor>) {
    let bell: File = match supervisor.inbox.listen() {
        Ok(bell) => bell,
        Err(error) => return log::error!("document steps can't reach the supervisor: {error}"),
    };
    // What came before there was a listener.
    supervisor.wake();
    loop {
        readable(&bell).await;
        Inbox::hush(&bell);
        supervisor.wake();
    }
}

/// Buries orphans of children, whose parent this process has become.
async fn bury(supervisor: Rc<Supervisor>) {
    let mut seen: Vec<Process> = Vec::new();
    loop {
        if seen.is_empty() {
            supervisor.ended.wait().await;
        }
        after(BURIAL).await;
        let me = std::process::id();
        let mut zombies = Process::all();
        zombies.retain(|process| process.parent == me && process.state == b'Z');
        let is_old = |zombie: &Process| seen.iter().any(|old| old.identity == zombie.identity);
        let (old, new): (Vec<Process>, Vec<Process>) = zombies.into_iter().partition(is_old);
        for orphan in old {
            child::wait(orphan.identity.pid);
        }
        seen = new;
    }
}

impl Supervisor {
    /// A process ended whose parent this one is (SIGCHLD).
    pub fn child_ended(&self) {
        self.ended.ring();
        self.wake.ring();
    }

    /// Tries again to take all children on, now and then; says when to look again.
    fn complete(&self, next: Option<Duration>) -> Duration {
        let now = clock::since_boot();
        if self.complete_at.get() <= now {
            self.complete_at.set(now + super::LATER);
            self.is_incomplete.set(false);
            if let Err(error) = self.read_definitions(false) {
                log::error!("definitions can't be read: {error}");
                self.is_incomplete.set(true);
            }
            // What came is looked at at once.
            return Duration::ZERO;
        }
        let wait = self.complete_at.get() - now;
        next.map_or(wait, |next| next.min(wait))
    }

    /// Takes in the jobs of the inbox. One that can't be is left there; says whether there is one.
    fn take_in(&self) -> bool {
        let mut is_left = false;
        for (name, mut job) in self.inbox.jobs() {
            // Nobody else has an id like this one: what is awaited is one answer to one file.
            job.id.clone_from(&name);
            let accepted = self.ledger.accept(job, Some(name.clone()), &self.notes);
            let taken = accepted.and_then(|_| self.inbox.remove(&name));
            if let Err(error) = taken {
                log::error!("a job in the inbox can't be taken in: {error}");
                is_left = true;
            }
        }
        is_left
    }

    /// Gives jobs their turn: of one child a quick one and a slow one at a time, the quick ones
    /// first, and none beside a slow one that has taken the child for itself.
    fn dispatch(self: &Rc<Self>, executor: &Rc<LocalExecutor<'static>>) {
        for slow in [false, true] {
            let may = |job: &Job| {
                let busy = self.busy.borrow();
                jobs::is_slow(job.action) == slow
                    && !busy.iter().any(|(name, at)| *name == job.name && *at == slow)
                    && (slow || !self.held.borrow().contains(&job.name))
            };
            while let Some(open) = self.ledger.take(may) {
                self.busy.borrow_mut().push((open.job.name.clone(), slow));
                spawn(executor, self.clone().perform(open, slow));
            }
        }
        let on_trial = |unit: &&Unit| unit.record.trial && unit.record.status == ChildStatus::Fatal;
        let mut failed: Vec<String> = self
            .units
            .borrow()
            .iter()
            .filter(on_trial)
            .map(|unit| unit.name().to_owned())
            .collect();
        failed.extend(self.going_back.borrow().iter().cloned());
        for name in failed {
            let key = (name.clone(), true);
            if !self.busy.borrow().contains(&key) {
                self.going_back.borrow_mut().retain(|begun| *begun != name);
                self.busy.borrow_mut().push(key.clone());
                let supervisor = self.clone();
                spawn(executor, async move {
                    install::roll_back(&supervisor, &name).await;
                    supervisor.busy.borrow_mut().retain(|busy| *busy != key);
                    supervisor.wake();
                });
            }
        }
    }

    /// Finds the children whose way back has to be gone on with.
    fn find_ways_back(self: &Rc<Self>) {
        let on_trial: Vec<String> = self
            .units
            .borrow()
            .iter()
            .filter(|unit| unit.record.trial)
            .map(|unit| unit.name().to_owned())
            .collect();
        let begun = on_trial.into_iter().filter(|name| install::is_going_back(self, name));
        self.going_back.borrow_mut().extend(begun);
    }

    async fn perform(self: Rc<Self>, open: super::ledger::Open, slow: bool) {
        let done = jobs::perform(&self, &open.job).await;
        let (errcode, message) = match done {
            Ok(message) => (0, message),
            Err(failure) => (failure.errcode, failure.message),
        };
        log::info!(
            "job {} ({} {}): {message}",
            open.job.id,
            open.job.action.as_str(),
            open.job.name
        );
        let result =
            JobResult { id: open.job.id.clone(), errcode, message: notes::bounded(message) };
        // Most often a full disk is in the way.
        while let Err(error) = self.end(&open, &result) {
            log::error!("the end of job {} can't be noted: {error}", open.job.id);
            after(BURIAL).await;
        }
        #[cfg(feature = "audit")]
        {
            let who = if open.inbox.is_some() { "command" } else { "bootagent" };
            let (code, action) = (errcode.to_string(), open.job.action.as_str());
            let (id, child) = (open.job.id.as_str(), open.job.name.as_str());
            let what = [("id", id), ("action", action), ("child", child), ("errcode", &code)];
            crate::audit::record("job.ended", who, &what);
        }
        self.busy.borrow_mut().retain(|busy| *busy != (open.job.name.clone(), slow));
        self.wake();
    }

    fn end(
        &self,
        open: &super::ledger::Open,
        result: &JobResult,
    ) -> Result<(), crate::sys::FileError> {
        if let Some(name) = &open.inbox {
            self.inbox.answer(name, result)?;
        }
        self.ledger.finish(open, result, &self.notes)
    }

    /// Looks at all children; says how long nothing is due.
    fn turn(self: &Rc<Self>, executor: &LocalExecutor<'static>) -> Option<Duration> {
        let now = clock::since_boot();
        let mut next: Option<Duration> = None;
        let mut gone = Vec::new();
        for unit in self.units.borrow_mut().iter_mut() {
            let may_start = !self.ending.get();
            let due = unit.turn(now, may_start, &self.boot, &self.notes);
            next = next.into_iter().chain(due).min();
            if unit.leaving && unit.is_clear() {
                gone.push(unit.name().to_owned());
            }
            self.equip(unit, executor);
        }
        for name in gone {
            if let Err(error) = self.forget(&name) {
                log::error!("{name} can't be forgotten: {error}");
            }
        }
        next.map(|time| time.saturating_sub(clock::since_boot()))
    }

    /// Gives a child the tasks that it needs.
    fn equip(self: &Rc<Self>, unit: &mut Unit, executor: &LocalExecutor<'static>) {
        if unit.output.is_none() {
            let drain = output::drain(unit.folder.clone(), self.settings.log_bytes);
            let drain: Pin<Box<dyn Future<Output = ()>>> = Box::pin(drain);
            unit.output = Some(executor.spawn(drain));
        }
        let Some(run) = unit.record.run else { return };
        unit.health.watch(&unit.definition, executor, &self.wake);
        if unit.is_stranger
            && unit.watcher.is_none()
            && let Ok(end) = child::watch(run.pid)
        {
            let wake = self.wake.clone();
            let watch: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
                readable(&end).await;
                wake.ring();
            });
            unit.watcher = Some(executor.spawn(watch));
        }
    }
}
