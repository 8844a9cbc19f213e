//! The spool, and all that works with it: jobs, and the link that they come by.

#[cfg(feature = "ssm")]
use super::Server;
#[cfg(feature = "ssm")]
use super::backoff::Backoff;
#[cfg(feature = "supervise")]
use super::children::Children;
use super::links::Changes;
use super::modules::{Ended, Modules};
use super::status::Board;
use super::{Commands, Settings, Shared};
use crate::bell::Bell;
use crate::lane::Lane;
#[cfg(feature = "ssm")]
use crate::lane::LaneError;
use crate::spool::{Outbox, Spool};
use crate::sys::FileError;
#[cfg(feature = "ssm")]
use crate::uplink::Uplink;
use smol::LocalExecutor;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
#[cfg(feature = "ssm")]
use std::sync::{Arc, Mutex, PoisonError};

/// The link to Systems Manager, if there is to be one, and what the daemon is told.
type Given = (Option<Commands>, Settings, Rc<Changes>);

/// Starts the module that opens the spool and starts all that works with it.
pub fn take_jobs(
    modules: &Rc<Modules>,
    executor: &Rc<LocalExecutor<'static>>,
    board: &Rc<Board>,
    commands: Option<Commands>,
    (settings, changes): (Settings, Rc<Changes>),
    #[cfg(feature = "supervise")] children: Children,
) {
    let (own, executor, board) = (modules.clone(), executor.clone(), board.clone());
    // None is taken before it can be put to use: a start that failed is repeated.
    let given = Rc::new(RefCell::new(Some((commands, settings, changes))));
    modules.start("spool", move || {
        open_up(
            own.clone(),
            executor.clone(),
            board.clone(),
            given.clone(),
            #[cfg(feature = "supervise")]
            children.clone(),
        )
    });
}

/// Opens the spool, and starts the modules that do jobs: those of an earlier daemon, and local
/// documents, before there is a server; then the link to it.
async fn open_up(
    modules: Rc<Modules>,
    #[cfg_attr(not(feature = "documents"), allow(unused_variables))] executor: Rc<
        LocalExecutor<'static>,
    >,
    #[cfg_attr(not(feature = "ssm"), allow(unused_variables))] board: Rc<Board>,
    given: Rc<RefCell<Option<Given>>>,
    #[cfg(feature = "supervise")]
    #[cfg_attr(not(feature = "ssm"), allow(unused_variables))]
    children: Children,
) -> Ended {
    let open = |settings: &Settings| -> Result<_, FileError> {
        let spool = Spool::open(&settings.state)?.keeping(settings.retention);
        Ok((spool, Outbox::open(&settings.state)?))
    };
    let opened = given.borrow().as_ref().map(|(_, settings, _)| open(settings));
    let Some(opened) = opened else { return Ok(()) };
    let (spool, outbox) = opened.map_err(|error| error.to_string())?;
    let Some((commands, settings, changes)) = given.take() else { return Ok(()) };
    let shared = Rc::new(Shared {
        server: OnceCell::new(),
        poll_lane: Lane::new("poll"),
        talk_lane: Lane::new("talk"),
        spool,
        outbox,
        state: settings.state.clone(),
        #[cfg(feature = "session")]
        sessions: super::sessions::Sessions::new(),
        #[cfg(feature = "offline")]
        offline: crate::offline::Folder::of(
            &settings.state,
            settings.offline.unwrap_or(crate::offline::KEEP),
        ),
        settings,
        changes,
        acknowledged: RefCell::default(),
        running: RefCell::default(),
        jobs: Bell::new(),
        reports: Bell::new(),
        reboot: Bell::new(),
    });
    #[cfg(feature = "ssm")]
    if let Some(commands) = commands {
        let (own, with) = (modules.clone(), shared.clone());
        let commands = Arc::new(Mutex::new(commands));
        modules.start("ssm", move || {
            link_up(
                own.clone(),
                board.clone(),
                commands.clone(),
                with.clone(),
                #[cfg(feature = "supervise")]
                children.clone(),
            )
        });
    }
    #[cfg(not(feature = "ssm"))]
    drop(commands);
    #[cfg(feature = "documents")]
    {
        let with = shared.clone();
        #[cfg(feature = "session")]
        {
            let (with, executor) = (shared.clone(), executor.clone());
            modules.start("sessions", move || super::sessions::run(with.clone(), executor.clone()));
        }
        modules.start("jobs", move || super::jobs::run(with.clone(), executor.clone()));
        let with = shared.clone();
        modules.start("reboot", move || super::reboot::run(with.clone()));
    }
    #[cfg(feature = "offline")]
    if shared.settings.takes_documents() {
        let with = shared.clone();
        modules.start("offline", move || super::offline::run(with.clone()));
    }
    // The spool stays open.
    smol::future::pending().await
}

