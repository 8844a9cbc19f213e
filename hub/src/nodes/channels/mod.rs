//! The message gateway (`ssmmessages`): websockets that nodes hold open, so that nothing waits for
//! a poll.
//!
//! Never here: what a command or a reply means; that is [`super::messages`]', whichever way they
//! came. A socket holds no truth: what it carries is in the store, and comes again on the next
//! socket if this one breaks.

pub mod control;
pub mod data;
mod opening;

/// Bytes of a message on a data channel. The largest honest ones are frames of a forwarded port.
pub const DATA_MESSAGE_LIMIT: usize = 256 * 1024;

/// Bytes of a message on a control channel: a reply with several steps of output, escaped twice.
pub const CONTROL_MESSAGE_LIMIT: usize = crate::server::BODY_LIMIT;
