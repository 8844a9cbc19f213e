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

/// Begins a connection without waiting for it: when the socket can be written, `take_error` tells
/// what became of it. Its reads and writes don't wait either.
///
/// # Errors
/// What socket(2) or connect(2) says at once.
#[cfg(feature = "session")]
pub fn begin(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    use std::net::SocketAddr;
    use std::os::fd::{FromRawFd, OwnedFd};
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes integers only; the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?) };
    // SAFETY: both structures are valid when all bits are zero, and live through the call that is
    // told their size.
    let begun = unsafe {
        match address {
            SocketAddr::V4(address) => {
                let mut name: libc::sockaddr_in = std::mem::zeroed();
                name.sin_family = libc::AF_INET as _;
                name.sin_port = address.port().to_be();
                name.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
                let size = size_of_val(&name) as libc::socklen_t;
                libc::connect(socket.as_raw_fd(), (&raw const name).cast(), size)
            }
            SocketAddr::V6(address) => {
                let mut name: libc::sockaddr_in6 = std::mem::zeroed();
                name.sin6_family = libc::AF_INET6 as _;
                name.sin6_port = address.port().to_be();
                name.sin6_addr.s6_addr = address.ip().octets();
                name.sin6_scope_id = address.scope_id();
                let size = size_of_val(&name) as libc::socklen_t;
                libc::connect(socket.as_raw_fd(), (&raw const name).cast(), size)
            }
        }
    };
    match check(begun) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from(socket)),
    }
}

#[cfg(all(test, feature = "session"))]
mod tests {
    use super::*;
    use crate::sys::descriptors::Set;
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::AsFd;

    fn outcome(address: SocketAddr) -> io::Result<()> {
        let stream = begin(address)?;
        let mut set = Set::default();
        set.add(stream.as_fd(), false, true);
        set.wait(Some(20_000))?;
        stream.take_error()?.map_or(Ok(()), Err)
    }

    #[test]
    fn a_connection_is_made_or_refused_without_waiting() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let address = listener.local_addr().unwrap();
            outcome(address).unwrap();
            drop(listener);
            assert_eq!(outcome(address).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}
