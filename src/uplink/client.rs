//! The HTTP client of downloads: large files from anywhere, given up when the operator cancels.

use super::http::Http;
use super::tls;
use crate::patience::Patience;
use crate::remote::RemoteError;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How long a cancelled download may go on, at most.
const GLANCE: Duration = Duration::from_millis(200);

/// The watcher calls little; the system's usual 2 to 8 MiB would be wasted on it.
const STACK: usize = 64 * 1024;

/// The client, made when it is needed: to read the certificate authorities takes memory and time.
pub struct Client {
    ca_file: Option<PathBuf>,
    http: RefCell<Option<Rc<Http>>>,
}

impl Client {
    /// A client that trusts the authorities of `ca_file` besides the system's: files come from
    /// anywhere, not only from where the server is.
    pub fn new(ca_file: Option<PathBuf>) -> Client {
        Client { ca_file, http: RefCell::default() }
    }

    /// Does `work`. When the patience is over, everything under way in it fails.
    ///
    /// # Errors
    /// The file of certificate authorities is of no use; or what `work` returns.
    pub fn run<T, E: From<RemoteError>>(
        &self,
        patience: &Patience,
        work: &mut dyn FnMut(&Http) -> Result<T, E>,
    ) -> Result<T, E> {
        let http = self.get()?;
        let result = watched(&http, patience, work);
        if patience.over().is_some() {
            // What was interrupted makes no connections any more.
            *self.http.borrow_mut() = None;
        }
        result
    }

    fn get(&self) -> Result<Rc<Http>, RemoteError> {
        let mut slot = self.http.borrow_mut();
        if let Some(http) = slot.as_ref() {
            return Ok(http.clone());
        }
        let mut roots = tls::system_authorities();
        if let Some(path) = &self.ca_file {
            let own = tls::authorities(path);
            roots.extend(own.map_err(|cause| RemoteError::NoServer(cause.to_string()))?);
        }
        let http = Rc::new(Http::trusting(roots));
        *slot = Some(http.clone());
        Ok(http)
    }
}

/// Does `work` while a thread looks at the clock and for a cancellation.
fn watched<T>(http: &Http, patience: &Patience, work: &mut dyn FnMut(&Http) -> T) -> T {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = || {
            while !done.load(Ordering::Acquire) {
                if patience.over().is_some() {
                    http.shutdown();
                    return;
                }
                thread::park_timeout(GLANCE);
            }
        };
        // Without a watcher the time limits of single reads are left.
        let watcher = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, watch);
        let result = work(http);
        done.store(true, Ordering::Release);
        if let Ok(watcher) = &watcher {
            watcher.thread().unpark();
        }
        result
    })
}
