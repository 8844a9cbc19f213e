//! Modules: what the daemon does, each activity under a name of its own. A module is started,
//! watched, listed by `stint status`, and stopped; one that fails is started again after a pause,
//! and takes no other along.
//!
//! To add one (the calls stand in `agent/mod.rs`):
//!
//! ```text
//! modules.start("offline", move || offline::run(shared.clone()));   // its task
//! modules.disabled("audit", "the configuration doesn't want it");  // listed, and not started
//!
//! pub async fn run(shared: Rc<Shared>) -> Ended { … }
//! ```
//!
//! The closure makes the module's task, and is called again for each further start. The task's
//! `Err` is the failure in words that name the thing and the place; `Ok` means that there is
//! nothing left to do. A task that goes on for ever mends what it can by itself, as a loop with a
//! [`Backoff`] does, and fails when it can't go on. A module is stopped by dropping its task: what
//! it has to put in order it does in a `Drop`.
//!
//! This file comes with the feature `guardian`. Without it (`bare_modules.rs`) there is no list, and
//! a module that fails ends the daemon, which the board's init starts again.

use super::backoff::Backoff;
use super::status::Board;
use crate::reactor::after;
use crate::sys::clock;
use smol::LocalExecutor;
use smol::Task;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};
use stint_wire::json::{self, Node, ObjectWriter};

/// How a module's task ends.
pub type Ended = Result<(), String>;

/// A module that has run for so long is well: the next failure is the first again.
const WELL: Duration = Duration::from_secs(300);

/// What starts a module. Boxed, so that what looks after modules is in the binary once.
type Start = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Ended>>>>;

/// How a module is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Its task is under way.
    Running,
    /// Its task has failed, and is started again after a pause.
    Failed,
    /// It has nothing left to do, or the daemon is about to end.
    #[default]
    Stopped,
    /// It wasn't started, for the reason that is its last error.
    Disabled,
}

impl State {
    /// The word for it in `stint status`.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Failed => "failed",
            State::Stopped => "stopped",
            State::Disabled => "disabled",
        }
    }

    fn parse(word: &str) -> State {
        let all = [State::Running, State::Failed, State::Disabled];
        all.into_iter().find(|state| state.word() == word).unwrap_or_default()
    }
}

/// What `stint status` tells of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleState {
    /// Its name.
    pub name: String,
    /// How it is.
    pub state: State,
    /// Since when, ISO 8601, by the device's clock.
    pub since: String,
    /// How often it was started again since the daemon's start.
    pub restarts: u32,
    /// Why it failed last, or isn't started.
    pub last_error: Option<String>,
}

impl ModuleState {
    /// The module as JSON.
    pub fn write(&self) -> String {
        ObjectWriter::new()
            .string("module", &self.name)
            .string("state", self.state.word())
            .string("since", &self.since)
            .raw("restarts", &self.restarts.to_string())
            .raw("lastError", &self.last_error.as_deref().map_or("null".into(), json::quote))
            .finish()
    }

    /// What is missing is empty.
    pub fn read(node: &Node) -> ModuleState {
        let text = |name| node.get(name).and_then(Node::as_str).unwrap_or_default();
        let last_error = node.get("lastError").and_then(Node::as_str);
        ModuleState {
            name: text("module").to_owned(),
            state: State::parse(text("state")),
            since: text("since").to_owned(),
            restarts: node.get("restarts").and_then(Node::as_u64).unwrap_or_default() as u32,
            last_error: last_error.map(str::to_owned),
        }
    }
}

/// The daemon's modules.
pub struct Modules {
    executor: Rc<LocalExecutor<'static>>,
    board: Rc<Board>,
    /// In the order in which they were started.
    tasks: RefCell<Vec<Task<()>>>,
}

impl Modules {
    /// None as yet. They run on `executor`, and are listed on `board`.
    pub fn new(executor: Rc<LocalExecutor<'static>>, board: Rc<Board>) -> Modules {
        Modules { executor, board, tasks: RefCell::default() }
    }

    /// Starts a module; see above.
    pub fn start<T: Future<Output = Ended> + 'static>(
        self: &Rc<Modules>,
        name: &'static str,
        start: impl Fn() -> T + 'static,
    ) {
        self.look_after(name, Box::new(move || Box::pin(start())));
    }

    fn look_after(self: &Rc<Modules>, name: &'static str, start: Start) {
        let at = self.board.module(name, State::Running, None);
        let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(keep(self.clone(), name, at, start));
        self.tasks.borrow_mut().push(self.executor.spawn(task));
    }

    /// Lists a module that isn't started, and why.
    pub fn disabled(&self, name: &'static str, why: &str) {
        self.board.module(name, State::Disabled, Some(why));
    }

    /// Stops all of them, the last started first.
    pub async fn stop(&self) {
        loop {
            let task = self.tasks.borrow_mut().pop();
            let Some(task) = task else { break };
            task.cancel().await;
        }
    }
}

