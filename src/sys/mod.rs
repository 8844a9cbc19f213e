//! The operating system: durable files, processes, signals, descriptors, host facts.
//!
//! Never here: policy. A function does one thing to the system and says what went wrong; when
//! to do it is decided elsewhere. This folder is the only place with `unsafe`.
#![allow(unsafe_code)]

#[cfg(feature = "supervise")]
pub mod cgroup;
#[cfg(feature = "supervise")]
pub mod child;
pub mod clock;
pub mod command;
pub mod descriptors;
pub mod doorbell;
pub mod durable;
pub mod faults;
#[cfg(any(feature = "logs", feature = "supervise"))]
pub mod fifo;
pub mod host;
#[cfg(any(feature = "audit", feature = "events", feature = "offline"))]
pub mod inotify;
#[cfg(all(target_env = "musl", target_feature = "crt-static", not(debug_assertions)))]
mod lean_libc;
pub mod lock;
pub mod memory;
#[cfg(feature = "ssm")]
pub mod netlink;
pub mod part;
pub mod process;
#[cfg(feature = "session")]
pub mod pty;
pub mod random;
pub mod reserve;
#[cfg(feature = "serial")]
pub mod serial;
pub mod signals;
pub mod start;
#[cfg(feature = "ssm")]
pub mod tcp;
#[cfg(feature = "supervise")]
pub mod tree;
#[cfg(feature = "supervise")]
pub mod unix_socket;
#[cfg(any(feature = "session", feature = "supervise"))]
pub mod users;
#[cfg(feature = "guardian")]
pub mod ward;
#[cfg(feature = "guardian")]
pub mod watchdog;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file operation that failed: what, where and why.
#[derive(Debug)]
pub struct FileError {
    /// The operation, as a verb: `write`, `rename`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl FileError {
    /// Makes a mapper for `map_err`.
    pub fn new<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> FileError + 'a {
        move |cause| FileError { action, path: path.to_owned(), cause }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't {} {}: {}", self.action, self.path.display(), self.cause)
    }
}

impl std::error::Error for FileError {}

/// Turns the result of a system call into an [`io::Result`].
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
