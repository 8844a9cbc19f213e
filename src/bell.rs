//! A bell from one task or thread to another: it says "look again" and carries nothing.
//!
//! smol's channels do the same for values of any type, and are compiled for each: 1.5 kB on ARMv7, and 600
//! bytes wherever one is waited for.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Rung any number of times before it is heard, it is heard once.
#[derive(Default)]
pub struct Bell(Mutex<State>);

#[derive(Default)]
struct State {
    rung: bool,
    /// Those who listen, or have listened: each task once.
    listening: Vec<Waker>,
}

impl Bell {
    /// A silent bell.
    pub fn new() -> Bell {
        Bell::default()
    }

    /// Rings it.
    pub fn ring(&self) {
        let mut state = self.state();
        state.rung = true;
        let listening = std::mem::take(&mut state.listening);
        drop(state);
        // One of them hears it; the others find nothing and listen again.
        for waker in listening {
            waker.wake();
        }
    }

    /// Waits until it rings, or has rung since the last wait.
    pub async fn wait(&self) {
        poll_fn(|context| self.poll(context.waker())).await;
    }

    fn poll(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state();
        if state.rung {
            state.rung = false;
            return Poll::Ready(());
        }
        // A task that gave up waiting is still in the list when it comes again.
        if !state.listening.iter().any(|known| known.will_wake(waker)) {
            state.listening.push(waker.clone());
        }
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::LocalExecutor;
    use smol::future::{or, poll_once};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn many_rings_before_anybody_listens_are_heard_once() {
        let bell = Bell::new();
        bell.ring();
        bell.ring();
        smol::block_on(async {
            assert!(poll_once(bell.wait()).await.is_some());
            assert!(poll_once(bell.wait()).await.is_none());
        });
    }

    #[test]
    fn another_thread_rings_it_and_no_ring_is_lost() {
        let (there, back) = (Arc::new(Bell::new()), Arc::new(Bell::new()));
        let (hears, answers) = (there.clone(), back.clone());
        let other = thread::spawn(move || {
            for _ in 0..1000 {
                smol::block_on(hears.wait());
                answers.ring();
            }
        });
        for _ in 0..1000 {
            there.ring();
            smol::block_on(back.wait());
        }
        other.join().unwrap();
    }

    #[test]
    fn of_two_that_listen_each_ring_wakes_one_and_neither_is_forgotten() {
        let executor = LocalExecutor::new();
        let (bell, heard) = (Rc::new(Bell::new()), Rc::new(Bell::new()));
        let listen = || {
            let (bell, heard) = (bell.clone(), heard.clone());
            executor.spawn(async move {
                bell.wait().await;
                heard.ring();
            })
        };
        let (one, other) = (listen(), listen());
        smol::block_on(executor.run(async {
            bell.ring();
            heard.wait().await;
            assert!(!(one.is_finished() && other.is_finished()));
            bell.ring();
            one.await;
            other.await;
        }));
    }

    #[test]
    fn who_gives_up_waiting_again_and_again_is_kept_once() {
        let bell = Bell::new();
        smol::block_on(async {
            for _ in 0..100 {
                or(bell.wait(), smol::future::yield_now()).await;
            }
        });
        assert_eq!(bell.state().listening.len(), 1);
    }
}
