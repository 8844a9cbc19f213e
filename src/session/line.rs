//! The data channel's connections as this node has them: websockets to its server.

use super::channel::{Dial, DialError, Line};
use crate::uplink::UplinkError;
use crate::uplink::remote::DataChannels;
use crate::uplink::websocket::{Event, Opcode, WebSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use stint_wire::mgs;

/// So long a server may turn a node away that it knows: no longer than a client waits for its session.
const GRACE: Duration = Duration::from_secs(30);

/// The way to one session's data channel.
pub struct Way {
    /// The network.
    pub channels: DataChannels,
    /// The session's id.
    pub session: String,
    /// Since when the server has turned this node away; `None`: it hasn't, or not the last time.
    pub denied: Option<Instant>,
}

impl Dial for Way {
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError> {
        match self.channels.open(&self.session) {
            Ok(socket) => {
                self.denied = None;
                Ok(Box::new(Socket { socket, pongs: 0 }))
            }
            Err(error) => Err(DialError {
                is_final: is_final(&error, &mut self.denied, Instant::now()),
                what: error.to_string(),
            }),
        }
    }
}

/// Whether there is no use in trying again. What a server refuses with a word of its own it refuses the next time,
/// too; but credentials that it has just given may take a while to be good everywhere.
fn is_final(error: &UplinkError, denied: &mut Option<Instant>, now: Instant) -> bool {
    if !error.is_rejection_of_the_node() {
        *denied = None;
        return matches!(error, UplinkError::Refused { .. });
    }
    now.saturating_duration_since(*denied.get_or_insert(now)) >= GRACE
}

struct Socket {
    socket: WebSocket,
    pongs: u32,
}

impl Line for Socket {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn receive(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            return match self.socket.receive().map_err(|error| error.to_string())? {
                Some(Event::Message(frame)) => Ok(Some(frame)),
                Some(Event::Pong) => {
                    self.pongs = self.pongs.wrapping_add(1);
                    continue;
                }
                // The others are answered where they come in.
                Some(_) => continue,
                None => Ok(None),
            };
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        self.socket.flush().map_err(|error| error.to_string())
    }

    fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        self.socket.queue(Opcode::Binary, frame).map_err(|error| error.to_string())
    }

    fn ping(&mut self) -> Result<(), String> {
        self.socket.send(Opcode::Ping, mgs::PING).map_err(|error| error.to_string())
    }

    fn unsent(&self) -> usize {
        self.socket.unsent()
    }

    fn pongs(&self) -> u32 {
        self.pongs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_denial_is_not_the_last_word_and_half_a_minute_of_them_is() {
        let refused = |code: &str| {
            let (code, message) = (code.to_owned(), String::new());
            UplinkError::Refused { operation: "CreateDataChannel", code, message }
        };
        let (denial, over) = (refused("AccessDeniedException"), refused("DoesNotExistException"));
        let portal = UplinkError::Portal { operation: "CreateDataChannel" };
        let (mut denied, begin) = (None, Instant::now());
        let mut at =
            |error, seconds| is_final(error, &mut denied, begin + Duration::from_secs(seconds));
        assert!(!at(&denial, 0) && !at(&denial, 29) && at(&denial, 30));
        // Between two denials it was something else.
        assert!(!at(&portal, 31) && !at(&denial, 32) && !at(&denial, 61) && at(&denial, 62));
        assert!(at(&over, 63));
    }
}
