//! What stint and stint-hub say to each other and to AWS, as pure functions and types.
//!
//! Never here: I/O, a clock, randomness, a policy. Everything that parses, signs, formats or
//! frames takes bytes and `now` as arguments, so that every rule of the protocols can be tested
//! with a table. `unsafe` is forbidden. The formats are described in `docs/PROTOCOL.md`.
#![forbid(unsafe_code)]

pub mod audit;
pub mod bootagent;
pub mod ec2messages;
pub mod ids;
pub mod json;
pub mod keys;
pub mod manifest;
pub mod md5;
pub mod mgs;
pub mod reply;
mod sha1;
pub mod sigv4;
pub mod smux;
pub mod ssm;
pub mod stream;
pub mod text;
pub mod time;
pub mod transcript;
pub mod websocket;
