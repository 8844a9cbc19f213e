//! One connection to a port: made without waiting, with what is still to be written to it.

use crate::sys::descriptors::Set;
use crate::sys::tcp;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;

/// Where clouds answer their machines with secrets; and their name and time servers. The original's
/// list.
const DENIED: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 123)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 250)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 251)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x240)),
];

/// The addresses of a port, in the order in which they are tried.
///
/// # Errors
/// There are none, or one of them is denied; in words for the operator.
pub fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if host.is_empty() || host == "localhost" {
        let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(own.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    let found = (host, port).to_socket_addrs();
    let found: Vec<_> = found.map_err(|error| format!("{host} has no address: {error}"))?.collect();
    if found.iter().any(|address| DENIED.contains(&address.ip().to_canonical())) {
        return Err(format!("Forwarding to IP address {host} is forbidden."));
    }
    Ok(found)
}

/// A connection.
pub struct Link {
    stream: TcpStream,
    /// Addresses to be tried if this one fails; `None`: it stands.
    others: Option<Vec<SocketAddr>>,
    /// What is still to be written.
    pub pending: Vec<u8>,
    /// The client has nothing more to say.
    ended: bool,
    shut: bool,
}

impl Link {
    /// Begins to connect to the first of `addresses` that works.
    ///
    /// # Errors
    /// None does, as far as that is known at once.
    pub fn dial(addresses: &[SocketAddr]) -> io::Result<Link> {
        let mut left = addresses.to_vec();
        left.reverse();
        let stream = next(&mut left, ErrorKind::AddrNotAvailable.into())?;
        Ok(Link { stream, others: Some(left), pending: Vec::new(), ended: false, shut: false })
    }

    /// Adds it to what is waited for.
    pub fn watch(&self, set: &mut Set, room: bool) {
        let writes = self.others.is_some() || !self.pending.is_empty();
        set.add(self.stream.as_fd(), room && self.others.is_none(), writes);
    }

    /// Goes on with connecting, and with writing.
    ///
    /// # Errors
    /// It can't be made, or is broken.
    pub fn advance(&mut self) -> io::Result<()> {
        if let Some(others) = &mut self.others {
            // Not there yet, unless it has a peer.
            match self.stream.take_error()? {
                Some(error) => {
                    self.stream = next(others, error)?;
                    return Ok(());
                }
                None if self.stream.peer_addr().is_err() => return Ok(()),
                None => {
                    let _ = self.stream.set_nodelay(true);
                    self.others = None;
                }
            }
        }
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.ended && !self.shut {
            self.shut = true;
            let _ = self.stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Reads what is there; `None`: nothing yet; 0: the other side has nothing more to say.
    ///
    /// # Errors
    /// It is broken.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        if self.others.is_some() {
            return Ok(None);
        }
        match self.stream.read(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            result => result.map(Some),
        }
    }

    /// Whether there was a connection.
    pub fn is_made(&self) -> bool {
        self.others.is_none()
    }

    /// The client has nothing more to say on it.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether all that the client said is written, and the other side knows that it was all.
    pub fn is_shut(&self) -> bool {
        self.shut
    }
}

fn next(left: &mut Vec<SocketAddr>, error: io::Error) -> io::Result<TcpStream> {
    let mut last = error;
    while let Some(address) = left.pop() {
        match tcp::begin(address) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
        for _ in 0..2000 {
            if let Some(answer) = ask() {
                return answer;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("it never comes");
    }

    #[test]
    fn the_second_address_is_tried_when_the_first_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut link = Link::dial(&[gone, good]).unwrap();
        link.pending.extend_from_slice(b"hello");
        link.end();
        until(|| {
            link.advance().unwrap();
            link.is_shut().then_some(())
        });
        let (mut peer, _) = listener.accept().unwrap();
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
        peer.write_all(b"bye").unwrap();
        drop(peer);
        let mut bytes = [0; 8];
        assert_eq!(until(|| link.read(&mut bytes).unwrap()), 3);
        assert_eq!(until(|| link.read(&mut bytes).unwrap()), 0);
        let mut refused = Link::dial(&[gone]);
        until(|| match &mut refused {
            Ok(link) => link.advance().err(),
            Err(_) => Some(ErrorKind::Other.into()),
        });
    }

    #[test]
    fn a_cloud_s_own_addresses_are_not_forwarded_to() {
        for host in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(addresses(host, 80).unwrap_err().contains("forbidden"), "{host}");
        }
        assert_eq!(addresses("", 80).unwrap().len(), 2);
        assert_eq!(addresses("10.0.0.1", 80).unwrap(), ["10.0.0.1:80".parse().unwrap()]);
    }
}
