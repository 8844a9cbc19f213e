//! Temporary credentials: fetched with the node's own key, renewed at half their life.
//!
//! They live in memory only. Credentials kept over a restart are the original's most common way
//! of not coming back after an hour without power.

use super::super::UplinkError;
use super::Ssm;
use crate::identity::Registration;
use miniserde::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stint_wire::ssm::{RoleToken, request_role_token};
use stint_wire::time::Utc;
use zeroize::Zeroizing;

/// A server that says nothing sensible about the lifetime gets asked again after this.
const SHORTEST_LIFE: Duration = Duration::from_secs(10);

/// A lifetime longer than this is a wrong clock, not a promise.
const LONGEST_LIFE: Duration = Duration::from_secs(36 * 3600);

/// After a failed renewal the old ones are used for this long before the next try.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// An access key for a while.
pub struct Credentials {
    /// The access key's id.
    pub access_key: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// Goes with every request.
    pub session_token: Zeroizing<String>,
    expires: Instant,
}

/// Holds the credentials of one uplink.
#[derive(Default)]
pub struct Keeper(Mutex<Held>);

#[derive(Default)]
struct Held {
    current: Option<Arc<Credentials>>,
    renew_at: Option<Instant>,
}

impl Keeper {
    /// Drops credentials that the server doesn't accept, unless they have been replaced already.
    pub fn forget(&self, refused: &Credentials) {
        let mut held = self.lock();
        if held.current.as_ref().is_some_and(|current| current.access_key == refused.access_key) {
            held.current = None;
        }
    }

    /// Has credentials renewed at the next call. Until that has succeeded the old ones are good.
    pub fn renew_soon(&self) {
        self.lock().renew_at = None;
    }

    /// Drops them: they are another node's.
    pub fn forget_all(&self) {
        self.lock().current = None;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ssm {
    /// Credentials that are good now. The two lanes may ask at once: one fetches, the other waits.
    pub fn credentials(&self) -> Result<Arc<Credentials>, UplinkError> {
        let mut held = self.keeper.lock();
        let now = Instant::now();
        if let Some(current) = held.current.clone() {
            let fresh = held.renew_at.is_some_and(|at| now < at);
            if fresh && now < current.expires {
                return Ok(current);
            }
            if now < current.expires {
                return match self.fetch() {
                    Ok((credentials, renew_at)) => Ok(held.keep(credentials, renew_at)),
                    Err(error) => {
                        log::warn!("credentials can't be renewed, using the old ones: {error}");
                        held.renew_at = Some(now + RENEWAL_PAUSE);
                        Ok(current)
                    }
                };
            }
        }
        let (credentials, renew_at) = self.fetch()?;
        Ok(held.keep(credentials, renew_at))
    }

    fn fetch(&self) -> Result<(Credentials, Instant), UplinkError> {
        if let Some(instance) = &self.instance {
            let (credentials, expires) = instance.credentials(&self.http)?;
            return Ok(self.until(credentials, expires.0 as f64 / 1000.0));
        }
        let node = self.node();
        match self.fetch_as(&node) {
            Err(error) if error.is_rejection_of_the_node() => {
                self.fetch_with_another_key(&node).ok_or(error)
            }
            decided => decided,
        }
    }

    /// Fetches with the key of this registration.
    pub fn fetch_as(&self, node: &Registration) -> Result<(Credentials, Instant), UplinkError> {
        let operation = "RequestManagedInstanceRoleToken";
        let body = request_role_token(&node.fingerprint);
        let answer = Zeroizing::new(self.call_with_node_key(node, operation, &body)?);
        let token: RoleToken = json::from_str(&answer)
            .map_err(|_| UplinkError::BadAnswer { operation, what: "it holds no credentials" })?;
        self.rotation.wish(token.update_key_pair);
        let credentials =
            Credentials::new(token.access_key_id, token.secret_access_key, token.session_token);
        Ok(self.until(credentials, token.token_expiration_date))
    }

    /// Credentials that end at `expiration` (seconds since 1970), and when to renew them.
    fn until(&self, credentials: Credentials, expiration: f64) -> (Credentials, Instant) {
        let life = lifetime(expiration, self.clock.now());
        let now = Instant::now();
        log::debug!("credentials good for {} s", life.as_secs());
        (Credentials { expires: now + life, ..credentials }, now + life / 2)
    }
}

impl Credentials {
    /// Credentials that have ended, until somebody says until when they last.
    pub fn new(access_key: String, secret: String, session_token: String) -> Credentials {
        let (secret, session_token) = (Zeroizing::new(secret), Zeroizing::new(session_token));
        Credentials { access_key, secret, session_token, expires: Instant::now() }
    }
}

impl Held {
    fn keep(&mut self, credentials: Credentials, renew_at: Instant) -> Arc<Credentials> {
        let credentials = Arc::new(credentials);
        self.current = Some(credentials.clone());
        self.renew_at = Some(renew_at);
        credentials
    }
}

/// How long credentials are good that expire at `expiration` (seconds since 1970), within reason.
fn lifetime(expiration: f64, now: Utc) -> Duration {
    let seconds = expiration - now.0 as f64 / 1000.0;
    let seconds = seconds.clamp(SHORTEST_LIFE.as_secs_f64(), LONGEST_LIFE.as_secs_f64());
    Duration::try_from_secs_f64(seconds).unwrap_or(SHORTEST_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_what_the_server_says_within_reason() {
        let now = Utc::from_secs(1_000_000);
        assert_eq!(lifetime(1_003_600.0, now), Duration::from_secs(3600));
        assert_eq!(lifetime(5.0, now), SHORTEST_LIFE);
        assert_eq!(lifetime(9e18, now), LONGEST_LIFE);
        assert_eq!(lifetime(f64::NAN, now), SHORTEST_LIFE);
    }
}
