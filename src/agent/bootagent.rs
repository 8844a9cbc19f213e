//! The task of the BootAgent link: registers, reports, hands in what is to be done, and delivers
//! what became of it.

mod share;

use super::backoff::Backoff;
use super::links::Listener;
use super::modules::Ended;
use super::status;
use crate::identity::bootagent::Activation;
use crate::lane::Lane;
use crate::reactor::at;
use crate::supervise::{Accepted, SettingsDone, Supervisor};
use crate::sys::{memory, random};
use crate::uplink::UplinkError;
use crate::uplink::bootagent::BootAgent;
use share::Share;
use smol::future::or;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use stint_wire::bootagent::status::Report;
use stint_wire::bootagent::{Job, JobResult};

/// The pause after a report that failed; each further one doubles it, up to the step.
const REPORT_AGAIN: Duration = Duration::from_secs(180);

/// The same for results.
const DELIVER_AGAIN: Duration = Duration::from_secs(60);

/// What has happened to a child is told before its time, but not sooner after the last report.
const EARLY: Duration = Duration::from_secs(30);

/// So many of the jobs that can't be read are remembered while their results wait. No server
/// gives more at once.
const ANSWERED: usize = 64;

/// So many jobs wait for room on the disk. Few servers hand a job out a second time.
const UNTAKEN: usize = 64;

/// Between two tries to take them in.
const TAKE_AGAIN: Duration = Duration::from_secs(30);

/// Each wait is up to this part shorter or longer, so that a fleet doesn't report in step.
const JITTER: f64 = 0.1;

/// Where an activation comes from.
pub trait Provision {
    /// The activation that the image carries, if any.
    fn activation(&self) -> Option<Activation>;

    /// The node is registered: the activation is of no more use.
    fn used(&self);
}

/// What the task needs.
pub struct Link {
    /// The link.
    pub uplink: BootAgent,
    /// Where it may find an activation.
    pub provision: Box<dyn Provision>,
}

/// Makes a link that couldn't be made at the start, or says in words why it still can't be.
#[cfg(feature = "guardian")]
pub type Make = Box<dyn Fn() -> Result<Link, String>>;

/// What a call of the link brings.
#[derive(Default)]
struct Heard {
    jobs: Vec<Result<Job, JobResult>>,
    taken_in: bool,
    step: u64,
}

/// A call of the link. Not generic, so that the lane's machinery is in the binary once.
type Work = Box<dyn FnOnce(&mut BootAgent, &mut Heard) -> Result<(), UplinkError> + Send>;

struct Task {
    uplink: Arc<Mutex<BootAgent>>,
    provision: Box<dyn Provision>,
    lane: Lane,
    supervisor: Rc<Supervisor>,
    board: status::Link,
    step: Duration,
    /// A server has taken this node in.
    taken_in: bool,
    /// Jobs that couldn't be read, and whose results wait.
    answered: Vec<String>,
    /// Jobs that couldn't be written down.
    untaken: Vec<Job>,
    /// How many events one report has, and how many results one delivery.
    events: Share,
    results: Share,
    /// A new job is being done: when its result is delivered, the children have changed.
    expecting: bool,
    /// Rings with changes of the network.
    #[cfg_attr(not(feature = "ssm"), allow(dead_code))]
    changed: Listener,
}

/// Runs the link for ever.
pub async fn run(
    link: Link,
    supervisor: Rc<Supervisor>,
    board: status::Link,
    changed: Listener,
) -> Ended {
    let Link { uplink, provision } = link;
    let step = Duration::from_secs(uplink.step());
    let taken_in = uplink.is_taken_in();
    let uplink = Arc::new(Mutex::new(uplink));
    let answered = waiting(&supervisor);
    let lane = Lane::new("report");
    supervisor.on_settings(settings(&uplink, &lane));
    let mut task = Task {
        uplink,
        provision,
        lane,
        supervisor,
        board,
        step,
        taken_in,
        answered,
        untaken: Vec::new(),
        events: Share::default(),
        results: Share::default(),
        expecting: false,
        changed,
    };
    task.run().await
}

