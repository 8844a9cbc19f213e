//! Modules in a build without the guardian: started under a name, and not listed. One that fails
//! ends the daemon, which the board's init starts again. See `modules.rs`.

use smol::LocalExecutor;
use std::future::Future;
use std::rc::Rc;

/// How a module's task ends: see `modules.rs`.
pub type Ended = Result<(), String>;

/// The daemon's modules.
pub struct Modules {
    executor: Rc<LocalExecutor<'static>>,
}

impl Modules {
    /// None as yet. They run on `executor`.
    pub fn new(executor: Rc<LocalExecutor<'static>>) -> Modules {
        Modules { executor }
    }

    /// Starts a module.
    pub fn start<T: Future<Output = Ended> + 'static>(
        &self,
        name: &'static str,
        start: impl FnOnce() -> T,
    ) {
        let task = start();
        super::spawn(&self.executor, async move {
            if let Err(why) = task.await {
                log::error!("module {name} failed: {why}");
                std::process::exit(1);
            }
        });
    }

    /// Does nothing: there is no list.
    pub fn disabled(&self, _name: &'static str, _why: &str) {}
}
