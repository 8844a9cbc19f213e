//! Wakes the long poll and the control channel of a node when there is something for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{self, Notify};

/// One open poll and one control channel a node. The store holds the truth; a bell only says "look
/// again", so whoever waits takes its bell first and looks at the store after that.
#[derive(Default)]
pub struct Wakeups {
    polls: Lines,
    channels: Lines,
    closed: AtomicBool,
    closing: Notify,
}

/// At most one line a node.
#[derive(Default)]
struct Lines(Mutex<HashMap<String, Arc<Bell>>>);

#[derive(Default)]
struct Bell {
    rung: Notify,
    over: AtomicBool,
    /// Held by whoever takes something for the node; the same for the line that this one's opening has ended.
    taking: Arc<sync::Mutex<()>>,
}

/// A node's open poll, or its control channel. Dropping it closes it, which is what happens when
/// the node hangs up.
pub struct Line<'a> {
    wakeups: &'a Wakeups,
    lines: &'a Lines,
    node: String,
    bell: Arc<Bell>,
}

impl Wakeups {
    /// Opens a poll for the node and takes its bell. An older poll of the same node is over: its
    /// client has cut the connection, as amazon-ssm-agent does after 20 s, and what it would be
    /// handed now would be lost until the visibility timeout.
    pub fn bell(&self, node: &str) -> Line<'_> {
        self.open(&self.polls, node)
    }

    /// Takes the bell of a control channel that the node has opened. An older channel is over: it
    /// may be half open, and the newest is the one that the node listens to.
    pub fn channel(&self, node: &str) -> Line<'_> {
        self.open(&self.channels, node)
    }

    fn open<'a>(&'a self, lines: &'a Lines, node: &str) -> Line<'a> {
        let mut open = lines.lock();
        let taking = open.get(node).map(|older| older.taking.clone()).unwrap_or_default();
        let bell = Arc::new(Bell { taking, ..Bell::default() });
        if self.is_closing() {
            bell.over.store(true, Ordering::SeqCst);
        }
        if let Some(older) = open.insert(node.to_owned(), bell.clone()) {
            older.end();
        }
        drop(open);
        Line { wakeups: self, lines, node: node.to_owned(), bell }
    }

    /// Rings the node's bells. Without a poll or a channel there is nobody to wake: the next one
    /// looks at the store before it waits.
    pub fn ring(&self, node: &str) {
        for lines in [&self.channels, &self.polls] {
            if let Some(bell) = lines.lock().get(node) {
                bell.rung.notify_one();
            }
        }
    }

    /// Rings the bell of the node's poll alone: what it was handed is acknowledged, so that what was sent
    /// later may go. A channel hears acknowledgements itself.
    pub fn ring_poll(&self, node: &str) {
        if let Some(bell) = self.polls.lock().get(node) {
            bell.rung.notify_one();
        }
    }

    /// Ends the node's poll and its channel: it has been deregistered, and is to hear so with its
    /// next request.
    pub fn hang_up(&self, node: &str) {
        for lines in [&self.channels, &self.polls] {
            if let Some(bell) = lines.lock().get(node) {
                bell.end();
            }
        }
    }

    /// Whether the node has a poll or a channel open at this moment, which proves that it is
    /// online.
    pub fn is_connected(&self, node: &str) -> bool {
        self.has_channel(node) || self.is_polling(node)
    }

    /// Whether the node has a poll open at this moment.
    pub fn is_polling(&self, node: &str) -> bool {
        self.polls.lock().contains_key(node)
    }

    /// Whether the node holds a control channel at this moment.
    pub fn has_channel(&self, node: &str) -> bool {
        self.channels.lock().contains_key(node)
    }

    /// How many nodes have a poll open.
    pub fn open_polls(&self) -> usize {
        self.polls.lock().len()
    }

    /// How many nodes hold a control channel.
    pub fn open_channels(&self) -> usize {
        self.channels.lock().len()
    }

    /// The nodes that hold one, in no order.
    pub fn nodes_with_channels(&self) -> Vec<String> {
        self.channels.lock().keys().cloned().collect()
    }

    /// Whether the hub stops.
    pub fn is_closing(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until the hub stops.
    pub async fn closing(&self) {
        let closing = self.closing.notified();
        if !self.is_closing() {
            closing.await;
        }
    }

    /// Ends all polls and channels, also those that open later: the hub stops.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.closing.notify_waiters();
        for lines in [&self.channels, &self.polls] {
            lines.lock().values().for_each(|bell| bell.end());
        }
    }
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Bell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.rung.notify_one();
    }
}

impl Line<'_> {
    /// Waits until somebody rings, also if it happened since the bell was taken.
    pub async fn rung(&self) {
        self.bell.rung.notified().await;
    }

    /// The right to take something for the node, as long as it is held; `None` if this line has to end. An older
    /// line that was about to take something has done so then, and takes nothing any more.
    pub async fn turn(&self) -> Option<sync::MutexGuard<'_, ()>> {
        let turn = self.bell.taking.lock().await;
        (!self.is_over()).then_some(turn)
    }

    /// Whether this line has to end: a poll answers at once, and empty; a channel closes.
    pub fn is_over(&self) -> bool {
        self.bell.over.load(Ordering::SeqCst)
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let mut open = self.lines.lock();
        if open.get(&self.node).is_some_and(|bell| Arc::ptr_eq(bell, &self.bell)) {
            open.remove(&self.node);
            drop(open);
            // A poll that has left the work to the channel takes it up.
            self.wakeups.ring(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

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

    #[tokio::test]
    async fn a_poll_hears_that_the_channel_beside_it_is_gone() {
        let wakeups = Wakeups::default();
        let (poll, channel) = (wakeups.bell("mi-1"), wakeups.channel("mi-1"));
        assert!(wakeups.has_channel("mi-1") && wakeups.open_channels() == 1);
        drop(channel);
        poll.rung().await;
        assert!(!poll.is_over() && !wakeups.has_channel("mi-1") && wakeups.is_connected("mi-1"));
    }

    #[tokio::test]
    async fn the_newest_channel_is_the_one_that_counts() {
        let wakeups = Wakeups::default();
        let older = wakeups.channel("mi-1");
        let newer = wakeups.channel("mi-1");
        older.rung().await;
        assert!(older.is_over() && !newer.is_over());
        drop(older);
        assert!(wakeups.has_channel("mi-1"));
        wakeups.hang_up("mi-1");
        assert!(newer.is_over());
    }

    #[tokio::test]
    async fn a_channel_takes_nothing_before_the_older_one_is_done_with_it_for_good() {
        let wakeups = Wakeups::default();
        let older = wakeups.channel("mi-1");
        let taking = older.turn().await.unwrap();
        let newer = wakeups.channel("mi-1");
        let newest = wakeups.channel("mi-1");
        assert!(newest.turn().now_or_never().is_none());
        drop(taking);
        assert!(older.turn().await.is_none() && newer.turn().await.is_none());
        drop((older, newer));
        assert!(newest.turn().await.is_some());
    }
}
