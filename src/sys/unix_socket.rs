//! What the standard library leaves out of local sockets: connecting without waiting.

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Connects, and never waits for a listener whose line is full: that is an error. Reads and writes don't wait
/// either.
///
/// # Errors
/// A path that is too long for a socket; what socket(2) or connect(2) says.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let path = path.as_os_str().as_bytes();
    // SAFETY: all zero is a valid name.
    let mut name: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    // The last byte ends the name.
    if path.len() >= name.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    name.sun_family = libc::AF_UNIX as _;
    for (to, from) in name.sun_path.iter_mut().zip(path) {
        *to = *from as _;
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers only; the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(check(libc::socket(libc::AF_UNIX, kind, 0))?) };
    let size = size_of_val(&name) as libc::socklen_t;
    // SAFETY: the name lives through the call, which is told its size.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), size) })?;
    Ok(UnixStream::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_listener_that_takes_nobody_is_not_waited_for() {
        let folder = Folder::new();
        let path = folder.path().join("socket");
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let _listener = UnixListener::bind(&path).unwrap();
        let mut connections = Vec::new();
        let full = loop {
            match connect(&path) {
                Ok(stream) => connections.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(!connections.is_empty());
        let long = folder.path().join("x".repeat(200));
        assert_eq!(connect(&long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
