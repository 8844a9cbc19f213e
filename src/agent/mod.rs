//! The daemon: one cooperative loop on one thread, a module for each activity (`modules.rs`).
//!
//! Never here: a server's protocol, and scripts. Tasks talk through the shared state below and
//! ring each other's bells; whatever blocks on the network goes through a lane.

#[cfg(feature = "audit")]
mod audit;
pub mod backoff;
#[cfg(feature = "bootagent")]
pub mod bootagent;
#[cfg(feature = "supervise")]
mod children;
mod deliver;
#[cfg(feature = "events")]
mod events;
mod health;
#[cfg(all(feature = "ssm", feature = "supervise"))]
mod inventory;
#[cfg(feature = "documents")]
mod jobs;
mod links;
#[cfg(feature = "logs")]
pub mod loudness;
#[cfg_attr(not(feature = "guardian"), path = "bare_modules.rs")]
pub mod modules;
#[cfg(any(feature = "audit", feature = "events", feature = "offline"))]
mod news;
#[cfg(feature = "offline")]
mod offline;
#[cfg(any(feature = "ssm", feature = "offline"))]
mod open;
mod poll;
#[cfg(feature = "documents")]
mod reboot;
#[cfg(feature = "session")]
mod sessions;
pub mod status;
#[cfg(all(feature = "guardian", feature = "ssm"))]
mod troubles;
mod turn;
#[cfg(feature = "documents")]
mod watch;

use crate::bell::Bell;
#[cfg(feature = "guardian")]
use crate::guardian::{Pulse, feeder, pulse};
use crate::lane::{Lane, LaneError};
use crate::reactor::{after, block_on, readable};
use crate::spool::{Job, Outbox, Report, Retention, Spool};
#[cfg(feature = "supervise")]
use crate::supervise;
use crate::sys::{FileError, memory, signals};
use crate::uplink::{Uplink, UplinkError};
#[cfg(feature = "supervise")]
use children::Children;
use links::Changes;
use modules::Modules;
use smol::LocalExecutor;
use status::Board;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use turn::Turns;

/// What the daemon is told.
pub struct Settings {
    /// The time between two health reports.
    pub health_interval: Duration,
    /// How many jobs run at the same time.
    pub workers: usize,
    /// Where scripts are written; beside their job if there is none.
    pub scripts: Option<PathBuf>,
    /// What is kept of jobs that are over.
    pub retention: Retention,
    /// Where `stint status` looks.
    pub status_dir: PathBuf,
    /// The command that reboots the device, word by word.
    pub reboot_command: Vec<String>,
    /// How child agents are looked after.
    #[cfg(feature = "supervise")]
    pub supervise: supervise::Settings,
    /// The configuration's file, for workers whose steps need the network.
    pub config: Option<PathBuf>,
    /// The state folder, for the same.
    pub state: PathBuf,
    /// How event scripts are asked.
    #[cfg(feature = "events")]
    pub events: crate::events::Settings,
    /// How sessions are had.
    #[cfg(feature = "session")]
    pub session: crate::config::Session,
    /// Whether the hub gets the audit log.
    #[cfg(feature = "audit")]
    pub send_audit: bool,
    /// What is kept of documents from the local folder; `None` if they aren't taken.
    #[cfg(feature = "offline")]
    pub offline: Option<Retention>,
    /// Who wants to know when this node comes online or goes into back-off.
    pub observer: Option<Box<dyn Observer>>,
    /// This version has yet to show that it is good.
    #[cfg(feature = "update")]
    pub trial: Option<crate::update::state::Trial>,
    /// When the agent looks for a new version by itself.
    #[cfg(all(fetching, feature = "update"))]
    pub schedule: Option<crate::update::schedule::Schedule>,
    /// What the guardian hears, if there is one.
    #[cfg(feature = "guardian")]
    pub pulse: Option<Pulse>,
    /// The board's watchdog, for a daemon without a guardian.
    #[cfg(feature = "guardian")]
    pub guardian: crate::config::Guardian,
}

/// Why the daemon has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop.
    Stopped,
    /// It was told to look again which program is to run, and to become that.
    Again,
}