/// What does jobs that are about the agent's own settings.
fn settings(uplink: &Arc<Mutex<BootAgent>>, lane: &Lane) -> impl Fn(Job) -> SettingsDone + 'static {
    let (uplink, lane) = (uplink.clone(), lane.clone());
    move |job| {
        let (uplink, lane) = (uplink.clone(), lane.clone());
        Box::pin(async move {
            log::info!("job {} changes this agent's settings", job.id);
            // On the lane, where it waits for an exchange that is under way.
            let done = lane
                .run(move || uplink.lock().unwrap_or_else(PoisonError::into_inner).configure(&job));
            done.await.unwrap_or_else(|error| Err(error.to_string()))
        })
    }
}

/// Results that wait from before: they aren't made a second time.
fn waiting(supervisor: &Supervisor) -> Vec<String> {
    let found = supervisor.results().peek(ANSWERED).unwrap_or_default();
    found.into_iter().map(|(_, result)| result.id).collect()
}

impl Task {
    async fn run(&mut self) -> Ended {
        let (mut failed_reports, mut failed_deliveries) = (0, 0);
        let (mut report_at, mut deliver_at) = (Instant::now(), Instant::now());
        let mut reported: Option<Instant> = None;
        let mut register_at = Instant::now();
        let mut batch: Vec<(u64, JobResult)> = Vec::new();
        loop {
            if !self.taken_in {
                // A server that takes a node in and doesn't know it then would be asked without end.
                at(register_at).await;
                self.register().await;
                register_at = Instant::now() + EARLY;
                report_at = Instant::now();
            }
            self.take_again();
            if batch.is_empty() {
                batch = self.next_batch();
            }
            if !batch.is_empty() && Instant::now() >= deliver_at {
                match self.deliver(&batch).await {
                    Ok(()) => {
                        batch.clear();
                        failed_deliveries = 0;
                        if std::mem::take(&mut self.expecting) {
                            report_at = report_at.min(early(reported));
                        }
                        continue;
                    }
                    Err(UplinkError::TooLarge { is_certain, .. })
                        if self.fewer_results(&batch, is_certain) =>
                    {
                        batch.clear();
                        continue;
                    }
                    Err(error) => {
                        let wait = again(DELIVER_AGAIN, failed_deliveries, self.step);
                        failed_deliveries += 1;
                        self.board.failed("delivery of results", &error, wait);
                        deliver_at = Instant::now() + wait;
                    }
                }
            }
            if Instant::now() >= report_at {
                let wait = match self.report().await {
                    Ok(false) => Duration::ZERO,
                    Ok(true) => {
                        failed_reports = 0;
                        if reported.replace(Instant::now()).is_none() {
                            // An activation that lies there though this node is registered.
                            self.provision.used();
                        }
                        // More than fit into one report don't wait for the next one's time.
                        let more = self.supervisor.events().len() > 0;
                        if more {
                            EARLY
                        } else {
                            // Nothing is to be done until the next one.
                            memory::let_go_of_program();
                            jittered(stretched(self.step))
                        }
                    }
                    Err(error) => {
                        let wait = again(REPORT_AGAIN, failed_reports, self.step);
                        failed_reports += 1;
                        self.board.failed("report", &error, wait);
                        wait
                    }
                };
                report_at = Instant::now() + wait;
                // What was handed in may have been answered at once.
                continue;
            }
            let mut until = if batch.is_empty() { report_at } else { report_at.min(deliver_at) };
            if !self.untaken.is_empty() {
                until = until.min(Instant::now() + TAKE_AGAIN);
            }
            let rung = or(
                async {
                    at(until).await;
                    false
                },
                async {
                    self.supervisor.changed().wait().await;
                    true
                },
            );
            // What failed is tried again as soon as the network has changed.
            #[cfg(feature = "ssm")]
            let rung = or(rung, async {
                self.changed.wait().await;
                if failed_reports > 0 {
                    (failed_reports, report_at) = (0, Instant::now());
                }
                (failed_deliveries, deliver_at) = (0, Instant::now());
                false
            });
            let rung = rung.await;
            // While reports fail, nothing makes them come sooner.
            if rung && failed_reports == 0 && self.supervisor.events().len() > 0 {
                report_at = report_at.min(early(reported));
            }
        }
    }

