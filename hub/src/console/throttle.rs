//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use stint_wire::time::Utc;

/// After how many milliseconds tries are forgotten.
const WINDOW_MILLIS: u64 = 15 * 60 * 1000;

/// Failed tries from an address in that time. Somebody who mistypes needs three.
const BY_ADDRESS: u32 = 10;

/// Addresses that are remembered, some 50 bytes each. When there are more, the oldest goes.
const MOST: usize = 10_000;

/// Counts tries by where they come from. Not by key: whoever knows an operator's key id, which is no secret, could shut
/// the operator out.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<Who, Tries>>);

/// An IPv4 address, or the half of an IPv6 address that names a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Four(u32),
    Six(u64),
}

struct Tries {
    since: Utc,
    count: u32,
}

impl Throttle {
    /// Counts a try from an address, before anything is looked at, so that tries at the same time
    /// count as well.
    ///
    /// # Errors
    /// After how many seconds the next may come, when there were too many.
    pub fn by_address(&self, address: IpAddr, now: Utc) -> Result<(), u64> {
        let who = Who::of(address);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = |tries: &Tries| tries.since.0.saturating_add(WINDOW_MILLIS);
        if all.len() >= MOST && !all.contains_key(&who) {
            all.retain(|_, tries| end(tries) > now.0);
            let oldest = all.iter().min_by_key(|(_, tries)| tries.since.0);
            if let Some(oldest) = oldest.map(|(who, _)| *who).filter(|_| all.len() >= MOST) {
                all.remove(&oldest);
            }
        }
        let tries = all.entry(who).or_insert(Tries { since: now, count: 0 });
        if end(tries) <= now.0 {
            *tries = Tries { since: now, count: 0 };
        }
        if tries.count >= BY_ADDRESS {
            return Err(end(tries).saturating_sub(now.0).div_ceil(1000).max(1));
        }
        tries.count += 1;
        Ok(())
    }

    /// Takes a try back: it was none, as it succeeded.
    pub fn forgive(&self, address: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tries) = all.get_mut(&Who::of(address)) {
            tries.count = tries.count.saturating_sub(1);
        }
    }
}

impl Who {
    fn of(address: IpAddr) -> Who {
        match address.to_canonical() {
            IpAddr::V4(four) => Who::Four(four.to_bits()),
            IpAddr::V6(six) => Who::Six((six.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_tries_and_then_has_to_wait() {
        let (throttle, one) = (Throttle::default(), address("192.0.2.1"));
        for n in 0..u64::from(BY_ADDRESS) {
            assert_eq!(throttle.by_address(one, Utc(n)), Ok(()));
        }
        assert_eq!(throttle.by_address(one, Utc(1000)), Err(899));
        assert_eq!(throttle.by_address(address("::ffff:192.0.2.1"), Utc(1000)), Err(899));
        assert_eq!(throttle.by_address(address("192.0.2.2"), Utc(1000)), Ok(()));
        assert_eq!(throttle.by_address(one, Utc(WINDOW_MILLIS - 1)), Err(1));
        assert_eq!(throttle.by_address(one, Utc(WINDOW_MILLIS)), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_who_tries() {
        let throttle = Throttle::default();
        for n in 0..BY_ADDRESS {
            let from = address(&format!("2001:db8::{n:x}"));
            assert_eq!(throttle.by_address(from, Utc(0)), Ok(()));
        }
        assert!(throttle.by_address(address("2001:db8::ffff:1"), Utc(0)).is_err());
        assert!(throttle.by_address(address("2001:db8:0:1::1"), Utc(0)).is_ok());
    }

    #[test]
    fn a_success_is_no_try() {
        let (throttle, one) = (Throttle::default(), address("192.0.2.1"));
        for _ in 0..3 * BY_ADDRESS {
            assert_eq!(throttle.by_address(one, Utc(0)), Ok(()));
            throttle.forgive(one);
        }
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let throttle = Throttle::default();
        for n in 0..MOST as u32 + 10 {
            assert!(throttle.by_address(IpAddr::V4(n.into()), Utc(n.into())).is_ok());
        }
        assert_eq!(throttle.0.lock().unwrap().len(), MOST);
        assert!(!throttle.0.lock().unwrap().contains_key(&Who::Four(9)));
    }
}
