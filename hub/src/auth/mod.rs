//! Who may call: operators and nodes by signature.
pub mod seal;
