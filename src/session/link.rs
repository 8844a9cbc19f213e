//! One connection to a port: made without waiting, with what is still to be written to it.

use crate::sys::descriptors::Set;
use crate::sys::tcp;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;

/// A connection.
#[derive(Default)]
pub struct Link {
    /// `None`: its address isn't known yet.
    stream: Option<TcpStream>,
    /// Addresses to be tried if this one fails.
    others: Vec<SocketAddr>,
    made: bool,
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
    pub fn dial(&mut self, addresses: &[SocketAddr]) -> io::Result<()> {
        self.others = addresses.to_vec();
        self.others.reverse();
        self.stream = Some(next(&mut self.others, ErrorKind::AddrNotAvailable.into())?);
        Ok(())
    }

    /// Whether it has yet to be told its addresses.
    pub fn waits(&self) -> bool {
        self.stream.is_none()
    }

    /// Adds it to what is waited for.
    pub fn watch(&self, set: &mut Set, room: bool) {
        if let Some(stream) = &self.stream {
            set.add(stream.as_fd(), room && self.made, !self.made || !self.pending.is_empty());
        }
    }

    /// Goes on with connecting, and with writing. What the other side doesn't take any more is dropped: what it
    /// said before, such as why, is still to be read.
    ///
    /// # Errors
    /// It can't be made.
    pub fn advance(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if !self.made {
            // Not there yet, unless it has a peer.
            match stream.take_error()? {
                Some(error) => {
                    *stream = next(&mut self.others, error)?;
                    return Ok(());
                }
                None if stream.peer_addr().is_err() => return Ok(()),
                None => {
                    let _ = stream.set_nodelay(true);
                    self.made = true;
                }
            }
        }
        while !self.pending.is_empty() {
            match stream.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => {
                    self.pending = Vec::new();
                    self.shut = true;
                }
            }
        }
        if self.ended && !self.shut {
            self.shut = true;
            let _ = stream.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Reads what is there; `None`: nothing yet; 0: the other side has nothing more to say.
    ///
    /// # Errors
    /// It is broken.
    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.made) else { return Ok(None) };
        match stream.read(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
            result => result.map(Some),
        }
    }

    /// Whether there was a connection.
    pub fn is_made(&self) -> bool {
        self.made
    }

    /// The client has nothing more to say on it.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing more is written to the other side: it has all that the client had to say, or takes no more.
    pub fn is_shut(&self) -> bool {
        self.shut
    }

    /// Whether it is shut because the client has nothing more to say.
    pub fn is_done_with(&self) -> bool {
        self.shut && self.ended
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
        let mut link = Link::default();
        link.dial(&[gone, good]).unwrap();
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
        let mut refused = Link::default();
        let begun = refused.dial(&[gone]);
        until(|| begun.as_ref().err().map(|_| ()).or_else(|| refused.advance().err().map(drop)));
    }

    #[test]
    fn what_the_other_side_said_is_read_though_it_takes_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut link = Link::default();
        link.dial(&[listener.local_addr().unwrap()]).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        link.pending = vec![b'x'; 1000];
        until(|| {
            link.advance().unwrap();
            (link.is_made() && link.pending.is_empty()).then_some(())
        });
        peer.write_all(b"too large").unwrap();
        // What wasn't read makes this a reset, and no quiet end.
        drop(peer);
        until(|| {
            link.pending = vec![b'x'; 1000];
            link.advance().unwrap();
            link.is_shut().then_some(())
        });
        assert!(link.pending.is_empty());
        let mut bytes = [0; 16];
        assert_eq!(until(|| link.read(&mut bytes).unwrap()), 9);
        assert_eq!(bytes.get(..9), Some(&b"too large"[..]));
        assert_eq!(until(|| link.read(&mut bytes).unwrap()), 0);
    }
}