impl Settings {
    /// Whether documents are taken from the local folder.
    fn takes_documents(&self) -> bool {
        #[cfg(feature = "offline")]
        return self.offline.is_some();
        #[cfg(not(feature = "offline"))]
        false
    }
}

/// Hears of the link's ups and downs.
pub trait Observer {
    /// The server hears this node by this link.
    fn online(&self, link: &status::LinkState);

    /// The server can't be reached; the next try is after `wait`.
    fn backing_off(&self, wait: Duration, why: &str);
}

/// Why the daemon can't run.
#[derive(Debug)]
pub enum AgentError {
    /// Its folders.
    File(FileError),
    /// The system's own means: signals, the event loop.
    System(io::Error),
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentError::File(cause) => write!(f, "{cause}"),
            AgentError::System(cause) => {
                write!(f, "the system refuses what the daemon needs: {cause}")
            }
        }
    }
}

impl std::error::Error for AgentError {}

impl From<FileError> for AgentError {
    fn from(cause: FileError) -> AgentError {
        AgentError::File(cause)
    }
}

/// What the loop hears of: that it is to end; where there are child agents, that one has; and what
/// it isn't to die of.
const SIGNALS: &[libc::c_int] = &[
    libc::SIGTERM,
    libc::SIGINT,
    #[cfg(feature = "supervise")]
    libc::SIGCHLD,
    #[cfg(any(feature = "guardian", feature = "supervise", feature = "update"))]
    libc::SIGHUP,
];

/// What the tasks share.
struct Shared {
    /// The server, once this device is registered.
    server: OnceCell<Server>,
    /// Waits for work.
    poll_lane: Lane,
    /// Everything else, in order.
    talk_lane: Lane,
    spool: Spool,
    outbox: Outbox,
    settings: Settings,
    /// Tells of changes of the network.
    changes: Rc<Changes>,
    /// Jobs that the server knows to be durable here. Not kept over a restart: acknowledging
    /// twice does no harm.
    acknowledged: RefCell<Vec<String>>,
    /// Jobs that have been started and are not over.
    running: RefCell<Turns>,
    /// There is a job to acknowledge or to start.
    jobs: Bell,
    /// There is a report to deliver.
    reports: Bell,
    /// A job awaits a reboot.
    reboot: Bell,
    /// The state folder.
    state: PathBuf,
    /// The sessions that are open.
    #[cfg(feature = "session")]
    sessions: sessions::Sessions,
    /// Documents that come without a server.
    #[cfg(feature = "offline")]
    offline: crate::offline::Folder,
}

/// The server, and what is shown of the link to it.
struct Server {
    uplink: Arc<dyn Uplink>,
    board: status::Link,
}

impl Shared {
    /// Calls the server without blocking the loop.
    async fn talk<R: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Uplink) -> Result<R, UplinkError> + Send + 'static,
    ) -> Result<R, UplinkError> {
        let Some(server) = self.server.get() else {
            return Err(UplinkError::Local("this device isn't registered yet".to_owned()));
        };
        let uplink = server.uplink.clone();
        in_words(self.talk_lane.run(move || call(uplink.as_ref())).await)
    }

    /// Whether the last exchange with the server went well.
    fn is_online(&self) -> bool {
        self.server.get().is_some_and(|server| server.board.is_online())
    }

    /// The name of the link to the server.
    fn link(&self) -> &'static str {
        self.server.get().map_or("", |server| server.uplink.name())
    }

    /// Records that a job is durable here.
    fn audit_accepted(&self, job: &Job, who: &str) {
        // A document's digest tells which it was, and nothing of the secrets in it.
        let digest = match cfg!(feature = "audit") {
            true => stint_wire::text::sha256_hex(job.document.as_bytes()),
            false => String::new(),
        };
        let what = [("id", &*job.id), ("document", &*job.document_name), ("sha256", &*digest)];
        crate::audit::record("command.accepted", who, &what);
    }

    /// What the one who sent a job wants named in a report, if nothing else is known of it.
    fn receipt(&self, job: &str) -> String {
        #[cfg(feature = "offline")]
        if self.offline.submitted(job).is_some() {
            return crate::offline::RECEIPT.to_owned();
        }
        self.server.get().map(|server| server.uplink.receipt(job)).unwrap_or_default()
    }

    /// Whether no server hears of the job with this receipt.
    fn is_local(&self, receipt: &str) -> bool {
        #[cfg(feature = "offline")]
        return offline::is_local(receipt);
        #[cfg(not(feature = "offline"))]
        {
            let _ = receipt;
            false
        }
    }

    /// Puts a report into the outbox and sends it on its way; one of which no server hears is
    /// written down.
    fn report(&self, report: &Report) -> Result<(), FileError> {
        #[cfg(feature = "offline")]
        if self.is_local(&report.receipt) {
            return self.offline.report(report);
        }
        self.outbox.put(report)?;
        self.reports.ring();
        Ok(())
    }
}

