//! The data channel's connections as this node has them: websockets to its server.

use super::channel::{Dial, DialError, Line};
use crate::uplink::UplinkError;
use crate::uplink::remote::Network;
use crate::uplink::websocket::{Event, Opcode, WebSocket};
use std::os::fd::{AsFd, BorrowedFd};
use stint_wire::mgs;

/// The way to one session's data channel.
pub struct Way<'a> {
    /// The network.
    pub network: &'a Network,
    /// The session's id.
    pub session: &'a str,
}

impl Dial for Way<'_> {
    fn dial(&mut self) -> Result<Box<dyn Line>, DialError> {
        match self.network.data_channel(self.session) {
            Ok(socket) => Ok(Box::new(Socket { socket, pongs: 0 })),
            Err(error) => Err(DialError {
                // What a server refuses with a word of its own it refuses the next time, too.
                is_final: matches!(error, UplinkError::Refused { .. }),
                what: error.to_string(),
            }),
        }
    }
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
        self.socket.send(Opcode::Binary, frame).map_err(|error| error.to_string())
    }

    fn ping(&mut self) -> Result<(), String> {
        self.socket.send(Opcode::Ping, mgs::PING).map_err(|error| error.to_string())
    }

    fn has_unsent(&self) -> bool {
        self.socket.unsent()
    }

    fn pongs(&self) -> u32 {
        self.pongs
    }
}
