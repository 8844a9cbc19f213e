//! Secrets at rest.

/// Encrypts and decrypts under the master key.
pub struct Seal {}