/// A call that wasn't made is one that failed on this side.
fn in_words<R>(result: Result<Result<R, UplinkError>, LaneError>) -> Result<R, UplinkError> {
    result.unwrap_or_else(|error| Err(UplinkError::Local(error.to_string())))
}

/// Starts a task of the loop. Boxed, so that the executor's machinery is in the binary once and
/// not for each task.
fn spawn(executor: &LocalExecutor<'static>, task: impl Future<Output = ()> + 'static) {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    executor.spawn(task).detach();
}

/// Sets the link to Systems Manager up, or says what failed and why; then it is called again. Is called on a lane,
/// as a device that isn't registered yet has to be first: meanwhile the children and the other link go on.
/// `None`: there is no such link after all.
pub type Commands = Box<dyn Fn() -> Result<Option<Arc<dyn Uplink>>, (&'static str, String)> + Send>;

/// When what only the beginning needs was needed.
const SETTLED: Duration = Duration::from_secs(10);

/// As often as a node reports its health; each time costs some dozens of page faults.
const LET_GO_EVERY: Duration = Duration::from_secs(300);

/// Holds no more of the program in memory than what it does needs.
async fn stay_small() {
    let mut wait = SETTLED;
    loop {
        after(wait).await;
        memory::let_go_of_program();
        wait = LET_GO_EVERY;
    }
}

/// The ways to servers that this daemon has.
#[derive(Default)]
pub struct Links {
    /// To Systems Manager.
    pub commands: Option<Commands>,
    /// To a BootAgent server.
    #[cfg(feature = "bootagent")]
    pub bootagent: Option<bootagent::Link>,
    /// Makes that link, where it couldn't be made at the start.
    #[cfg(all(feature = "bootagent", feature = "guardian"))]
    pub later: Option<bootagent::Make>,
}

/// Runs the daemon until SIGTERM or SIGINT, or SIGHUP where it can replace itself. Workers and children go on; what they bring about is
/// reported after the next start.
///
/// # Errors
/// See [`AgentError`].
// A build without any uplink has no use for them.
#[cfg_attr(not(uplink), allow(unused_variables))]
pub fn run(links: Links, mut settings: Settings) -> Result<End, AgentError> {
    let pipe = signals::catch(SIGNALS).map_err(AgentError::System)?;
    let board = Board::new(&settings.status_dir, settings.observer.take());
    let executor = Rc::new(LocalExecutor::new());
    let modules = Rc::new(Modules::new(
        executor.clone(),
        #[cfg(feature = "guardian")]
        board.clone(),
    ));
    #[cfg(feature = "update")]
    try_versions(&modules, &mut settings, &board);
    #[cfg(all(fetching, feature = "update"))]
    match settings.schedule.take() {
        Some(schedule) => {
            modules.start("update", move || crate::update::schedule::run(schedule.clone()));
        }
        None => modules.disabled("update", "the configuration doesn't want automatic updates"),
    }
    #[cfg(feature = "logs")]
    {
        let state = settings.state.clone();
        modules.start("log-level", move || loudness::run(state.clone()));
    }
    spawn(&executor, stay_small());
    let changes = Rc::new(Changes::default());
    #[cfg(feature = "ssm")]
    {
        let changes = changes.clone();
        modules.start("links", move || links::run(changes.clone()));
    }
    #[cfg(feature = "guardian")]
    guarded(&modules, &mut settings);
    #[cfg(feature = "supervise")]
    let children = Children::default();
    #[cfg(feature = "supervise")]
    children.start(&modules, &executor, &settings.state, &settings.supervise);
    #[cfg(feature = "bootagent")]
    match links.bootagent {
        Some(link) => {
            let board = board.link(crate::uplink::bootagent::NAME);
            children.link(&modules, link, board, changes.listener());
        }
        #[cfg(feature = "guardian")]
        None if links.later.is_some() => {
            if let Some(make) = links.later {
                children.link_later(&modules, make, &board, &changes);
            }
        }
        None => modules.disabled(crate::uplink::bootagent::NAME, NO_SERVER),
    }
    #[cfg(feature = "events")]
    {
        let (state, events) = (settings.state.clone(), settings.events.clone());
        modules.start("events", move || events::run(state.clone(), events.clone()));
    }
    #[cfg(feature = "ssm")]
    if links.commands.is_none() {
        modules.disabled("ssm", NO_SERVER);
    }
    #[cfg(feature = "offline")]
    if settings.offline.is_none() {
        modules.disabled("offline", "the configuration says so");
    }
    // Nothing of it is in a build that has neither.
    #[cfg(any(feature = "ssm", feature = "offline"))]
    if links.commands.is_some() || settings.takes_documents() {
        open::take_jobs(
            &modules,
            &executor,
            &board,
            links.commands,
            (settings, changes),
            #[cfg(feature = "supervise")]
            children.clone(),
        );
    }
    let ended = block_on(executor.run(async {
        loop {
            readable(&pipe).await;
            for signal in signals::take(&pipe) {
                #[cfg(feature = "supervise")]
                if signal == libc::SIGCHLD {
                    children.ended();
                }
                let end = match signal {
                    libc::SIGTERM | libc::SIGINT => End::Stopped,
                    #[cfg(feature = "update")]
                    libc::SIGHUP => End::Again,
                    #[cfg(all(feature = "supervise", not(feature = "update")))]
                    libc::SIGHUP => {
                        children.reload();
                        continue;
                    }
                    _ => continue,
                };
                log::info!("stopping on signal {signal}; what runs goes on");
                let word = signal.to_string();
                crate::audit::record("agent.stopped", "signal", &[("signal", &word)]);
                #[cfg(feature = "supervise")]
                match end {
                    End::Stopped => children.leave().await,
                    // Children don't hear of it.
                    End::Again => children.hand_over(),
                }
                #[cfg(feature = "guardian")]
                modules.stop().await;
                board.stopped();
                return end;
            }
        }
    }));
    ended.map_err(AgentError::System)
}

/// Starts what this version does to be kept, or what sees to it that another one is tried.
#[cfg(feature = "update")]
fn try_versions(modules: &Rc<Modules>, settings: &mut Settings, board: &Rc<Board>) {
    use crate::update::{State, trial};
    let (state, board) = (settings.state.clone(), board.clone());
    match settings.trial.take() {
        Some(it) => {
            modules.start("trial", move || trial::run(state.clone(), it.clone(), board.clone()));
        }
        None if State::read(&state).is_ok_and(|known| known.trial.is_none()) => {}
        None => modules.start("trial", move || trial::see_to_it(state.clone())),
    }
}

/// Starts what the guardian hears, or what does its work where there is none.
#[cfg(feature = "guardian")]
fn guarded(modules: &Rc<Modules>, settings: &mut Settings) {
    match settings.pulse.take().map(Rc::new) {
        Some(pulse) => modules.start("pulse", move || pulse::run(pulse.clone())),
        None => {
            modules.disabled("pulse", "there is no guardian");
            let timeout = settings.guardian.watchdog_timeout;
            match settings.guardian.watchdog.take() {
                Some(path) => {
                    modules.start("watchdog", move || feeder::run(path.clone(), timeout));
                }
                None => modules.disabled("watchdog", "none is configured"),
            }
        }
    }
}

/// Why a link isn't started.
const NO_SERVER: &str = "this device is registered with no server for it";
