//! Event scripts: a controller tells the device its period or asks whether it is ready, and a
//! script of the device's owner answers (decision 0035).
//!
//! A wish comes through `<state>/events/inbox/`, from a document's step or from `stint event`; the
//! daemon runs the scripts, tells the first verdict there, and goes on until they end with 0 or
//! the deadline is over. `wishes.json` holds what was wished, so that a reboot ends nothing.
//!
//! Never here: a server's protocol, and what a period means: the scripts know.

pub mod deadline;
pub mod inbox;
pub mod rule;
pub mod script;

use std::path::PathBuf;
use std::time::Duration;

/// Where the scripts are and how they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folders; what each has of an event is run, and all of it must agree.
    pub folders: Vec<PathBuf>,
    /// A script that takes longer is killed, with all of its process group.
    pub limit: Duration,
    /// Between two tries.
    pub retry: Duration,
}

impl Default for Settings {
    /// The numbers of CloneSquad, whose scripts run here as they are.
    fn default() -> Settings {
        Settings {
            folders: ["/etc/cs-ssm", "/etc/stint/events"].map(PathBuf::from).into(),
            limit: Duration::from_secs(30),
            retry: Duration::from_secs(40),
        }
    }
}
