//! How often somebody may try to log in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use stint_wire::time::Utc;

/// After how many milliseconds tries are forgotten.
const WINDOW_MILLIS: u64 = 15 * 60 * 1000;

/// Failed tries from an address in that time. Somebody who mistypes needs three.
const BY_ADDRESS: u32 = 10;

/// Failed tries with a key in that time, from wherever: so many addresses guess no faster than a few.
const BY_KEY: u32 = 100;

/// Addresses and keys that are remembered, some 100 bytes each. When there are more, the oldest goes.
const MOST: usize = 10_000;

/// Counts tries.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<Who, Tries>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who {
    /// An IPv4 address, or the half of an IPv6 address that names a network.
    Address(u64, bool),
    Key(String),
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
        self.count(Who::of(address), BY_ADDRESS, now)
    }

    /// Counts a try with a key that exists.
    ///
    /// # Errors
    /// As [`Throttle::by_address`].
    pub fn by_key(&self, key: &str, now: Utc) -> Result<(), u64> {
        self.count(Who::Key(key.to_owned()), BY_KEY, now)
    }

    /// Takes a try back: it was none, as it succeeded.
    pub fn forgive(&self, address: IpAddr, key: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for who in [Who::of(address), Who::Key(key.to_owned())] {
            if let Some(tries) = all.get_mut(&who) {
                tries.count = tries.count.saturating_sub(1);
            }
        }
    }

    fn count(&self, who: Who, most: u32, now: Utc) -> Result<(), u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = |tries: &Tries| tries.since.0.saturating_add(WINDOW_MILLIS);
        if all.len() >= MOST && !all.contains_key(&who) {
            all.retain(|_, tries| end(tries) > now.0);
            let oldest = all.iter().min_by_key(|(_, tries)| tries.since.0);
            if let Some(oldest) = oldest.map(|(who, _)| who.clone()).filter(|_| all.len() >= MOST) {
                all.remove(&oldest);
            }
        }
        let tries = all.entry(who).or_insert(Tries { since: now, count: 0 });
        if end(tries) <= now.0 {
            *tries = Tries { since: now, count: 0 };
        }
        if tries.count >= most {
            return Err(end(tries).saturating_sub(now.0).div_ceil(1000).max(1));
        }
        tries.count += 1;
        Ok(())
    }
}

impl Who {
    fn of(address: IpAddr) -> Who {
        match address.to_canonical() {
            IpAddr::V4(four) => Who::Address(u64::from(four.to_bits()), false),
            IpAddr::V6(six) => Who::Address((six.to_bits() >> 64) as u64, true),
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
    fn a_key_is_not_guessed_from_many_addresses_and_a_success_is_no_try() {
        let throttle = Throttle::default();
        for n in 0..BY_KEY {
            let from = address(&format!("198.51.{}.{}", n / 256, n % 256));
            assert!(throttle.by_address(from, Utc(0)).is_ok());
            assert!(throttle.by_key("AKIA1", Utc(0)).is_ok());
        }
        assert!(throttle.by_key("AKIA1", Utc(0)).is_err());
        assert!(throttle.by_key("AKIA2", Utc(0)).is_ok());
        throttle.forgive(address("198.51.0.0"), "AKIA1");
        assert!(throttle.by_key("AKIA1", Utc(0)).is_ok());
        assert!(throttle.by_key("AKIA1", Utc(0)).is_err());
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let throttle = Throttle::default();
        for n in 0..MOST + 10 {
            assert!(throttle.by_key(&n.to_string(), Utc(n as u64)).is_ok());
        }
        assert_eq!(throttle.0.lock().unwrap().len(), MOST);
        assert!(!throttle.0.lock().unwrap().contains_key(&Who::Key("9".to_owned())));
    }
}