/// Sets the link to Systems Manager up, and starts the modules that take commands from there and
/// report what becomes of them.
#[cfg(feature = "ssm")]
async fn link_up(
    modules: Rc<Modules>,
    board: Rc<Board>,
    commands: Arc<Mutex<Commands>>,
    shared: Rc<Shared>,
    #[cfg(feature = "supervise")] children: Children,
) -> Ended {
    let linked = made(commands, &board, &shared.changes.bell()).await;
    let Some(uplink) = linked.map_err(|error| error.to_string())? else { return Ok(()) };
    #[cfg(feature = "guardian")]
    let all = board.clone();
    let board = board.link(uplink.name());
    board.is_node(uplink.node_id());
    let _ = shared.server.set(Server { uplink, board });
    let with = shared.clone();
    modules.start("poll", move || super::poll::run(with.clone()));
    let with = shared.clone();
    modules.start("health", move || super::health::run(with.clone()));
    let with = shared.clone();
    modules.start("deliver", move || super::deliver::run(with.clone()));
    #[cfg(feature = "supervise")]
    {
        let with = shared.clone();
        modules.start("inventory", move || super::inventory::run(with.clone(), children.clone()));
    }
    #[cfg(feature = "guardian")]
    {
        let with = shared.clone();
        modules.start("troubles", move || super::troubles::run(with.clone(), all.clone()));
    }
    #[cfg(feature = "audit")]
    if shared.settings.send_audit {
        let with = shared.clone();
        modules.start("audit", move || super::audit::run(with.clone()));
    }
    shared.jobs.ring();
    // The link stands.
    smol::future::pending().await
}

/// Makes the link, however often that has to be tried: a change of the network ends a wait. Whoever stands
/// before the device is told of each new reason why it can't be made: there may be nothing else that they get
/// to know.
#[cfg(feature = "ssm")]
async fn made(
    commands: Arc<Mutex<Commands>>,
    board: &Board,
    changed: &Bell,
) -> Result<Option<Arc<dyn Uplink>>, LaneError> {
    let (lane, mut backoff, mut said) = (Lane::new("register"), Backoff::default(), String::new());
    loop {
        let commands = commands.clone();
        let tried = lane.run(move || commands.lock().unwrap_or_else(PoisonError::into_inner)());
        let (what, error) = match tried.await? {
            Ok(made) => return Ok(made),
            Err(failed) => failed,
        };
        let pause = backoff.failed(false);
        log::warn!("{what}, trying again in {} s: {error}", pause.as_secs());
        if error != said {
            board.backing_off(pause, &error);
            said = error;
        }
        backoff.wait(pause, changed).await;
    }
}

#[cfg(all(test, feature = "ssm"))]
mod tests {
    use super::*;
    use crate::agent::Observer;
    use crate::agent::status::LinkState;
    use crate::reactor::{after, block_on};
    use crate::testing::Folder;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    /// Counts what it is told.
    struct Console(Arc<AtomicU32>);

    impl Observer for Console {
        fn online(&self, _link: &LinkState) {}

        fn backing_off(&self, _wait: Duration, _why: &str) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_change_of_the_network_ends_the_wait_for_the_next_registration() {
        const TRIES: u32 = 12;
        let (tries, told) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counted = tries.clone();
        let commands: Commands =
            Box::new(move || match counted.fetch_add(1, Ordering::SeqCst) + 1 {
                TRIES => Ok(None),
                1 => Err(("registration failed", "there is no network".to_owned())),
                _ => Err(("registration failed", "there is no name server".to_owned())),
            });
        let folder = Folder::new();
        let board = Board::new(folder.path(), Some(Box::new(Console(told.clone()))));
        let changed = Bell::new();
        let made = made(Arc::new(Mutex::new(commands)), &board, &changed);
        let flapping = async {
            loop {
                changed.ring();
                after(Duration::from_millis(1)).await;
            }
        };
        // By themselves the waits come to a quarter of an hour.
        let made = block_on(smol::future::or(made, flapping)).unwrap();
        assert!(made.is_ok_and(|made| made.is_none()));
        // A reason that is told already isn't told again.
        let counts = [&tries, &told].map(|it| it.load(Ordering::SeqCst));
        assert_eq!(counts, [TRIES, 2]);
    }
}
