//! `stint session`.

use crate::config::{self, DEFAULT_PATH};
use crate::session::{self, End, Means, Way};
use crate::uplink::remote::Network;
use std::io;
use std::path::Path;

/// Carries the session whose folder that is, or sends the transcripts that are left.
pub fn run(
    folder: Option<&Path>,
    config: Option<&Path>,
    state: Option<&Path>,
) -> Result<(), String> {
    crate::sys::memory::share_one_heap();
    let loaded = config::load(config, &[DEFAULT_PATH]).map_err(|error| error.to_string());
    let (settings, loaded_state, problem) = match loaded {
        Ok(loaded) => (loaded.config.session, loaded.config.state_dir, None),
        Err(error) => (config::Session::default(), config::DEFAULT_STATE.into(), Some(error)),
    };
    let state = state.unwrap_or(&loaded_state);
    let network = Network::new(config, Some(state));
    let Some(folder) = folder else { return session::deliver(state, &network) };
    if let Some(problem) = problem {
        // Of a session without a server the daemon alone can tell.
        return End::failed(problem).write(folder).map_err(|error| error.to_string());
    }
    let content = io::read_to_string(io::stdin()).map_err(|error| error.to_string())?;
    let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let means = Means {
        dial: &mut Way { network: &network, session: &id, denied: None },
        remote: &network,
        state,
        run_as: settings.run_as.as_deref(),
        transcript: settings.transcript,
    };
    session::run(folder, &content, means, &mut io::stdout())
}
