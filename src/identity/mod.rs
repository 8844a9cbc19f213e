//! Who this device is: its key pair, and what the server called it.
//!
//! Never here: the network. A private key never leaves the device, is never logged, and its file
//! is readable by the agent's user alone.

#[cfg(feature = "bootagent")]
pub mod bootagent;
mod ed25519;
#[cfg(feature = "ssm")]
pub mod hardware;
pub mod keys;
pub mod registration;
#[cfg(feature = "ssm")]
mod rsa;

pub use keys::KeyPair;
#[cfg(feature = "ssm")]
pub use registration::UNDATED;
pub use registration::{Registration, RegistrationError};

use crate::board::BOARD;
use std::path::Path;

/// Where the files with private keys of a state folder are: in it, or where the board keeps them
/// for its own state folder.
pub fn folder(state: &Path) -> &Path {
    of_board(state, BOARD.state, BOARD.keys)
}

fn of_board<'a>(state: &'a Path, usual: &str, keys: &'a str) -> &'a Path {
    if !keys.is_empty() && state == Path::new(usual) { Path::new(keys) } else { state }
}

/// The registration of a state folder with Systems Manager.
///
/// # Errors
/// See [`RegistrationError`].
#[cfg(feature = "ssm")]
pub fn registration(state: &Path) -> Result<Registration, RegistrationError> {
    Registration::load(state)
}

/// There is none in a build without Systems Manager, which so needs no code to read it.
///
/// # Errors
/// Always.
#[cfg(not(feature = "ssm"))]
pub fn registration(state: &Path) -> Result<Registration, RegistrationError> {
    Err(RegistrationError::Missing(Registration::path(state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boards_folder_for_keys_is_for_its_own_state_alone() {
        let at = |state, keys| of_board(Path::new(state), "/var/lib/stint", keys);
        assert_eq!(at("/var/lib/stint", ""), Path::new("/var/lib/stint"));
        assert_eq!(at("/var/lib/stint", "/secure"), Path::new("/secure"));
        assert_eq!(at("/tmp/trial", "/secure"), Path::new("/tmp/trial"));
    }
}
