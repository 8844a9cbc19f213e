//! Who may say that a version is good.

use super::{State, UpdateError};
use crate::board::BOARD;
use crate::config::Update;
use ed25519_dalek::{Signature, VerifyingKey};
use stint_wire::bootagent::sign;
use stint_wire::manifest::signatures;

/// Checks that a key that this device knows has signed these bytes: one that was baked in, one of
/// the configuration, or one that an earlier manifest has named; and none that is revoked.
///
/// # Errors
/// There are no such keys, or none of them has. `url` is where the bytes came from.
pub fn check(
    config: &Update,
    state: &State,
    bytes: &[u8],
    signed: &str,
    url: &str,
) -> Result<(), UpdateError> {
    let baked = BOARD.release_keys.split(',').filter_map(sign::parse_key);
    let mut keys: Vec<[u8; 32]> = baked.chain(config.keys.iter().copied()).collect();
    if keys.is_empty() {
        return Err(UpdateError::NoKeys);
    }
    keys.extend(&state.keys);
    let known = |(id, signature): &(&str, [u8; 64])| {
        let signature = Signature::from_bytes(signature);
        let good = |key: &&[u8; 32]| sign::key_id(key) == *id && !state.revoked.contains(key);
        keys.iter().filter(good).any(|key| {
            let key = VerifyingKey::from_bytes(key);
            key.is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok())
        })
    };
    match signatures(signed).iter().any(known) {
        true => Ok(()),
        false => Err(UpdateError::Unsigned(url.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};
    use stint_wire::manifest::signature_line;

    fn line(key: &SigningKey, text: &str) -> String {
        signature_line(key.verifying_key().as_bytes(), &key.sign(text.as_bytes()).to_bytes())
    }

    #[test]
    fn one_signature_by_a_known_key_is_enough_and_any_other_is_not() {
        let [ours, next, other] = [1, 2, 3].map(|n| SigningKey::from_bytes(&[n; 32]));
        let public = |key: &SigningKey| key.verifying_key().to_bytes();
        let config = Update { keys: vec![public(&ours)], ..Update::default() };
        let state = State { keys: vec![public(&next)], ..State::default() };
        let check = |signed: &str| check(&config, &state, b"text", signed, "u");
        for key in [&ours, &next] {
            check(&format!("{}{}", line(&other, "text"), line(key, "text"))).unwrap();
        }
        for signed in [
            String::new(),
            line(&other, "text"),
            line(&ours, "other text"),
            line(&other, "text")
                .replace(&sign::key_id(&public(&other)), &sign::key_id(&public(&ours))),
        ] {
            assert!(matches!(check(&signed), Err(UpdateError::Unsigned(_))), "{signed}");
        }
    }

    #[test]
    fn a_key_that_is_revoked_is_believed_no_more_whoever_has_named_it() {
        let [ours, next] = [1, 2].map(|n| SigningKey::from_bytes(&[n; 32]));
        let public = |key: &SigningKey| key.verifying_key().to_bytes();
        for key in [&ours, &next] {
            let config = Update { keys: vec![public(&ours)], ..Update::default() };
            let keys = vec![public(&next)];
            let state = State { keys, revoked: vec![public(key)], ..State::default() };
            let check = |signed: &str| check(&config, &state, b"text", signed, "u").is_ok();
            assert!(!check(&line(key, "text")));
            assert!(check(&format!("{}{}", line(&ours, "text"), line(&next, "text"))));
        }
    }

    #[test]
    fn a_device_without_keys_trusts_nobody_whatever_it_has_learnt() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let keys = vec![key.verifying_key().to_bytes()];
        let state = State { keys, ..State::default() };
        let result = check(&Update::default(), &state, b"text", &line(&key, "text"), "u");
        assert!(matches!(result, Err(UpdateError::NoKeys)));
    }
}
