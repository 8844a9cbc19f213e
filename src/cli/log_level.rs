//! `stint log-level`.

use super::{Exit, LogLevel, complain};
use crate::agent::loudness::{WORDS, tell};
use crate::config::{self, Config, DEFAULT_PATH};
use std::io::ErrorKind;

/// `open` of a FIFO that nobody reads.
const NOBODY: i32 = libc::ENXIO;

/// Tells the daemon.
pub fn run(wish: &LogLevel) -> Exit {
    if !WORDS.contains(&wish.level.as_str()) {
        let known = WORDS.join(", ");
        let error = format!("stint: there is no log level {}; there are {known}", wish.level);
        return complain(&error, Exit::Usage);
    }
    let config = match config::load(wish.config.as_deref(), &[DEFAULT_PATH]) {
        Ok(loaded) => loaded.config,
        // The daemon may run with one that was good.
        Err(_) if wish.state_dir.is_some() => Config::default(),
        Err(error) => return complain(&format!("stint: {error}"), Exit::Failure),
    };
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    match tell(state, &wish.level) {
        Ok(()) => {
            super::open_audit(&config, state);
            let what = [("level", &*wish.level)];
            crate::audit::record("log-level.changed", &crate::audit::person(), &what);
            Exit::Success
        }
        Err(error)
            if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(NOBODY) =>
        {
            let state = state.display();
            complain(
                &format!("stint: no agent is running with the state in {state}"),
                Exit::Failure,
            )
        }
        Err(error) => complain(&format!("stint: the agent can't be told: {error}"), Exit::Failure),
    }
}
