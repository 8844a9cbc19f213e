//! The addresses of a host. Asking for a name may take half a minute, in which the session's loop goes on: a
//! thread waits for the answer.

use super::asked::Asked;
use crate::sys::descriptors::Set;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

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
    /// Under way.
    Asked(Asked<Found>),
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
        let asked = Asked::ask("lookup", move || {
            let found = (name.as_str(), port).to_socket_addrs();
            let found = found.map_err(|error| format!("{name} has no address: {error}"))?;
            allowed(&name, found.collect())
        });
        match asked {
            Ok(asked) => Lookup::Asked(asked),
            Err(error) => Lookup::Done(Err(format!("{host} can't be looked up: {error}"))),
        }
    }

    /// Adds it to what is waited for.
    pub fn watch(&self, set: &mut Set) {
        if let Lookup::Asked(asked) = self {
            asked.watch(set);
        }
    }

    /// Takes the answer out of `lookup`, once there is one.
    pub fn take(lookup: &mut Option<Lookup>) -> Option<Found> {
        match lookup.take()? {
            Lookup::Done(found) => Some(found),
            Lookup::Asked(asked) => {
                let mut asked = Some(asked);
                let found = Asked::take(&mut asked);
                *lookup = asked.map(Lookup::Asked);
                found.map(|found| found.unwrap_or_else(|| Err("nobody looked it up".to_owned())))
            }
        }
    }

    /// One that is answered as `work` says, for tests.
    #[cfg(test)]
    pub fn of(work: impl FnOnce() -> Found + Send + 'static) -> Lookup {
        Lookup::Asked(Asked::ask("lookup", work).unwrap())
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
}
