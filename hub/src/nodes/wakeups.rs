//! Wakes the long poll of a node when there is something for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// One bell per node that polls. The store holds the truth; a bell only says "look again".
#[derive(Default)]
pub struct Wakeups(Mutex<HashMap<String, Arc<Notify>>>);

impl Wakeups {
    /// The node's bell.
    pub fn bell(&self, node: &str) -> Arc<Notify> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.entry(node.to_owned()).or_default().clone()
    }

    /// Rings the node's bell. A poll that starts later hears it too.
    pub fn ring(&self, node: &str) {
        self.bell(node).notify_one();
    }
}
