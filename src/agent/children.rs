//! The modules around child agents: the supervisor, and the link to its BootAgent server.
//!
//! The supervisor opens files before it can do anything. Where a disk or a stray file is in the
//! way it fails as a module, and commands by Systems Manager go on.

#[cfg(feature = "bootagent")]
use super::bootagent;
#[cfg(all(feature = "bootagent", feature = "guardian"))]
use super::links::Changes;
#[cfg(feature = "bootagent")]
use super::links::Listener;
use super::modules::{Ended, Modules};
#[cfg(all(feature = "bootagent", feature = "guardian"))]
use super::status::Board;
use super::status::Link;
use crate::reactor::after;
use crate::supervise::{self, Settings, Supervisor};
use smol::LocalExecutor;
use std::cell::OnceCell;
#[cfg(feature = "bootagent")]
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Between two looks for the supervisor that a link needs.
const LOOK: Duration = Duration::from_secs(1);

/// The supervisor, once it is there.
#[derive(Clone, Default)]
pub struct Children(Rc<OnceCell<Rc<Supervisor>>>);

impl Children {
    /// Starts the module that looks after them.
    pub fn start(
        &self,
        modules: &Rc<Modules>,
        executor: &Rc<LocalExecutor<'static>>,
        state: &Path,
        settings: &Settings,
    ) {
        let (children, executor) = (self.clone(), executor.clone());
        let (state, settings) = (state.to_owned(), settings.clone());
        modules.start("supervise", move || {
            let (children, executor) = (children.clone(), executor.clone());
            let (state, settings) = (state.clone(), settings.clone());
            async move { children.look_after(executor, state, settings).await }
        });
    }

    /// Starts the link to their server.
    #[cfg(feature = "bootagent")]
    pub fn link(
        &self,
        modules: &Rc<Modules>,
        link: bootagent::Link,
        board: Link,
        changed: Listener,
    ) {
        let children = self.clone();
        // It never ends, so it is started once.
        let parts = Rc::new(RefCell::new(Some((link, board, changed))));
        modules.start(crate::uplink::bootagent::NAME, move || {
            let (children, parts) = (children.clone(), parts.clone());
            async move {
                let supervisor = children.supervisor().await;
                let parts = parts.borrow_mut().take();
                match parts {
                    Some((link, board, changed)) => {
                        bootagent::run(link, supervisor, board, changed).await
                    }
                    None => Ok(()),
                }
            }
        });
    }

    /// The same of one that is yet to be made; where it can't be, that is tried again as for every module.
    #[cfg(all(feature = "bootagent", feature = "guardian"))]
    pub fn link_later(
        &self,
        modules: &Rc<Modules>,
        make: bootagent::Make,
        board: &Rc<Board>,
        changes: &Rc<Changes>,
    ) {
        let (children, board, changes) = (self.clone(), board.clone(), changes.clone());
        modules.start(crate::uplink::bootagent::NAME, move || {
            let (children, board, changes) = (children.clone(), board.clone(), changes.clone());
            let made = make();
            async move {
                let link = made?;
                let supervisor = children.supervisor().await;
                let board = board.link(crate::uplink::bootagent::NAME);
                bootagent::run(link, supervisor, board, changes.listener()).await
            }
        });
    }

    async fn look_after(
        self,
        executor: Rc<LocalExecutor<'static>>,
        state: PathBuf,
        settings: Settings,
    ) -> Ended {
        let opened = Supervisor::open(&state, settings).map_err(|error| error.to_string())?;
        let supervisor = self.0.get_or_init(|| Rc::new(opened)).clone();
        supervise::run(supervisor, executor).await
    }

    /// The supervisor, as soon as it is there.
    pub async fn supervisor(&self) -> Rc<Supervisor> {
        loop {
            if let Some(supervisor) = self.0.get() {
                return supervisor.clone();
            }
            after(LOOK).await;
        }
    }

    /// A process ended whose parent this one is.
    pub fn ended(&self) {
        if let Some(supervisor) = self.0.get() {
            supervisor.child_ended();
        }
    }

    /// The operator's definitions are to be read again.
    #[cfg(not(feature = "update"))]
    pub fn reload(&self) {
        if let Some(supervisor) = self.0.get() {
            supervisor.reload();
        }
    }

    /// Prepares for the agent's end: see [`Supervisor::leave`].
    pub async fn leave(&self) {
        if let Some(supervisor) = self.0.get() {
            supervisor.leave().await;
        }
    }

    /// Prepares for another program in the agent's place: see [`Supervisor::hand_over`].
    pub fn hand_over(&self) {
        if let Some(supervisor) = self.0.get() {
            supervisor.hand_over();
        }
    }
}
