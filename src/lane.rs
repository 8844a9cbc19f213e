//! Blocking calls beside the loop: one helper thread per lane, which comes when there is work
//! and goes when there is none.
//!
//! A lane does one thing at a time and in order. The agent has two for the network: one that
//! waits for work and one for everything else. The serial console has a third.

use crate::bell::Bell;
use heapless::Deque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Calls that may wait in one lane. Its callers are the agent's tasks, each with one call at a
/// time, and there are fewer of them.
const QUEUE: usize = 8;

/// How long a helper waits for more before it ends and gives its memory back.
const LINGER: Duration = Duration::from_secs(2);

/// A TLS handshake was measured to fit in 64 KiB; RSA signing needs more. Only touched pages count.
const STACK: usize = 256 * 1024;

/// A call to be made on a lane.
pub type Work = Box<dyn FnOnce() + Send>;

/// One helper thread and what waits for it.
#[derive(Clone)]
pub struct Lane(Arc<Shared>);

struct Shared {
    name: &'static str,
    state: Mutex<State>,
    arrived: Condvar,
}

struct State {
    queue: Deque<Work, QUEUE>,
    helper: bool,
}

/// Why a call wasn't made.
#[derive(Debug, PartialEq, Eq)]
pub enum LaneError {
    /// Too many calls wait already.
    Full,
    /// No thread could be started, for want of memory most likely.
    NoThread,
    /// The helper died while at it.
    Died,
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LaneError::Full => "too many calls wait for the network already",
            LaneError::NoThread => "no thread could be started for a network call",
            LaneError::Died => "the thread of a network call died",
        })
    }
}

impl std::error::Error for LaneError {}

impl Lane {
    /// A lane without a thread as yet.
    pub fn new(name: &'static str) -> Lane {
        let state = Mutex::new(State { queue: Deque::new(), helper: false });
        Lane(Arc::new(Shared { name, state, arrived: Condvar::new() }))
    }

    /// Does `work` on the lane's thread and waits for its result without blocking the loop.
    ///
    /// # Errors
    /// See [`LaneError`]; the work has not been begun, unless the helper died.
    pub async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, LaneError> {
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        self.wait(Box::new(move || {
            let done = work();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        }))
        .await?;
        let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
        result.take().ok_or(LaneError::Died)
    }

    /// What [`Lane::run`] does whatever the result is.
    async fn wait(&self, work: Work) -> Result<(), LaneError> {
        let over = Arc::new(Bell::new());
        let rings = Rings(over.clone());
        self.submit(Box::new(move || {
            let _rings = rings;
            work();
        }))?;
        over.wait().await;
        Ok(())
    }

    /// Does `work` on the lane's thread without anybody waiting for it.
    ///
    /// # Errors
    /// See [`LaneError`]; the work will not be done.
    pub fn submit(&self, work: Work) -> Result<(), LaneError> {
        let mut state = self.0.lock();
        state.queue.push_back(work).map_err(|_| LaneError::Full)?;
        if state.helper {
            self.0.arrived.notify_one();
            return Ok(());
        }
        let shared = self.0.clone();
        let builder = thread::Builder::new().name(self.0.name.to_owned()).stack_size(STACK);
        if builder.spawn(move || shared.help()).is_err() {
            state.queue.pop_back();
            return Err(LaneError::NoThread);
        }
        state.helper = true;
        Ok(())
    }
}

/// Rings at its end, even if that is a panic.
struct Rings(Arc<Bell>);

impl Drop for Rings {
    fn drop(&mut self) {
        self.0.ring();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn help(&self) {
        let mut state = self.lock();
        loop {
            while let Some(work) = state.queue.pop_front() {
                drop(state);
                work();
                state = self.lock();
            }
            let waited = self.arrived.wait_timeout_while(state, LINGER, |s| s.queue.is_empty());
            let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if timeout.timed_out() && state.queue.is_empty() {
                state.helper = false;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_does_its_work_in_order_on_one_thread() {
        let lane = Lane::new("test");
        let ids = smol::block_on(async {
            let first = lane.run(|| thread::current().id()).await.unwrap();
            let second = lane.run(|| thread::current().id()).await.unwrap();
            [first, second]
        });
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0], thread::current().id());
    }

    #[test]
    fn a_call_that_dies_is_an_error() {
        let lane = Lane::new("test");
        let died = smol::block_on(lane.run(|| panic!("as it should")));
        assert_eq!(died, Err::<(), _>(LaneError::Died));
    }

    #[test]
    fn a_full_lane_says_so_and_loses_nothing_it_took() {
        let lane = Lane::new("test");
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let (sender, results) = std::sync::mpsc::channel();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let first = sender.clone();
        lane.submit(Box::new(move || {
            begun.send(()).unwrap();
            gate.recv().unwrap();
            first.send(0).unwrap();
        }))
        .unwrap();
        has_begun.recv().unwrap();
        for n in 1..=QUEUE {
            let sender = sender.clone();
            lane.submit(Box::new(move || sender.send(n).unwrap())).unwrap();
        }
        assert_eq!(lane.submit(Box::new(|| {})), Err(LaneError::Full));
        open.send(()).unwrap();
        drop(sender);
        assert_eq!(results.iter().collect::<Vec<_>>(), (0..=QUEUE).collect::<Vec<_>>());
    }
}
