//! `stint session`: one session of an operator with this device, in a process of its own: a shell, a
//! command, or a port. It holds the data channel and what is behind it, so that a session goes
//! on while the agent is restarted, and a broken one harms nothing else (decision 0043).
//!
//! Never here: a port that listens, an executor, and anything that the disk must have room for. One
//! loop waits with poll(2) for the server, the terminal or the connections, and signals.

mod asked;
mod channel;
mod command;
mod finish;
#[cfg(fuzzing)]
pub mod fuzz;
mod line;
mod link;
mod lookup;
mod mux;
mod order;
mod port;
mod shell;
mod transcript;
mod user;
mod words;
mod work;

pub use finish::{End, Means, run};
pub use line::Way;
pub use order::is_fit_for_a_name;
pub use transcript::{are_waiting, deliver};

use std::fs;
use std::path::Path;

/// The folder of the sessions, below the one that `stint status` looks in: nothing in it need outlive
/// a power cut.
pub const FOLDER: &str = "sessions";

/// The folder, among those of sessions, of the process that sends transcripts which others have left.
/// No session's id begins so.
pub const SENDER: &str = ".sender";

/// How many sessions there are, as far as the daemon's files tell.
pub fn count(status_dir: &Path) -> usize {
    let entries = fs::read_dir(status_dir.join(FOLDER)).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name() != SENDER).count()
}

/// The version that is announced to clients: four numbers. Session-manager-plugin multiplexes the
/// connections of a forwarded port with agents from 3.0.197.0 on, and leaves the keep-alive inside
/// that to the data channel from 3.1.1512.0 on; this is the first version that has both.
const ANNOUNCED: &str = "3.1.1512.0";
