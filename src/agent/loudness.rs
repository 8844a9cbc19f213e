//! How much is logged, while the agent runs: `stint log-level` writes a word into a FIFO of the state folder.
//!
//! A signal would be less: it can't say which level, kills a daemon that is just being started, and has
//! to find the process. What was said is forgotten with the process: a device that logs everything for
//! ever because somebody once looked for a fault is worse than one to be told again.

use super::modules::Ended;
use crate::reactor::readable;
use crate::sys::fifo;
use log::LevelFilter;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The FIFO below the state folder.
const FILE: &str = "run/log-level";

/// The words, from the least to the most.
pub const WORDS: [&str; 5] = ["off", "error", "warn", "info", "debug"];

/// Does what it is told for ever.
pub async fn run(state: PathBuf) -> Ended {
    let path = state.join(FILE);
    let opened = fifo::make(&path).and_then(|()| fifo::open(&path, false));
    let pipe = opened.map_err(|error| error.to_string())?;
    // What was meant for an earlier daemon.
    take(&mut &pipe);
    loop {
        readable(&pipe).await;
        let said = take(&mut &pipe);
        let level =
            said.as_deref().and_then(|said| said.lines().last()?.parse::<LevelFilter>().ok());
        if let Some(level) = level {
            // Told if either of the two levels lets it through.
            log::set_max_level(level.max(log::max_level()));
            log::warn!("the log level is {} from now on", level.as_str().to_lowercase());
            log::set_max_level(level);
        }
    }
}

/// What is there, as far as it fits; more nobody has to say.
fn take(pipe: &mut dyn Read) -> Option<String> {
    let mut bytes = [0; 64];
    let count = pipe.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(bytes.get(..count)?).into_owned())
}

/// Tells the daemon of a state folder.
///
/// # Errors
/// There is none, or this user may not.
pub fn tell(state: &Path, word: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Without a reader that fails at once.
    options.write(true).custom_flags(libc::O_NONBLOCK);
    options.open(state.join(FILE))?.write_all(format!("{word}\n").as_bytes())
}
