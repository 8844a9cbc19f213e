//! The web pages: who is logged in with a browser, and the files that a browser gets.
//!
//! A log-in stands for an operator's signature and for nothing more: what a page wants is called as
//! any operator's request is, under the same rules (decision 0047).
//!
//! Never here: a second way to anything that the API does.

pub mod files;
pub mod logins;
pub mod nodes;
pub mod origin;
pub mod throttle;

/// What the pages need to remember beside the log-ins, in memory only.
#[derive(Default)]
pub struct Console {
    /// Who tries to log in.
    pub throttle: throttle::Throttle,
}
