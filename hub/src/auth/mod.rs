//! Who may call: operators and nodes, by signature.
//!
//! Never here: what an operation does. A signature is judged by pure functions over the request
//! ([`signature`], [`node_key`]); this layer only fetches the secret or the key to judge it with.

pub mod channel_token;
pub mod first_key;
pub mod identity;
pub mod master_key;
pub mod node_credentials;
pub mod node_key;
pub mod operator_keys;
pub mod request;
pub mod roles;
pub mod seal;
pub mod server_keys;
pub mod session_rules;
pub mod signature;
#[cfg(test)]
pub mod testing;
