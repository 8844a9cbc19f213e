//! Wakes the long poll of a node when there is something for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One open poll a node. The store holds the truth; a bell only says "look again", so a poll
/// takes its bell first and looks at the store after that.
#[derive(Default)]
pub struct Wakeups {
    open: Mutex<HashMap<String, Arc<Bell>>>,
    closed: AtomicBool,
}

#[derive(Default)]
struct Bell {
    rung: Notify,
    over: AtomicBool,
}

/// A node's open poll. Dropping it closes the poll, which is what happens when the node hangs
/// up.
pub struct Poll<'a> {
    wakeups: &'a Wakeups,
    node: String,
    bell: Arc<Bell>,
}

impl Wakeups {
    /// Opens a poll for the node and takes its bell. An older poll of the same node is over: its
    /// client has cut the connection, as amazon-ssm-agent does after 20 s, and what it would be
    /// handed now would be lost until the visibility timeout.
    pub fn bell(&self, node: &str) -> Poll<'_> {
        let bell = Arc::new(Bell::default());
        if self.closed.load(Ordering::SeqCst) {
            bell.over.store(true, Ordering::SeqCst);
        }
        if let Some(older) = self.lock().insert(node.to_owned(), bell.clone()) {
            older.end();
        }
        Poll { wakeups: self, node: node.to_owned(), bell }
    }

    /// Rings the node's bell. Without an open poll there is nobody to wake: the next poll looks
    /// at the store before it waits.
    pub fn ring(&self, node: &str) {
        if let Some(bell) = self.lock().get(node) {
            bell.rung.notify_one();
        }
    }

    /// Ends the node's poll: it has been deregistered, and is to hear so with its next request.
    pub fn hang_up(&self, node: &str) {
        if let Some(bell) = self.lock().get(node) {
            bell.end();
        }
    }

    /// Whether the node has a poll open at this moment, which proves that it is online.
    pub fn is_polling(&self, node: &str) -> bool {
        self.lock().contains_key(node)
    }

    /// How many nodes have a poll open.
    pub fn open_polls(&self) -> usize {
        self.lock().len()
    }

    /// Ends all polls, also those that open later: the hub stops.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.lock().values().for_each(|bell| bell.end());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Bell>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.rung.notify_one();
    }
}

impl Poll<'_> {
    /// Waits until somebody rings, also if it happened since the bell was taken.
    pub async fn rung(&self) {
        self.bell.rung.notified().await;
    }

    /// Whether this poll has to answer at once, and empty.
    pub fn is_over(&self) -> bool {
        self.bell.over.load(Ordering::SeqCst)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let mut open = self.wakeups.lock();
        if open.get(&self.node).is_some_and(|bell| Arc::ptr_eq(bell, &self.bell)) {
            open.remove(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_taking_the_bell_and_waiting_is_heard() {
        let wakeups = Wakeups::default();
        let poll = wakeups.bell("mi-1");
        wakeups.ring("mi-1");
        poll.rung().await;
        assert!(!poll.is_over());
    }

    #[test]
    fn a_node_is_polling_exactly_as_long_as_its_poll_is_open() {
        let wakeups = Wakeups::default();
        wakeups.ring("mi-1");
        assert!(!wakeups.is_polling("mi-1"));
        let poll = wakeups.bell("mi-1");
        assert!(wakeups.is_polling("mi-1") && wakeups.open_polls() == 1);
        drop(poll);
        assert!(!wakeups.is_polling("mi-1"));
    }

    #[tokio::test]
    async fn a_newer_poll_ends_the_older_one() {
        let wakeups = Wakeups::default();
        let older = wakeups.bell("mi-1");
        let newer = wakeups.bell("mi-1");
        older.rung().await;
        assert!(older.is_over() && !newer.is_over());
        drop(older);
        assert!(wakeups.is_polling("mi-1"));
    }

    #[tokio::test]
    async fn the_poll_of_a_node_that_is_gone_is_over() {
        let wakeups = Wakeups::default();
        let (gone, other) = (wakeups.bell("mi-1"), wakeups.bell("mi-2"));
        wakeups.hang_up("mi-1");
        gone.rung().await;
        assert!(gone.is_over() && !other.is_over());
    }

    #[tokio::test]
    async fn a_hub_that_stops_releases_every_poll() {
        let wakeups = Wakeups::default();
        let waiting = wakeups.bell("mi-1");
        wakeups.close();
        waiting.rung().await;
        assert!(waiting.is_over() && wakeups.bell("mi-2").is_over());
    }
}
