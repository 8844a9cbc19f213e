//! What the machine says of itself.

use super::check;
use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the distribution names itself (os-release(5)).
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// The host's name; `None` if it has none.
pub fn name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// The id of this boot, new at each; empty where there is no `/proc`.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The address from which this machine would send to `peer`. No packet is sent: a connected UDP
/// socket only asks the routing table.
///
/// # Errors
/// There is no route.
pub fn address_towards(peer: IpAddr) -> io::Result<IpAddr> {
    let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect((peer, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// What is left on a file system.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes that may still be written.
    pub bytes: u64,
    /// Files that may still be made.
    pub inodes: u64,
    /// All files that it can hold; 0 if it doesn't count them.
    pub all_inodes: u64,
}

/// What is left on the file system of `folder`; `None` if the system doesn't say.
// The types differ from processor to processor.
#[allow(clippy::unnecessary_cast)]
pub fn room(folder: &Path) -> Option<Room> {
    let folder = CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the name ends in zero; the structure is read only after the call has filled it.
    let found = unsafe {
        check(libc::statvfs(folder.as_ptr(), found.as_mut_ptr())).ok()?;
        found.assume_init()
    };
    Some(Room {
        bytes: (found.f_bavail as u64).saturating_mul(found.f_frsize as u64),
        inodes: found.f_favail as u64,
        all_inodes: found.f_files as u64,
    })
}

/// Whether this process may write to a folder, without doing it.
///
/// # Errors
/// What access(2) says.
pub fn may_write(folder: &Path) -> io::Result<()> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the name ends in zero.
    check(unsafe { libc::access(folder.as_ptr(), libc::W_OK | libc::X_OK) }).map(drop)
}

/// Bytes that may still be written beside the file `path`; `None` if the system doesn't say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    room(path.parent()?).map(|room| room.bytes)
}

/// The machine's addresses by interface, loopback and link-local ones left out.
pub fn addresses() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: getifaddrs fills the list or fails; its entries live until freeifaddrs. The address
    // of an entry has the type that its family says.
    unsafe {
        if libc::getifaddrs(&raw mut list) != 0 {
            return found;
        }
        let mut next = list;
        while let Some(entry) = next.as_ref() {
            next = entry.ifa_next;
            let Some(address) = entry.ifa_addr.as_ref() else { continue };
            let ip = match i32::from(address.sa_family) {
                libc::AF_INET => {
                    let v4 = &*entry.ifa_addr.cast::<libc::sockaddr_in>();
                    IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes())
                }
                libc::AF_INET6 => {
                    let v6 = &*entry.ifa_addr.cast::<libc::sockaddr_in6>();
                    IpAddr::from(v6.sin6_addr.s6_addr)
                }
                _ => continue,
            };
            if is_reachable(ip) {
                let name = CStr::from_ptr(entry.ifa_name).to_string_lossy().into_owned();
                found.push((name, ip.to_string()));
            }
        }
        libc::freeifaddrs(list);
    }
    found
}

/// Whether others could reach this machine by it.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    }
}

/// The distribution's name and version, as os-release gives them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// NAME
    pub name: Option<String>,
    /// VERSION_ID
    pub version: Option<String>,
}

impl Platform {
    /// Reads os-release. What isn't there stays `None`.
    pub fn read() -> Platform {
        let text = OS_RELEASE.iter().find_map(|path| fs::read_to_string(Path::new(path)).ok());
        Platform::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Platform {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            let value = line.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        };
        Platform { name: value("NAME"), version: value("VERSION_ID") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_with_and_without_quotes() {
        let debian = "PRETTY_NAME=\"Debian\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n";
        assert_eq!(
            Platform::parse(debian),
            Platform { name: Some("Debian GNU/Linux".into()), version: Some("12".into()) }
        );
        assert_eq!(Platform::parse("NAME=OpenWrt\n").name.as_deref(), Some("OpenWrt"));
        assert_eq!(Platform::parse(""), Platform::default());
    }

    #[test]
    fn addresses_that_nobody_can_reach_are_left_out() {
        for (ip, reachable) in [
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("192.168.1.1", true),
            ("::1", false),
            ("fe80::1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_reachable(ip.parse().unwrap()), reachable, "{ip}");
        }
        assert!(addresses().iter().all(|(_, ip)| is_reachable(ip.parse().unwrap())));
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        let there = "127.0.0.1".parse().unwrap();
        assert_eq!(address_towards(there).unwrap(), there);
    }
}
