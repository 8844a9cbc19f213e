//! The container engine's command on this device: `docker`, or `podman`, which takes the same
//! words.

use super::script;
use std::path::PathBuf;

/// In this order: where both are, `docker` is what the document speaks of.
const NAMES: [&str; 2] = ["docker", "podman"];

/// The command's path.
///
/// # Errors
/// There is none; the reason is for the step's standard error.
pub fn command() -> Result<PathBuf, &'static str> {
    script::find_program(&NAMES).ok_or(
        "failed to run commands: there is no container engine on this device (looked for docker \
         and podman in PATH)",
    )
}
