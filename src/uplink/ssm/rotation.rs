//! A new key for this node: when the server wishes it, and when the old one is too old.
//!
//! The new key is durable beside the old one before the server hears of it. So wherever power
//! fails, the server knows one of the two keys on disk, and the node finds out which by trying
//! (decision 0034).

use super::super::{Uplink, UplinkError};
use super::Ssm;
use super::credentials::Credentials;
use crate::identity::Registration;
use crate::sys::faults;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use stint_wire::ssm::update_public_key;
use stint_wire::text::sha256_hex;
use stint_wire::time::Utc;

/// A day, milliseconds.
const DAY: u64 = 24 * 3600 * 1000;

/// After a change of keys that failed the next is begun no sooner: a new RSA key costs a small
/// board a minute, and a server that refuses one will refuse the next.
const PAUSE: Duration = Duration::from_secs(3600);

/// When the key is to be changed.
pub struct Rotation {
    /// The server said so with the last credentials.
    wished: AtomicBool,
    /// Keys live no longer than this, days; none: for ever.
    max_age: Option<u32>,
    not_before: Mutex<Option<Instant>>,
    /// When the server was last asked whether it knows the key before.
    fell_back: Mutex<Option<Instant>>,
}

impl Rotation {
    /// Keys live for `max_age` days, if there is a limit.
    pub fn new(max_age: Option<u32>) -> Rotation {
        let wished = AtomicBool::new(false);
        Rotation { wished, max_age, not_before: Mutex::new(None), fell_back: Mutex::new(None) }
    }

    /// What the server wishes by now.
    pub fn wish(&self, wished: bool) {
        self.wished.store(wished, Ordering::Relaxed);
    }

    fn is_due(&self, node: &Registration, now: Utc) -> bool {
        self.wished.load(Ordering::Relaxed)
            || self.max_age.is_some_and(|days| is_old(node.key_made_at, days, now))
    }
}

/// Whether a key of that time is `days` old. One of a time to come is of a clock that was wrong then, so nobody
/// knows how old it is; now the clock is right, as the server has just taken a signature by it.
fn is_old(made_at: Utc, days: u32, now: Utc) -> bool {
    made_at.0 >= now.0.saturating_add(DAY)
        || now.0.saturating_sub(made_at.0) >= u64::from(days) * DAY
}

impl Ssm {
    /// Changes the key if that is due, or was begun and not finished. Called by the daemon alone,
    /// so that no two processes do it at once. A failure is logged; the old key goes on.
    pub fn renew_key(&self) {
        if self.instance.is_some() {
            return;
        }
        let mut node = self.node();
        if self.rotation.max_age.is_some() && node.is_undated() {
            // The server has just taken a signature by this clock, so now the time is known.
            match node.date(&self.state, self.clock.now()) {
                Ok(dated) => self.become_node(dated),
                Err(error) => return log::warn!("the node's key can't be dated: {error}"),
            }
            node = self.node();
        }
        let begun = node.load_successor(&self.state);
        if begun.is_none() && !self.rotation.is_due(&node, self.clock.now()) {
            return;
        }
        let mut not_before =
            self.rotation.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        match self.change_key(&node, begun) {
            Ok(()) => {
                *not_before = None;
                log::info!("this node has a new key");
            }
            Err(error) => {
                // Where only the answer is missing, the same key is offered again, and soon.
                if let UplinkError::Refused { .. } | UplinkError::Local(_) = error {
                    *not_before = Instant::now().checked_add(PAUSE);
                }
                log::warn!("the node's key can't be changed, the old one goes on: {error}");
            }
        }
    }

    fn change_key(
        &self,
        node: &Registration,
        begun: Option<Registration>,
    ) -> Result<(), UplinkError> {
        // Before the server hears of a key that could not be kept.
        node.check_is_current(&self.state).map_err(local)?;
        let next = match begun {
            Some(next) => next,
            None => {
                let next = node.with_new_key(self.clock.now()).map_err(local)?;
                next.save_successor(&self.state).map_err(local)?;
                next
            }
        };
        if next.has_key_of(node) {
            // The server has shown that it knows it; only the file is where it was.
            return self.succeed(next);
        }
        let public = next.key.public().map_err(local)?;
        let body = update_public_key(&public, next.key.kind());
        faults::point("rotate");
        match self.call_with_node_key(node, "UpdateManagedInstancePublicKey", &body) {
            Ok(_) => {}
            // It may know the new key already, and the old one no more.
            Err(error) if error.is_rejection_of_the_node() => {
                self.fetch_as(&next).map_err(|_| error)?;
            }
            Err(error @ UplinkError::Refused { .. }) => {
                // It has looked at the key and doesn't want it.
                Registration::drop_successor(&self.state).map_err(local)?;
                self.rotation.wish(false);
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        faults::point("rotated");
        self.succeed(next)
    }

    /// The next key is this node's from now on.
    fn succeed(&self, next: Registration) -> Result<(), UplinkError> {
        next.succeed(&self.state).map_err(local)?;
        let wished = self.rotation.wished.load(Ordering::Relaxed);
        let key = sha256_hex(next.key.public().unwrap_or_default().as_bytes());
        let who = if wished { self.name() } else { "agent" };
        crate::audit::record("key.changed", who, &[("node", &next.instance_id), ("sha256", &key)]);
        self.become_node(next);
        self.rotation.wish(false);
        // Only when the new key has been used does a server forget the old one, and where commands come over a
        // channel the next call may be minutes away.
        self.keeper.renew_soon();
        let _ = self.credentials();
        Ok(())
    }

    /// Fetches credentials with whatever other key is on disk: a change of keys was under way when
    /// power failed, or this is a worker and the daemon has changed the key meanwhile.
    pub fn fetch_with_another_key(&self, node: &Registration) -> Option<(Credentials, Instant)> {
        if let Ok(newer) = Registration::load(&self.state)
            && newer.instance_id == node.instance_id
            && !newer.has_key_of(node)
            && let Ok(fetched) = self.fetch_as(&newer)
        {
            self.become_node(newer);
            return Some(fetched);
        }
        let Some(next) = node.load_successor(&self.state) else { return self.fall_back(node) };
        let Ok(fetched) = self.fetch_as(&next) else { return self.fall_back(node) };
        log::info!("the server knows the key that was to follow; this node goes on with it");
        // The next health report sets it right on disk, too.
        self.become_node(next);
        Some(fetched)
    }

    /// Tells a server this node's key with the signature of the key before: one that was restored from a backup
    /// of before the last change of keys knows that one alone. Asked seldom, as mostly it is something else.
    fn fall_back(&self, node: &Registration) -> Option<(Credentials, Instant)> {
        let before = node.load_predecessor(&self.state)?;
        let mut asked = self.rotation.fell_back.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *asked = Some(Instant::now());
        let body = update_public_key(&node.key.public().ok()?, node.key.kind());
        self.call_with_node_key(&before, "UpdateManagedInstancePublicKey", &body).ok()?;
        log::warn!(
            "the server knew the key before the last change alone; it has been told this one"
        );
        self.fetch_as(node).ok()
    }
}

/// What went wrong on this side.
pub fn local(error: impl ToString) -> UplinkError {
    UplinkError::Local(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_old_after_its_days_and_if_it_is_of_a_time_to_come() {
        let made = Utc(100 * DAY);
        assert!(!is_old(made, 30, Utc(130 * DAY - 1)));
        assert!(is_old(made, 30, Utc(130 * DAY)));
        assert!(!is_old(made, 30, Utc(99 * DAY + 1)));
        assert!(is_old(made, 30, Utc(99 * DAY)));
    }
}
