//! What every request handler can reach.

use crate::auth::seal::Seal;
use crate::console::Console;
use crate::nodes::messages::Together;
use crate::nodes::wakeups::Wakeups;
use crate::server::metrics::Metrics;
use crate::sessions::Live;
use crate::store::Store;
use crate::updates::shelf::Newest;
use std::time::{SystemTime, UNIX_EPOCH};
use stint_wire::time::Utc;

/// The hub: its store, its keys, and the nodes that wait for work. Shared by all tasks; what else it
/// holds, such as relays and bells, is of one process (decision 0044).
pub struct App {
    /// The database.
    pub store: Store,
    /// Seals and opens secrets under the master key.
    pub seal: Seal,
    /// Wakes the long polls of nodes that have got work.
    pub wakeups: Wakeups,
    /// Replies of nodes that share a transaction.
    pub replies: Together,
    /// The sessions whose ends are here.
    pub sessions: Live,
    /// What the web pages remember.
    pub console: Console,
    /// Counts for `/metrics`; this process's own.
    pub metrics: Metrics,
    /// The twelve-digit account id that stands in ARNs.
    pub account_id: String,
    /// The S3 server of the fleet, without a slash at its end, if it isn't AWS's. Nodes upload
    /// there; the hub makes URLs of it.
    pub s3_server: Option<String>,
    /// The URL under which the hub is reached, without a slash at its end, if the operator said it: of
    /// packages, sessions and the console. Else it is the one of each request.
    pub public_url: Option<String>,
    /// Agents of the BootAgent protocol that can't sign are nodes too.
    pub accept_unsigned_bootagents: bool,
    /// The newest version of the agent that this hub serves.
    pub newest: Newest,
}

/// Who asks: an operator whose signature has been verified.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The access key id.
    pub access_key: String,
    /// The region of the credential scope. It appears in ARNs and changes nothing else.
    pub region: String,
    /// The URL under which the request reached the hub, for links in answers.
    pub endpoint: String,
    /// The log-in that stands for the signature, if a browser asks; else empty.
    pub login: String,
}

impl App {
    /// A hub over an open store.
    pub fn new(store: Store, seal: Seal, account_id: String) -> App {
        App {
            store,
            seal,
            wakeups: Wakeups::default(),
            replies: Together::default(),
            sessions: Live::default(),
            console: Console::default(),
            metrics: Metrics::default(),
            account_id,
            s3_server: None,
            public_url: None,
            accept_unsigned_bootagents: false,
            newest: Newest::of(None),
        }
    }

    /// The time. Every rule that depends on it takes it as an argument; only the edge calls this.
    pub fn now(&self) -> Utc {
        now()
    }
}

/// The time, for the command line, too.
pub fn now() -> Utc {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Utc(since.as_millis() as u64)
}

/// A hub over an empty store in a directory of its own.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::store::sqlite;

    /// The hub, and the directory that lives as long as the test holds it.
    pub async fn app() -> (App, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let store = sqlite::open(&dir.path().join("hub.db")).await.unwrap();
        (App::new(store, Seal::new([7; 32]), "123456789012".to_owned()), dir)
    }
}