/// Runs one module, and starts it again each time it fails.
async fn keep(modules: Rc<Modules>, name: &'static str, at: usize, start: Start) {
    let mut backoff = Backoff::default();
    loop {
        let began = Instant::now();
        let Err(why) = start().await else {
            modules.board.change_module(at, |module| module.turn(State::Stopped));
            return;
        };
        if began.elapsed() >= WELL {
            backoff.succeeded();
        }
        let wait = backoff.failed(false);
        log::error!("module {name} failed, starting it again in {} s: {why}", wait.as_secs());
        modules.board.change_module(at, |module| {
            module.turn(State::Failed);
            module.last_error = Some(why);
        });
        after(wait).await;
        modules.board.change_module(at, |module| {
            module.turn(State::Running);
            module.restarts = module.restarts.saturating_add(1);
        });
    }
}

impl ModuleState {
    /// It is in another state from now on.
    pub fn turn(&mut self, state: State) {
        self.state = state;
        self.since = clock::system().iso();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status;
    use crate::reactor::block_on;
    use crate::testing::Folder;
    use std::cell::Cell;

    /// The modules of a daemon with this folder, and the loop that runs them.
    fn made(folder: &Folder) -> (Rc<Modules>, Rc<LocalExecutor<'static>>, Rc<Board>) {
        let executor = Rc::new(LocalExecutor::new());
        let board = Board::new(folder.path(), None);
        (Rc::new(Modules::new(executor.clone(), board.clone())), executor, board)
    }

    fn listed(folder: &Folder) -> Vec<ModuleState> {
        let _claim = status::claim(folder.path()).unwrap();
        status::look(folder.path(), folder.path()).unwrap().modules
    }

    #[test]
    fn a_module_that_fails_is_started_again_and_the_others_go_on() {
        let folder = Folder::new();
        let (modules, executor, board) = made(&folder);
        let starts = Rc::new(Cell::new(0));
        let counted = starts.clone();
        modules.start("weak", move || {
            counted.set(counted.get() + 1);
            let first = counted.get() == 1;
            async move {
                match first {
                    true => Err("the disk is full".to_owned()),
                    false => smol::future::pending().await,
                }
            }
        });
        modules.start("done", || async { Ok(()) });
        modules.start("strong", smol::future::pending);
        modules.disabled("unwanted", "the configuration says so");
        block_on(executor.run(async {
            while starts.get() < 2 {
                let states: Vec<State> = listed(&folder).iter().map(|it| it.state).collect();
                assert_eq!(states[2], State::Running);
                after(Duration::from_millis(50)).await;
            }
        }))
        .unwrap();
        let seen = listed(&folder);
        let words: Vec<&str> = seen.iter().map(|module| module.state.word()).collect();
        assert_eq!(words, ["running", "stopped", "running", "disabled"]);
        assert_eq!((seen[0].name.as_str(), seen[0].restarts), ("weak", 1));
        assert_eq!(seen[0].last_error.as_deref(), Some("the disk is full"));
        assert_eq!(seen[3].last_error.as_deref(), Some("the configuration says so"));
        smol::block_on(executor.run(modules.stop()));
        board.stopped();
        let words: Vec<&str> = listed(&folder).iter().map(|module| module.state.word()).collect();
        assert_eq!(words, ["stopped", "stopped", "stopped", "disabled"]);
    }

    #[test]
    fn a_module_is_stopped_by_dropping_its_task_the_last_started_first() {
        struct Note(Rc<RefCell<Vec<&'static str>>>, &'static str);
        impl Drop for Note {
            fn drop(&mut self) {
                self.0.borrow_mut().push(self.1);
            }
        }
        let folder = Folder::new();
        let (modules, executor, _board) = made(&folder);
        let order = Rc::new(RefCell::new(Vec::new()));
        for name in ["one", "two"] {
            let order = order.clone();
            modules.start(name, move || {
                let note = Note(order.clone(), name);
                async move {
                    let _note = note;
                    smol::future::pending().await
                }
            });
        }
        smol::block_on(executor.run(async {
            smol::future::yield_now().await;
            modules.stop().await;
        }));
        assert_eq!(*order.borrow(), ["two", "one"]);
    }
}
