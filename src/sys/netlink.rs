//! Hears of changes of links, addresses and routes (rtnetlink(7)).

use super::check;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What is listened to. Newer kernels know more groups; these tell of everything that opens or cuts a way.
const GROUPS: i32 = libc::RTMGRP_LINK
    | libc::RTMGRP_IPV4_IFADDR
    | libc::RTMGRP_IPV4_ROUTE
    | libc::RTMGRP_IPV6_IFADDR
    | libc::RTMGRP_IPV6_ROUTE;

/// Messages are thrown away unread, so one of them may be cut.
const BUFFER: usize = 4096;

/// A socket that becomes readable with each change.
///
/// # Errors
/// A kernel without rtnetlink, or a process that may not have it.
pub fn open() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes integers only.
    let fd = check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all zero is a valid address: the kernel gives the number.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = GROUPS as u32;
    let size = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the address is as long as the call is told.
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    Ok(socket)
}

/// Throws away what has been told, so that the next change is noticed. More than fitted into the
/// socket is no error: that something has changed is all that is of interest.
pub fn drain(socket: &OwnedFd) {
    let mut buffer = [0_u8; BUFFER];
    loop {
        // SAFETY: the kernel writes no more than the buffer's length.
        let got = unsafe {
            libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), BUFFER, libc::MSG_DONTWAIT)
        };
        let lost = got < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOBUFS);
        if got <= 0 && !lost {
            return;
        }
    }
}
