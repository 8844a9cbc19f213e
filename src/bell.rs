//! A bell from one task to another: it says "look again" and carries nothing.

use smol::channel::{Receiver, Sender, bounded};

/// Rung any number of times before it is heard, it is heard once.
pub struct Bell {
    ring: Sender<()>,
    hear: Receiver<()>,
}

impl Bell {
    /// A silent bell.
    pub fn new() -> Bell {
        let (ring, hear) = bounded(1);
        Bell { ring, hear }
    }

    /// Rings it.
    pub fn ring(&self) {
        let _ = self.ring.try_send(());
    }

    /// Waits until it rings, or has rung since the last wait.
    pub async fn wait(&self) {
        // Both ends live in this value, so the channel can't be closed.
        let _ = self.hear.recv().await;
    }
}
