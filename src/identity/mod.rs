//! Who this device is: its key pair, and what the server called it.
//!
//! Never here: the network. A private key never leaves the device, is never logged, and its file
//! is readable by the agent's user alone.

#[cfg(feature = "bootagent")]
pub mod bootagent;
mod ed25519;
pub mod keys;
pub mod registration;
#[cfg(feature = "ssm")]
mod rsa;

pub use keys::KeyPair;
pub use registration::{Registration, RegistrationError};
