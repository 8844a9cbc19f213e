//! What all types of sessions have in common for the loop that carries them.

use crate::sys::descriptors::Set;
use stint_wire::mgs::stream::PayloadType;

/// The way to the client.
pub trait Sink {
    /// Whether more should be read from the terminal or the connection.
    fn has_room(&self) -> bool;

    /// Sends bytes, kept until the client has acknowledged them.
    fn send(&mut self, kind: PayloadType, bytes: &[u8]);
}

/// What a session does on this device. Nothing here waits.
pub trait Work {
    /// Adds what is to be waited for; with `room`, output, too.
    fn watch(&self, set: &mut Set, room: bool);

    /// Does what can be done at `now`, in milliseconds of the session's clock. `None`: there is more to
    /// come. Otherwise it is over: well, or for a reason in words.
    fn turn(&mut self, out: &mut dyn Sink, now: u64) -> Option<Result<(), String>>;

    /// Takes what the client has sent. `false`: it can't be taken yet.
    fn take(&mut self, kind: PayloadType, payload: &[u8]) -> bool;

    /// Whether the client takes what it is sent as it comes ([`Outgoing::trusts_order`]).
    ///
    /// [`Outgoing::trusts_order`]: stint_wire::stream::Outgoing::trusts_order
    fn is_taken_as_it_comes(&self) -> bool {
        true
    }

    /// When it wants its turn even if nothing happens.
    fn deadline(&self) -> Option<u64> {
        None
    }

    /// Ends everything that still runs.
    fn close(&mut self);
}

/// How much of an output one turn reads at most, bytes: others want theirs.
pub const PER_TURN: usize = 64 * 1024;

/// What the client has sent and nobody has taken yet, bytes at most.
pub const MAX_INPUT: usize = 64 * 1024;
