//! Lines as datagrams for the system's log (RFC 3164), as syslogd of BusyBox, logd of OpenWrt, journald and
//! rsyslog take them.
//!
//! They bear no time: each of those puts its own in then, and this device's clock and time zone are
//! the same for all lines.

use super::one_line;
use log::{Level, Record};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// RFC 3164's longest packet, bytes. BusyBox cuts at 256 or 1024, by how it was built.
const MAX: usize = 1024;

/// The facility `daemon`.
const DAEMON: u8 = 3;

/// The way to the system's log.
pub struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// Lines for which it had no room.
    lost: u32,
}

impl Syslog {
    /// By the socket at `path`, which needn't be there yet.
    pub fn new(path: &Path) -> Syslog {
        Syslog { path: path.to_owned(), socket: None, lost: 0 }
    }

    /// Sends a line. False if there is nobody to take it; the next line looks anew.
    pub fn write(&mut self, record: &Record<'_>) -> bool {
        let line = packet(record.level(), &one_line(record));
        if self.lost > 0 {
            let note = format!("{} lines are missing here: the system's log was full", self.lost);
            if self.send(&packet(Level::Warn, &note)) == Some(true) {
                self.lost = 0;
            }
        }
        match self.send(&line) {
            Some(true) => true,
            // Nobody waits for a slow reader.
            Some(false) => {
                self.lost = self.lost.saturating_add(1);
                true
            }
            None => false,
        }
    }

    /// True: it is sent; false: there is no room; `None`: there is nobody.
    fn send(&mut self, packet: &[u8]) -> Option<bool> {
        // A reader that was started anew has a socket of its own.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect(&self.path);
            }
            match self.socket.as_ref()?.send(packet) {
                Ok(_) => return Some(true),
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Some(false),
                Err(_) => self.socket = None,
            }
        }
        None
    }
}

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect(path).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

fn packet(level: Level, line: &str) -> Vec<u8> {
    let severity = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        _ => 7,
    };
    let head = format!("<{}>stint[{}]: ", DAEMON * 8 + severity, std::process::id());
    let line = line.get(..line.floor_char_boundary(MAX - head.len())).unwrap_or_default();
    [head.as_bytes(), line.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn write(syslog: &mut Syslog, line: &str) -> bool {
        syslog.write(&Record::builder().level(Level::Info).args(format_args!("{line}")).build())
    }

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 2048];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_line_is_one_packet_of_bounded_size() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        let reader = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(&path);
        assert!(write(&mut syslog, "one\n<0>two\u{1b}[0m"));
        let head = format!("<30>stint[{}]: ", std::process::id());
        assert_eq!(read(&reader), format!("{head}one <0>two [0m"));
        assert!(write(&mut syslog, &"ü".repeat(2000)));
        let long = read(&reader);
        assert!(long.len() <= MAX && long.len() >= MAX - 1);
    }

    #[test]
    fn a_log_that_is_not_there_is_found_when_it_comes() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        let mut syslog = Syslog::new(&path);
        assert!(!write(&mut syslog, "one"));
        let reader = UnixDatagram::bind(&path).unwrap();
        assert!(write(&mut syslog, "two"));
        assert!(read(&reader).ends_with("two"));
        drop(reader);
        assert!(!write(&mut syslog, "three"));
        std::fs::remove_file(&path).unwrap();
        let reader = UnixDatagram::bind(&path).unwrap();
        assert!(write(&mut syslog, "four"));
        assert!(read(&reader).ends_with("four"));
    }

    #[test]
    fn a_full_log_keeps_nobody_waiting_and_is_told_what_it_missed() {
        let folder = Folder::new();
        let path = folder.path().join("log");
        let reader = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(&path);
        let sent = (0..10_000).take_while(|_| write(&mut syslog, "x") && syslog.lost == 0).count();
        assert!(write(&mut syslog, "x") && syslog.lost == 2 && sent < 10_000);
        for _ in 0..sent {
            read(&reader);
        }
        assert!(write(&mut syslog, "again"));
        assert!(read(&reader).contains("2 lines are missing here"));
        assert!(read(&reader).ends_with("again"));
    }
}