    /// Calls the link without blocking the loop.
    async fn call(&mut self, work: Work) -> Result<Heard, UplinkError> {
        let uplink = self.uplink.clone();
        let done = self.lane.run(move || {
            let mut uplink = uplink.lock().unwrap_or_else(PoisonError::into_inner);
            let mut heard = Heard::default();
            let result = work(&mut uplink, &mut heard);
            heard.taken_in = uplink.is_taken_in();
            heard.step = uplink.step();
            (result, heard)
        });
        let (result, heard) = done.await.map_err(|error| UplinkError::Local(error.to_string()))?;
        self.taken_in = heard.taken_in;
        self.step = Duration::from_secs(heard.step);
        result.map(|()| heard)
    }

    /// Registers, however long it takes.
    async fn register(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            // Looked for each time: somebody may put a better one there.
            let activation = self.provision.activation();
            let work: Work = Box::new(move |uplink, _| uplink.register(activation.as_ref()));
            match self.call(work).await {
                Ok(_) => return self.provision.used(),
                Err(error) => {
                    let wait = backoff.failed(matches!(error, UplinkError::Refused { .. }));
                    let wait = wait.min(jittered(self.step));
                    self.board.failed("registration", &error, wait);
                    #[cfg(feature = "ssm")]
                    backoff.wait(wait, &self.changed).await;
                    #[cfg(not(feature = "ssm"))]
                    at(Instant::now() + wait).await;
                }
            }
        }
    }

    fn next_batch(&mut self) -> Vec<(u64, JobResult)> {
        let found = self.supervisor.results().peek(self.results.most());
        let mut found = found.unwrap_or_else(|error| {
            log::error!("results can't be read: {error}");
            Vec::new()
        });
        if found.is_empty() {
            self.results.all_taken();
        }
        found.truncate(Share::count(found.iter().map(|(_, result)| result.message.len())));
        found
    }

    /// The server finds these results too large. Says whether another batch is to be tried at once:
    /// a smaller one, or the next where it was certainly the server that refused one alone.
    fn fewer_results(&mut self, batch: &[(u64, JobResult)], is_certain: bool) -> bool {
        if self.results.too_large(batch.len()) {
            return true;
        }
        let Some((number, result)) = batch.first().filter(|_| is_certain) else { return false };
        let removed = self.supervisor.results().remove(&[*number]);
        if let Err(error) = &removed {
            log::error!("a result can't be dropped: {error}");
        } else {
            let what = format!(
                "the result of job {} (errcode {}) is dropped: the server finds it too large",
                result.id, result.errcode
            );
            self.answered.retain(|id| *id != result.id);
            self.supervisor.notes().event("dropped", "", &result.id, what);
        }
        removed.is_ok()
    }

    /// The same for the events of a report. Without any it goes out all the same.
    fn fewer_events(&mut self, numbers: &[u64], is_certain: bool) -> bool {
        let [number] = numbers else { return self.events.too_large(numbers.len()) };
        let removed = is_certain && self.supervisor.events().remove(&[*number]).is_ok();
        if removed {
            log::error!("event {number} is dropped: the server finds it too large");
        }
        removed
    }

    /// Delivers results, and forgets them when a server has them.
    async fn deliver(&mut self, batch: &[(u64, JobResult)]) -> Result<(), UplinkError> {
        let results: Vec<JobResult> = batch.iter().map(|(_, result)| result.clone()).collect();
        self.call(Box::new(move |uplink, _| uplink.deliver(&results))).await?;
        self.board.polled();
        self.answered.retain(|id| !batch.iter().any(|(_, result)| result.id == *id));
        let numbers: Vec<u64> = batch.iter().map(|(number, _)| *number).collect();
        let removed = self.supervisor.results().remove(&numbers);
        removed.map_err(|error| UplinkError::Local(error.to_string()))
    }

    /// Reports, and hands in the jobs that come back. `false`: the server wants a smaller one.
    async fn report(&mut self) -> Result<bool, UplinkError> {
        let mut events =
            self.supervisor.events().peek(self.events.most()).unwrap_or_else(|error| {
                log::error!("events can't be read: {error}");
                Vec::new()
            });
        if events.is_empty() {
            self.events.all_taken();
        }
        events.truncate(Share::count(events.iter().map(|(_, event)| event.message.len())));
        let (numbers, events): (Vec<u64>, Vec<_>) = events.into_iter().unzip();
        let report = Report {
            agents: self.supervisor.children(),
            feature: self.supervisor.feature_bits(),
            events,
            ..Report::default()
        };
        let work: Work = Box::new(move |uplink, heard| {
            heard.jobs = uplink.report(report)?;
            Ok(())
        });
        let jobs = match self.call(work).await {
            Ok(heard) => heard.jobs,
            Err(UplinkError::TooLarge { is_certain, .. })
                if self.fewer_events(&numbers, is_certain) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = self.supervisor.events().remove(&numbers) {
            log::error!("events that were told can't be removed: {error}");
        }
        for job in jobs {
            self.take(job);
        }
        self.board.pinged(stretched(self.step));
        Ok(true)
    }

    fn take(&mut self, job: Result<Job, JobResult>) {
        match job {
            Ok(job) => {
                let again = |waits: &Job| waits.id == job.id && waits.action == job.action;
                if !self.untaken.iter().any(again) {
                    self.hand_in(job);
                }
            }
            Err(result) if self.answered.contains(&result.id) => {}
            Err(result) => {
                log::warn!("job {} can't be done: {}", result.id, result.message);
                self.answer(result);
            }
        }
    }

    fn hand_in(&mut self, job: Job) {
        let (id, action, name) = (job.id.clone(), job.action.as_str(), job.name.clone());
        match self.supervisor.accept(job.clone()) {
            Ok(Accepted::New) => {
                log::info!("job {id} ({action} {name}) accepted");
                let what = [("id", &*id), ("action", action), ("child", &*name)];
                crate::audit::record("job.accepted", "bootagent", &what);
                self.expecting = true;
            }
            Ok(Accepted::Known | Accepted::Repeated) => {}
            Err(error) if self.untaken.len() < UNTAKEN => {
                log::error!("job {id} can't be taken yet: {error}");
                self.untaken.push(job);
            }
            Err(error) => {
                log::error!("job {id} can't be taken: {error}");
                let message = format!("the device can't take the job: {error}");
                self.answer(JobResult { id, errcode: 1, message });
            }
        }
    }

    /// Tries once more to take in what there was no room for.
    fn take_again(&mut self) {
        for job in std::mem::take(&mut self.untaken) {
            self.hand_in(job);
        }
    }

    /// Answers a job that is none of the supervisor's.
    fn answer(&mut self, result: JobResult) {
        let id = result.id.clone();
        match self.supervisor.answer(result) {
            Ok(()) => {
                if self.answered.len() == ANSWERED {
                    self.answered.remove(0);
                }
                self.answered.push(id);
            }
            Err(error) => log::error!("the result of job {id} can't be kept: {error}"),
        }
    }
}

