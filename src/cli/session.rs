//! `stint session`.

use super::logger;
use crate::config::{self, DEFAULT_PATH, Loaded};
use crate::session::{self, End, Means, Way};
use crate::uplink::remote::Network;
use std::io;
use std::path::Path;

/// Carries the session whose folder that is, or sends the transcripts that are left.
pub fn run(folder: Option<&Path>, config: Option<&Path>, state: &Path) -> Result<(), String> {
    crate::sys::memory::share_one_heap();
    let loaded = config::load(config, &[DEFAULT_PATH]).map_err(|error| error.to_string());
    let (settings, problem) = match loaded {
        Ok(Loaded { config, .. }) => {
            // Where the daemon's lines are: nobody sees more of this process.
            logger::start_as(&config);
            (config.session, None)
        }
        Err(error) => (config::Session::default(), Some(error)),
    };
    let network = Network::new(config, Some(state));
    let Some(folder) = folder else { return session::deliver(state, &network) };
    if let Some(problem) = problem {
        // Of a session without a server the daemon alone can tell.
        return End::failed(problem).write(folder).map_err(|error| error.to_string());
    }
    let content = io::read_to_string(io::stdin()).map_err(|error| error.to_string())?;
    let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let means = Means {
        dial: Box::new(Way { channels: network.data_channels(), session: id, denied: None }),
        remote: &network,
        state,
        run_as: settings.run_as.as_deref(),
        transcript: settings.transcript,
    };
    session::run(folder, &content, means, &mut io::stdout())
}
