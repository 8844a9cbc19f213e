//! A port without multiplexing: one connection at a time, its bytes as they are.

use super::link::Link;
use super::lookup::Lookup;
use super::order::Target;
use super::work::{MAX_INPUT, PER_TURN, Sink, Work};
use crate::sys::descriptors::Set;
use std::net::SocketAddr;
use stint_wire::mgs::stream::{Flag, PayloadType};

/// Bytes in one message.
pub const CHUNK: usize = 8 * 1024;

/// A connection, and its successors where the client makes connections of its own.
pub struct Port {
    /// The port's addresses, once they are known.
    addresses: Vec<SocketAddr>,
    lookup: Option<Lookup>,
    name: String,
    /// See [`Target::forwards`].
    forwards: bool,
    link: Option<Link>,
}

impl Port {
    /// Begins to connect.
    ///
    /// # Errors
    /// In words for the operator.
    pub fn start(target: &Target) -> Result<Port, String> {
        let host = if target.host.is_empty() { "localhost" } else { &target.host };
        let mut port = Port {
            addresses: Vec::new(),
            lookup: Some(Lookup::begin(&target.host, target.port)),
            name: format!("{host}:{}", target.port),
            forwards: target.forwards,
            link: Some(Link::default()),
        };
        port.look()?;
        Ok(port)
    }

    /// Goes on with the look-up, and begins to connect when it is done.
    fn look(&mut self) -> Result<(), String> {
        let Some(found) = Lookup::take(&mut self.lookup) else { return Ok(()) };
        self.addresses = found?;
        let Some(link) = &mut self.link else { return Ok(()) };
        let dialled = link.dial(&self.addresses);
        dialled.map_err(|error| format!("Unable to connect to {}: {error}", self.name))
    }

    /// Carries bytes from the port to the client.
    fn read(&mut self, out: &mut dyn Sink) -> std::io::Result<bool> {
        let Some(link) = &mut self.link else { return Ok(true) };
        link.advance()?;
        let mut taken = 0;
        let mut bytes = vec![0; CHUNK];
        while taken < PER_TURN && out.has_room() {
            match link.read(&mut bytes)? {
                None => break,
                Some(0) => return Ok(false),
                Some(count) => {
                    taken += count;
                    out.send(PayloadType::Output, bytes.get(..count).unwrap_or_default());
                }
            }
        }
        Ok(true)
    }
}

impl Work for Port {
    /// A client that makes connections of its own drops what a port says until somebody has connected to it. Where the
    /// one connection is the session, as for SSH, the client takes what comes from the handshake on.
    fn is_taken_as_it_comes(&self) -> bool {
        !self.forwards
    }

    fn watch(&self, set: &mut Set, room: bool) {
        if let Some(lookup) = &self.lookup {
            lookup.watch(set);
        }
        if let Some(link) = &self.link {
            link.watch(set, room);
        }
    }

    fn turn(&mut self, out: &mut dyn Sink, _now: u64) -> Option<Result<(), String>> {
        if let Err(what) = self.look() {
            return Some(Err(what));
        }
        match self.read(out) {
            Ok(true) => None,
            // The next bytes of the client make another connection.
            _ if self.forwards => {
                self.link = None;
                None
            }
            Ok(false) => Some(Ok(())),
            Err(error) => Some(Err(format!("Unable to connect to {}: {error}", self.name))),
        }
    }

    fn take(&mut self, kind: PayloadType, payload: &[u8]) -> bool {
        match (kind, Flag::read(payload)) {
            (PayloadType::Flag, Some(Flag::DisconnectToPort)) => self.link = None,
            (PayloadType::Output, _) => {
                if self.link.is_none() {
                    let mut link = Link::default();
                    let can = self.lookup.is_some() || link.dial(&self.addresses).is_ok();
                    self.link = can.then_some(link);
                }
                // Nobody to take them: the client hears nothing on its connection either.
                let Some(link) = &mut self.link else { return true };
                // Written in the next turn, together with what comes until then.
                if !link.pending.is_empty() && link.pending.len() + payload.len() > MAX_INPUT {
                    return false;
                }
                link.pending.extend_from_slice(payload);
            }
            _ => {}
        }
        true
    }

    fn close(&mut self) {
        self.link = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_wire::json::{Node, Value};

    #[test]
    fn only_a_client_that_connects_by_itself_may_drop_what_comes() {
        let start = |forwards| {
            let properties = Node { line: 1, value: Value::Object(Vec::new()) };
            let target = Target { host: String::new(), port: 9, forwards, properties };
            Port::start(&target).unwrap().is_taken_as_it_comes()
        };
        assert!(start(false) && !start(true));
    }
}
