//! ureq's connections by TCP: known here, so that those whose way has gone can be ended.

use super::budget;
use crate::sys::{host, tcp};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, ShutdownHandle,
    Transport,
};
use ureq::{Error, Proxy, ProxyProtocol};

/// Those that are open, with what has ended since the last new one.
static OPEN: Mutex<Vec<Weak<Wire>>> = Mutex::new(Vec::new());

/// How often the network has changed.
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// Counts the changes of the network since this process runs; what has failed may work after one.
pub fn changes() -> u32 {
    CHANGES.load(Ordering::Relaxed)
}

/// Ends the connections that would go another way if they were made now: nothing will come on them
/// any more. Whoever waits for an answer is told at once.
pub fn end_those_without_a_way() {
    CHANGES.fetch_add(1, Ordering::Relaxed);
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    for wire in open.iter().filter_map(Weak::upgrade) {
        let (Ok(from), Ok(to)) = (wire.0.local_addr(), wire.0.peer_addr()) else { continue };
        if host::address_towards(to.ip()).ok() != Some(from.ip()) {
            log::info!("the way to {to} has changed; connecting anew");
            wire.shutdown();
        }
    }
}

/// A connection by TCP that ends when its way goes.
pub struct Wire(TcpStream);

impl Wire {
    /// To read from and to write to.
    pub fn stream(&self) -> &TcpStream {
        &self.0
    }
}

impl ShutdownHandle for Wire {
    fn shutdown(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection whose bytes are counted.
pub struct Metered<'a>(pub &'a TcpStream);

impl Read for Metered<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to).inspect(|amount| budget::count(*amount))
    }
}

impl Write for Metered<'_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.write(from).inspect(|amount| budget::count(*amount))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Connects by TCP.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// With whom that went well last: a server or a proxy.
    peer: Arc<Mutex<Option<IpAddr>>>,
    /// Takes the connection to this server out of ureq's hands.
    taker: Option<Taker>,
}

impl Sockets {
    /// The same, with one that takes a connection away.
    pub fn with(&self, taker: &Taker) -> Sockets {
        Sockets { peer: self.peer.clone(), taker: Some(taker.clone()) }
    }

    /// The address from which this device reaches the last that it has connected to. No name is looked up.
    pub fn own_address(&self) -> Option<IpAddr> {
        let peer = *self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        host::address_towards(peer?).ok()
    }
}

/// Lets ureq do what it knows of names, proxies and time limits, and then takes the connection away from
/// it: for what isn't HTTP. ureq is told that it has failed.
#[derive(Clone)]
pub struct Taker(Arc<Taken>);

struct Taken {
    /// Of the server.
    authority: String,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// The last connection made: to a proxy, perhaps.
    made: Option<Arc<Wire>>,
    /// The one that leads to the server.
    taken: Option<Arc<Wire>>,
}

impl fmt::Debug for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taker")
    }
}

impl Taker {
    /// For connections to this host and port.
    pub fn new(authority: &str) -> Taker {
        Taker(Arc::new(Taken { authority: authority.to_owned(), slot: Mutex::default() }))
    }

