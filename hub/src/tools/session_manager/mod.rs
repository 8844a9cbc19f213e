//! Session Manager: shells, commands and forwarded ports on nodes that have no open port.
//!
//! Never here: the channels (see [`crate::nodes::channels`]), or what goes through them.

mod describe;
mod order;
mod start;

pub use describe::{connection_status, describe};
pub use start::{resume, start, terminate};

#[cfg(test)]
mod tests;
