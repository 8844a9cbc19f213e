//! The BootAgent protocol, the server's side (`docs/PROTOCOL.md`, "BootAgent"): nodes whose work
//! is to keep child agents installed and running.
//!
//! A node reports how it is, and the answer brings its jobs; nothing is pushed. Jobs come from
//! commands like everything else that nodes do.
//!
//! Never here: what a job does. The shapes are [`stint_wire::bootagent`]'s.

mod children;
mod exchange;
mod founding;
mod jobs;
mod members;
mod nonces;
mod refusal;
mod register;
mod result;
mod status;

pub use exchange::{Reply, answer};
pub use nonces::forget_old as forget_old_nonces;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
