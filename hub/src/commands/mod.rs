//! What the operator's side, the device's side and the schedule share about commands: their words,
//! their counts, their rate control, and what follows when one of their invocations moves.
//!
//! Never here: a request, a wire format, a clock. The decisions are functions of rows and `now`.

pub mod agent_job;
mod finish;
mod options;
mod progress;
mod rate;
mod rollup;
mod status;
mod tally;
pub mod values;

pub use finish::{Ending, finish};
pub use options::Options;
pub use progress::{advance, commit, progressed};
pub use rollup::rollup;
pub use status::is_finished;
pub(crate) use status::{delivery_seconds, unfinished};
pub use tally::{Tally, tallies, tally};

#[cfg(test)]
mod tests;
