//! Waiting for descriptors in processes that have no executor, and asking what state they are in.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// What became of one descriptor while waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// There is something to read, or the end has come.
    pub readable: bool,
}

/// Waits until one of `descriptors` can be read, at most `patience`; without it, for ever. An
/// interruption by a signal counts as the end of the wait.
///
/// # Errors
/// What poll(2) says, other than EINTR.
pub fn wait<const N: usize>(
    descriptors: [Option<BorrowedFd<'_>>; N],
    patience: Option<Duration>,
) -> io::Result<[Ready; N]> {
    // A negative descriptor is passed over by the kernel, which keeps the places aligned.
    let mut set = descriptors.map(|descriptor| libc::pollfd {
        fd: descriptor.map_or(-1, |descriptor| descriptor.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    let millis = match patience {
        None => -1,
        // Rounded up: waking a little early would only make the caller wait again.
        Some(patience) => patience.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32,
    };
    // SAFETY: the array lives through the call and has N elements.
    let result = check(unsafe { libc::poll(set.as_mut_ptr(), N as libc::nfds_t, millis) });
    match result {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(set.map(|entry| Ready { readable: entry.revents != 0 })),
    }
}

/// Whether writing to standard error would fail because its reader is gone.
pub fn standard_error_is_broken() -> bool {
    let mut set = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one element, alive through the call; a wait of 0 ms returns at once.
    let ready = unsafe { libc::poll(&raw mut set, 1, 0) };
    ready > 0 && set.revents & (libc::POLLERR | libc::POLLNVAL | libc::POLLHUP) != 0
}

/// Lets reads of `descriptor` return at once when there is nothing to read.
///
/// # Errors
/// What fcntl(2) says.
pub fn set_nonblocking(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let fd = descriptor.as_raw_fd();
    // SAFETY: the descriptor is open for the length of the borrow; these commands take and give
    // integers only.
    unsafe {
        let flags = check(libc::fcntl(fd, libc::F_GETFL))?;
        check(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(())
}

/// Has a pipe hold so many bytes.
///
/// # Errors
/// What fcntl(2) says.
#[cfg(all(test, feature = "session"))]
pub fn enlarge_pipe(pipe: BorrowedFd<'_>, bytes: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the borrow; the command takes an integer.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) }).map(drop)
}

/// Any number of descriptors to wait for.
#[derive(Default)]
pub struct Set(Vec<libc::pollfd>);

impl Set {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds one, to be read, to be written, or both; with neither it isn't waited for at all: its end
    /// would be reported again and again.
    #[cfg(feature = "session")]
    pub fn add(&mut self, descriptor: BorrowedFd<'_>, read: bool, write: bool) {
        if !read && !write {
            return;
        }
        let mut events = if read { libc::POLLIN } else { 0 };
        events |= if write { libc::POLLOUT } else { 0 };
        self.0.push(libc::pollfd { fd: descriptor.as_raw_fd(), events, revents: 0 });
    }

    /// Adds one, to be read, by its number, which whoever gives it keeps open.
    pub fn add_number(&mut self, fd: RawFd) {
        self.0.push(libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    }

    /// Whether the one that was added as the `at`-th, counted from 0, was ready after the wait: there is
    /// something to read, or the end has come.
    pub fn is_ready(&self, at: usize) -> bool {
        self.0.get(at).is_some_and(|entry| entry.revents != 0)
    }

    /// Waits until one of them is ready, at most so many milliseconds; without a number, for ever.
    /// An interruption by a signal counts as the end of the wait.
    ///
    /// # Errors
    /// What poll(2) says, other than EINTR.
    pub fn wait(&mut self, patience: Option<u64>) -> io::Result<()> {
        let millis = patience.map_or(-1, |millis| millis.min(i32::MAX as u64) as i32);
        let length = self.0.len() as libc::nfds_t;
        // SAFETY: the array lives through the call and has so many elements.
        match check(unsafe { libc::poll(self.0.as_mut_ptr(), length, millis) }) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}
