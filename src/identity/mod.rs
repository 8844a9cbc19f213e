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
pub use registration::{Registration, RegistrationError};

use std::path::Path;

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