/// When the next report may come, if it comes early.
fn early(last: Option<Instant>) -> Instant {
    last.map_or_else(Instant::now, |last| last + EARLY)
}

/// The pause after `failures` failures in a row and one more.
fn again(first: Duration, failures: u32, step: Duration) -> Duration {
    jittered(first.saturating_mul(1 << failures.min(16)).min(step))
}

/// The time between two reports: where the day's budget is spent, longer.
#[cfg(feature = "ssm")]
fn stretched(step: Duration) -> Duration {
    use crate::uplink::budget::{Pressure, pressure};
    if pressure() == Pressure::Spent { step * 4 } else { step }
}

/// The time between two reports.
#[cfg(not(feature = "ssm"))]
fn stretched(step: Duration) -> Duration {
    step
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * random::fraction())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_report_comes_again_after_minutes_and_never_later_than_the_next() {
        let within = |wait: Duration, seconds: f64| {
            let (least, most) = (seconds * 0.9, seconds * 1.1);
            assert!((least..=most).contains(&wait.as_secs_f64()), "{wait:?} for {seconds}");
        };
        let step = Duration::from_secs(600);
        for (failures, seconds) in [(0, 180.0), (1, 360.0), (2, 600.0), (u32::MAX, 600.0)] {
            within(again(REPORT_AGAIN, failures, step), seconds);
        }
        within(again(DELIVER_AGAIN, 0, step), 60.0);
        within(again(REPORT_AGAIN, 0, Duration::from_secs(60)), 60.0);
    }

    #[test]
    fn an_early_report_leaves_the_server_in_peace() {
        let now = Instant::now();
        assert!(early(None) >= now);
        assert_eq!(early(Some(now)), now + EARLY);
    }
}
