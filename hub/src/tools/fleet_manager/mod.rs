//! Fleet Manager: which nodes there are, which of them answer, and parting with one.
//!
//! Never here: anything that reaches a node. What is told here is what the node last said.

mod deregister;
mod describe;
mod filters;
pub mod presence;

pub use deregister::{Deregister, deregister};
pub use describe::describe;

#[cfg(test)]
mod tests;