    /// The connection, if it came so far.
    pub fn taken(&self) -> Option<Arc<Wire>> {
        self.slot().taken.take()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this leads to the server, so that ureq is done.
    fn take(&self, details: &ConnectionDetails, made: Option<Arc<Wire>>) -> Result<(), Error> {
        let mut slot = self.slot();
        slot.made = made.or(slot.made.take());
        if details.uri.authority().is_none_or(|it| it.as_str() != self.0.authority) {
            return Ok(());
        }
        let proxy = details.config.proxy().map(Proxy::protocol);
        if proxy.is_some_and(|protocol| protocol != ProxyProtocol::Http) {
            let why = "websockets go through proxies of http alone";
            return Err(Error::ConnectProxyFailed(why.to_owned()));
        }
        slot.taken = slot.made.take();
        Err(Error::ConnectionFailed)
    }
}

impl<In: Transport> Connector<In> for Sockets {
    type Out = Either<In, Socket>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        // A proxy's is there already.
        if let Some(transport) = chained {
            if let Some(taker) = &self.taker {
                taker.take(details, None)?;
            }
            return Ok(Some(Either::A(transport)));
        }
        let stream = open(details)?;
        stream.set_nodelay(true)?;
        tcp::notice_the_end(&stream)?;
        budget::connected();
        if let Ok(peer) = stream.peer_addr() {
            *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer.ip());
        }
        let wire = Arc::new(Wire(stream));
        let handle: Weak<Wire> = Arc::downgrade(&wire);
        (details.register_shutdown)(handle.clone())?;
        let mut all = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(handle);
        drop(all);
        if let Some(taker) = &self.taker {
            taker.take(details, Some(wire.clone()))?;
        }
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Socket { wire, buffers })))
    }
}

/// Tries the addresses of the server in turn; each gets the same part of the time.
fn open(details: &ConnectionDetails) -> Result<TcpStream, Error> {
    let whole = checked(details.timeout)?;
    let mut last = Error::HostNotFound;
    for address in details.addrs.iter() {
        let made = match whole.not_zero() {
            Some(time) => TcpStream::connect_timeout(address, *time / details.addrs.len() as u32),
            None => TcpStream::connect(address),
        };
        match made {
            Ok(stream) => return Ok(stream),
            Err(cause) => last = failed(cause, whole),
        }
    }
    Err(last)
}

/// A connection.
pub struct Socket {
    wire: Arc<Wire>,
    buffers: LazyBuffers,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let limit = checked(timeout.for_write())?;
        self.wire.0.set_write_timeout(limit.not_zero().map(|time| *time))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        // What breaks off half-way may have passed.
        budget::count(output.len());
        (&self.wire.0).write_all(output).map_err(|cause| failed(cause, limit))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let limit = checked(timeout.for_read())?;
        let time = limit.not_zero().map(|time| *time);
        let until = time.map(|time| Instant::now() + time);
        self.wire.0.set_read_timeout(time)?;
        let amount = loop {
            match (&self.wire.0).read(self.buffers.input_append_buf()) {
                // Linux doesn't go on with a read that has a time limit.
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {
                    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                    if left.is_some_and(|left| left.is_zero()) {
                        return Err(Error::Timeout(limit.reason));
                    }
                    self.wire.0.set_read_timeout(left)?;
                }
                result => break result.map_err(|cause| failed(cause, limit))?,
            }
        };
        budget::count(amount);
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Whether it may be used for another request: it is there, and nothing is said on it.
    fn is_open(&mut self) -> bool {
        let stream = &self.wire.0;
        let silent = stream.set_nonblocking(true).is_ok()
            && stream.peek(&mut [0]).is_err_and(|cause| cause.kind() == ErrorKind::WouldBlock);
        silent && stream.set_nonblocking(false).is_ok()
    }
}

fn checked(limit: NextTimeout) -> Result<NextTimeout, Error> {
    if limit.after.is_zero() { Err(Error::Timeout(limit.reason)) } else { Ok(limit) }
}

fn failed(cause: io::Error, limit: NextTimeout) -> Error {
    match cause.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Error::Timeout(limit.reason),
        _ => Error::Io(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::super::http::Http;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn who_has_connected_knows_its_own_address_and_who_has_not_looks_no_name_up() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", server.local_addr().unwrap());
        let http = Http::trusting(Vec::new());
        assert_eq!(http.own_address(), None);
        http.connect(&url).unwrap();
        assert_eq!(http.own_address(), Some(Ipv4Addr::LOCALHOST.into()));
        // Also when the connection has gone.
        drop(server);
        assert_eq!(http.own_address(), Some(Ipv4Addr::LOCALHOST.into()));
        assert_eq!(Http::trusting(Vec::new()).own_address(), None);
    }
}
