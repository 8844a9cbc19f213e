//! Who is logged in with a browser.

use crate::error::ApiResult;
use crate::random;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use stint_wire::text::sha256_hex;
use stint_wire::time::Utc;
use subtle::ConstantTimeEq;

/// How long a log-in lasts, milliseconds: a working day, and no browser is logged in on the next.
pub const LONGEST_MILLIS: u64 = 12 * 3600 * 1000;

/// How long a log-in lasts that nobody uses, milliseconds. Terminals say when somebody types.
pub const IDLE_MILLIS: u64 = 3600 * 1000;

/// Log-ins at a time, some 300 bytes each. The one that was used least lately makes room.
const MOST: usize = 1000;

/// Sessions that a log-in remembers, to end them with it. More are open on no screen.
const MOST_SESSIONS: usize = 64;

/// Characters of a token: 258 bits.
const TOKEN_LENGTH: usize = 43;

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The access key.
    pub access_key: String,
    /// The digest of the secret that was shown: with another secret the key is another key.
    secret: String,
    since: Utc,
    used: Utc,
    /// The sessions that were opened or resumed with it.
    pub sessions: Vec<String>,
}

impl Login {
    /// Whether the key's secret still is the one that was shown.
    pub fn is_by(&self, secret: &str) -> bool {
        same(&self.secret, &sha256_hex(secret.as_bytes()))
    }

    fn is_over(&self, now: Utc) -> bool {
        let past = |from: Utc, millis: u64| now.0 >= from.0.saturating_add(millis);
        past(self.since, LONGEST_MILLIS) || past(self.used, IDLE_MILLIS)
    }
}

/// Whether two secrets are the same, in a time that tells nothing of them.
pub fn matches(given: &str, known: &str) -> bool {
    same(&sha256_hex(given.as_bytes()), &sha256_hex(known.as_bytes()))
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// All log-ins, by the digest of their token.
#[derive(Default)]
pub struct Logins(Mutex<HashMap<String, Login>>);

impl Logins {
    /// Begins one for a key whose secret was shown; its token.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn open(&self, access_key: &str, secret: &str, now: Utc) -> ApiResult<String> {
        let token = random::text(TOKEN_LENGTH, random::BASE64_SAFE)?;
        let mut all = self.lock();
        all.retain(|_, login| !login.is_over(now));
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, login)| login.used.0);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                all.remove(&key);
            }
        }
        let login = Login {
            access_key: access_key.to_owned(),
            secret: sha256_hex(secret.as_bytes()),
            since: now,
            used: now,
            sessions: Vec::new(),
        };
        all.insert(sha256_hex(token.as_bytes()), login);
        Ok(token)
    }

    /// The log-in of a token that is good, which counts as its use.
    pub fn of(&self, token: &str, now: Utc) -> Option<Login> {
        let mut all = self.lock();
        let key = sha256_hex(token.as_bytes());
        let login = all.get_mut(&key)?;
        if login.is_over(now) {
            all.remove(&key);
            return None;
        }
        login.used = now;
        Some(login.clone())
    }

    /// Notes that a session belongs to a log-in.
    pub fn note_session(&self, token: &str, session: &str) {
        if let Some(login) = self.lock().get_mut(&sha256_hex(token.as_bytes())) {
            login.sessions.retain(|known| known != session);
            if login.sessions.len() >= MOST_SESSIONS {
                login.sessions.remove(0);
            }
            login.sessions.push(session.to_owned());
        }
    }

    /// Ends one; what was known of it.
    pub fn close(&self, token: &str) -> Option<Login> {
        self.lock().remove(&sha256_hex(token.as_bytes()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_is_good_until_it_is_idle_too_old_or_closed() {
        let logins = Logins::default();
        let token = logins.open("AKIA1", "secret", Utc(0)).unwrap();
        assert!(token.len() == TOKEN_LENGTH && logins.of("other", Utc(0)).is_none());
        let mut now = 0;
        while now + IDLE_MILLIS - 1 < LONGEST_MILLIS {
            now += IDLE_MILLIS - 1;
            assert_eq!(logins.of(&token, Utc(now)).unwrap().access_key, "AKIA1", "{now}");
        }
        assert!(logins.of(&token, Utc(LONGEST_MILLIS)).is_none());
        let token = logins.open("AKIA1", "secret", Utc(0)).unwrap();
        assert!(logins.of(&token, Utc(IDLE_MILLIS)).is_none());
        assert!(logins.of(&token, Utc(0)).is_none(), "what is over stays over");
        let token = logins.open("AKIA1", "secret", Utc(0)).unwrap();
        assert!(logins.close(&token).is_some() && logins.close(&token).is_none());
        assert!(logins.of(&token, Utc(0)).is_none());
    }

    #[test]
    fn a_key_with_another_secret_is_another_key() {
        let logins = Logins::default();
        let token = logins.open("AKIA1", "secret", Utc(0)).unwrap();
        let login = logins.of(&token, Utc(0)).unwrap();
        assert!(login.is_by("secret") && !login.is_by("Secret") && !login.is_by(""));
        assert!(matches("a", "a") && !matches("a", "") && !matches("", "a"));
    }

    #[test]
    fn the_one_that_was_used_least_lately_makes_room() {
        let logins = Logins::default();
        let first = logins.open("AKIA0", "s", Utc(1)).unwrap();
        let second = logins.open("AKIA1", "s", Utc(2)).unwrap();
        for n in 2..MOST {
            logins.open(&format!("AKIA{n}"), "s", Utc(3)).unwrap();
        }
        assert!(logins.of(&first, Utc(4)).is_some());
        logins.open("AKIAX", "s", Utc(5)).unwrap();
        assert!(logins.of(&second, Utc(5)).is_none() && logins.of(&first, Utc(5)).is_some());
    }

    #[test]
    fn a_log_in_remembers_its_latest_sessions_once() {
        let logins = Logins::default();
        let token = logins.open("AKIA1", "s", Utc(0)).unwrap();
        for n in 0..=MOST_SESSIONS {
            logins.note_session(&token, &format!("s-{n}"));
            logins.note_session(&token, "s-0");
        }
        let sessions = logins.close(&token).unwrap().sessions;
        assert_eq!(sessions.len(), MOST_SESSIONS);
        assert_eq!(sessions.iter().filter(|id| *id == "s-0").count(), 1);
        logins.note_session(&token, "s-1");
    }
}
