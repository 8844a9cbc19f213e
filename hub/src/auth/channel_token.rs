//! The tokens with which a websocket says what it was opened for.
//!
//! A token is sealed under a key of its own, for one purpose, with the moment of its end inside:
//! so that every hub that shares the master key knows it, and no table has to. Whether one opens
//! is judged by its authentication tag, in constant time.

use super::seal::Seal;
use crate::error::{ApiError, ApiResult};
use stint_wire::time::Utc;

/// How long a token is good for, milliseconds. Its holder dials at once; a slow radio needs
/// seconds for that, and a clock that is set meanwhile shouldn't matter.
const LIFETIME_MILLIS: u64 = 60_000;

/// The label of the key that tokens are sealed under.
const LABEL: &str = "channel tokens";

/// What a token lets its holder do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'p> {
    /// Hold the control channel of this node.
    Control(&'p str),
    /// Be the agent's end of this session: the session's id and the node's.
    Agent(&'p str, &'p str),
}

impl Purpose<'_> {
    fn place(self) -> String {
        match self {
            Purpose::Control(node) => format!("control-channel/{node}"),
            Purpose::Agent(session, node) => format!("data-channel/{session}/{node}"),
        }
    }
}

/// A token for `purpose`, good for a minute from `now`.
///
/// # Errors
/// When the kernel gives no randomness.
pub fn issue(seal: &Seal, purpose: Purpose<'_>, now: Utc) -> ApiResult<String> {
    let end = now.0.saturating_add(LIFETIME_MILLIS).to_string();
    seal.derive(LABEL).seal(&purpose.place(), &end).map_err(ApiError::from)
}

/// Whether the token was issued for `purpose` and is still good.
pub fn accepts(seal: &Seal, purpose: Purpose<'_>, token: &str, now: Utc) -> bool {
    let end = seal.derive(LABEL).open(&purpose.place(), token);
    end.is_ok_and(|end| end.parse::<u64>().is_ok_and(|end| now.0 < end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_one_purpose_and_a_minute() {
        let seal = Seal::new([7; 32]);
        let (own, now) = (Purpose::Control("mi-1"), Utc(1_000_000));
        let token = issue(&seal, own, now).unwrap();
        assert!(accepts(&seal, own, &token, now));
        assert!(accepts(&seal, own, &token, Utc(1_059_999)));
        assert!(!accepts(&seal, own, &token, Utc(1_060_000)));
        for other in [Purpose::Control("mi-2"), Purpose::Agent("mi-1", "mi-1")] {
            assert!(!accepts(&seal, other, &token, now), "{other:?}");
        }
        assert!(!accepts(&seal, own, "", now) && !accepts(&seal, own, &format!("{token}A"), now));
    }

    #[test]
    fn what_the_master_key_seals_elsewhere_is_no_token() {
        let seal = Seal::new([7; 32]);
        let forged = seal.seal("control-channel/mi-1", "99999999999999").unwrap();
        assert!(!accepts(&seal, Purpose::Control("mi-1"), &forged, Utc(1)));
        let other = issue(&Seal::new([8; 32]), Purpose::Control("mi-1"), Utc(1)).unwrap();
        assert!(!accepts(&seal, Purpose::Control("mi-1"), &other, Utc(1)));
    }

    #[test]
    fn a_token_fits_the_model() {
        let seal = Seal::new([7; 32]);
        let token = issue(&seal, Purpose::Control("mi-0123456789abcdef0"), Utc(u64::MAX)).unwrap();
        assert!(token.len() <= 300);
    }
}
