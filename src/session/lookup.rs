//! The addresses of a host. Asking for a name may take half a minute, in which the session's loop goes on: a
//! thread waits for the answer.

use crate::lane::Lane;
use crate::sys::descriptors::{self, Set};
use std::io::{PipeReader, Read, pipe};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

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

/// The addresses, in the order in which they are tried; or why there are none, in words for the operator.
pub type Found = Result<Vec<SocketAddr>, String>;

/// A look-up that is under way, or done.
pub enum Lookup {
    /// Done at once: an address needs none.
    Done(Found),
    /// Under way. The pipe ends when the answer is there.
    Asked(Arc<Mutex<Option<Found>>>, PipeReader),
}

impl Lookup {
    /// Begins to look for a port of a host; an empty one is this device.
    pub fn begin(host: &str, port: u16) -> Lookup {
        if host.is_empty() || host == "localhost" {
            let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Lookup::Done(Ok(own.map(|address| SocketAddr::new(address, port)).to_vec()));
        }
        if let Ok(address) = host.parse() {
            return Lookup::Done(allowed(host, vec![SocketAddr::new(address, port)]));
        }
        let name = host.to_owned();
        Lookup::ask(Box::new(move || {
            let found = (name.as_str(), port).to_socket_addrs();
            let found = found.map_err(|error| format!("{name} has no address: {error}"))?;
            allowed(&name, found.collect())
        }))
        .unwrap_or_else(|error| Lookup::Done(Err(format!("{host} can't be looked up: {error}"))))
    }

    fn ask(work: Box<dyn FnOnce() -> Found + Send>) -> Result<Lookup, String> {
        let (reader, writer) = pipe().map_err(|error| error.to_string())?;
        descriptors::set_nonblocking(reader.as_fd()).map_err(|error| error.to_string())?;
        let place = Arc::new(Mutex::new(None));
        let answer = place.clone();
        let submitted = Lane::new("lookup").submit(Box::new(move || {
            let found = work();
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            drop(writer);
        }));
        submitted.map_err(|error| error.to_string())?;
        Ok(Lookup::Asked(place, reader))
    }

    /// Adds it to what is waited for.
    pub fn watch(&self, set: &mut Set) {
        if let Lookup::Asked(_, reader) = self {
            set.add(reader.as_fd(), true, false);
        }
    }

    /// Takes the answer out of `lookup`, once there is one.
    pub fn take(lookup: &mut Option<Lookup>) -> Option<Found> {
        if let Some(Lookup::Asked(_, reader)) = lookup
            && reader.read(&mut [0]).is_err()
        {
            return None;
        }
        match lookup.take()? {
            Lookup::Done(found) => Some(found),
            Lookup::Asked(place, _) => {
                let found = place.lock().unwrap_or_else(PoisonError::into_inner).take();
                Some(found.unwrap_or_else(|| Err("nobody looked it up".to_owned())))
            }
        }
    }

    /// One that is answered as `work` says, for tests.
    #[cfg(test)]
    pub fn of(work: impl FnOnce() -> Found + Send + 'static) -> Lookup {
        Lookup::ask(Box::new(work)).unwrap()
    }
}

/// # Errors
/// One of them is denied.
fn allowed(host: &str, found: Vec<SocketAddr>) -> Found {
    if found.iter().any(|address| DENIED.contains(&address.ip().to_canonical())) {
        return Err(format!("Forwarding to IP address {host} is forbidden."));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn now(host: &str) -> Found {
        Lookup::take(&mut Some(Lookup::begin(host, 80))).expect("nobody need be asked")
    }

    #[test]
    fn a_cloud_s_own_addresses_are_not_forwarded_to() {
        for host in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(now(host).unwrap_err().contains("forbidden"), "{host}");
        }
        assert_eq!(now("").unwrap().len(), 2);
        assert_eq!(now("10.0.0.1").unwrap(), ["10.0.0.1:80".parse().unwrap()]);
        let named = allowed("secrets.example", vec!["169.254.169.254:80".parse().unwrap()]);
        assert!(named.unwrap_err().contains("secrets.example is forbidden"));
    }

    #[test]
    fn nobody_waits_for_an_answer_but_poll() {
        let (tell, told) = channel::<()>();
        let mut lookup = Some(Lookup::of(move || {
            told.recv().unwrap();
            Ok(vec!["10.0.0.1:80".parse().unwrap()])
        }));
        assert_eq!(Lookup::take(&mut lookup), None);
        tell.send(()).unwrap();
        let mut set = Set::default();
        lookup.as_ref().unwrap().watch(&mut set);
        set.wait(Some(20_000)).unwrap();
        assert_eq!(Lookup::take(&mut lookup), Some(Ok(vec!["10.0.0.1:80".parse().unwrap()])));
        assert!(lookup.is_none() && Lookup::take(&mut lookup).is_none());
    }
}
