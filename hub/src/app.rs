//! What every request handler can reach.

use crate::auth::seal::Seal;
use crate::nodes::wakeups::Wakeups;
use crate::store::Store;
use std::time::{SystemTime, UNIX_EPOCH};
use stint_wire::time::Utc;

/// The hub: its store, its keys, and the nodes that wait for work. Shared by all tasks; holds no
/// other state, so that several hubs can serve one store.
pub struct App {
    /// The database.
    pub store: Store,
    /// Seals and opens secrets under the master key.
    pub seal: Seal,
    /// Wakes the long polls of nodes that have got work.
    pub wakeups: Wakeups,
    /// The twelve-digit account id that stands in ARNs.
    pub account_id: String,
}

/// Who asks: an operator whose signature has been verified.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The access key id.
    pub access_key: String,
    /// The region of the credential scope. It appears in ARNs and changes nothing else.
    pub region: String,
}

impl App {
    /// The time. Every rule that depends on it takes it as an argument; only the edge calls this.
    pub fn now(&self) -> Utc {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Utc(since.as_millis() as u64)
    }
}
