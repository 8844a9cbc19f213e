//! New versions of the agent: a signed manifest and the programs that it names.
//!
//! A release is made where the programs are built, by whoever holds the release key
//! ([`book`], [`key`]); the hub stores and serves it ([`shelf`]) and need not be trusted with it.
//! Agents believe the signature, not the server.
//!
//! Never here: the private key in the data directory.

pub mod book;
pub mod key;
pub mod shelf;
