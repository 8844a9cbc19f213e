//! `stint run`.

use super::logger;
use crate::agent::{self, Settings, status};
use crate::config::{self, Loaded};
use crate::identity::Registration;
use crate::uplink::Uplink;
use crate::uplink::ssm::Ssm;
use std::path::PathBuf;
use std::sync::Arc;

/// What was typed.
#[derive(Default)]
pub struct Wish {
    /// The configuration.
    pub config: Option<PathBuf>,
    /// The state folder.
    pub state_dir: Option<PathBuf>,
}

/// Runs the daemon until it is told to stop.
pub fn run(wish: &Wish, usual: &[&str]) -> Result<(), String> {
    let Loaded { config, not_honoured } =
        config::load(wish.config.as_deref(), usual).map_err(|error| error.to_string())?;
    logger::start(config.log_level);
    if !not_honoured.is_empty() {
        log::warn!(
            "settings of amazon-ssm-agent that stint has no use for: {}",
            not_honoured.join(", ")
        );
    }
    let state = wish.state_dir.as_deref().unwrap_or(&config.state_dir);
    // Workers run in another folder and are told where their jobs are.
    let state = std::path::absolute(state).map_err(|error| error.to_string())?;
    let registration = Registration::load(&state).map_err(|error| error.to_string())?;
    let claim = status::claim(&state).map_err(|error| error.to_string())?;
    let Some(_claim) = claim else {
        return Err(format!("another agent is running with the state in {}", state.display()));
    };
    log::info!("stint {} runs as {}", env!("CARGO_PKG_VERSION"), registration.instance_id);
    let uplink: Arc<dyn Uplink> =
        Arc::new(Ssm::new(&config, registration).map_err(|error| error.to_string())?);
    let settings =
        Settings { health_interval: config.health_interval, workers: config.command_workers };
    agent::run(uplink, &state, settings).map_err(|error| error.to_string())
}
