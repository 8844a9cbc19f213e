//! What the standard library leaves out of TCP: giving up a peer that has gone without a word.

use super::check;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// A connection on which nothing came for so long is asked whether it lives, seconds. Longer than servers
/// hold a poll, so that a live one costs no packets.
const IDLE: libc::c_int = 25;

/// Asked again after so many seconds, and given up after [`PROBES`].
const INTERVAL: libc::c_int = 5;

/// See [`INTERVAL`].
const PROBES: libc::c_int = 4;

/// What has been sent and not been acknowledged for so long never will be, milliseconds. Links by
/// satellite and 2G answer within 10 s.
const UNACKNOWLEDGED: libc::c_int = 40_000;

/// Sends nothing while nothing is to be said: whoever uses the connection asks the peer itself whether it
/// lives.
///
/// # Errors
/// What the system says.
#[cfg(feature = "ssm")]
pub fn be_quiet(stream: &TcpStream) -> io::Result<()> {
    let (off, size): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    let (fd, off) = (stream.as_raw_fd(), (&raw const off).cast());
    // SAFETY: the value is an integer of the size that is told.
    check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, off, size) })?;
    Ok(())
}

/// Has the kernel find out that the peer has gone, in 45 s at most.
///
/// # Errors
/// What the system says.
pub fn notice_the_end(stream: &TcpStream) -> io::Result<()> {
    let fd = stream.as_raw_fd();
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    for (level, name, value) in [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, IDLE),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, INTERVAL),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, PROBES),
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, UNACKNOWLEDGED),
    ] {
        // SAFETY: the value is an integer of the size that is told.
        check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) })?;
    }
    Ok(())
}
