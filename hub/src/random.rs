//! Randomness from the operating system. Everything else takes what it needs as an argument.

/// Capital letters and the digits that nobody mistakes for a letter: the alphabet of access
/// keys.
pub const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Sixty-four characters that no shell, file format or header gives a meaning. Secrets.
pub const BASE64_SAFE: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// `N` random bytes.
///
/// # Errors
/// When the kernel has no randomness to give, which no running system should see.
pub fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut out = [0; N];
    getrandom::getrandom(&mut out)?;
    Ok(out)
}

/// `length` random characters of an alphabet of 32 or 64, so that each is equally likely.
///
/// # Errors
/// See [`bytes`].
pub fn text<const A: usize>(length: usize, alphabet: &[u8; A]) -> Result<String, getrandom::Error> {
    const { assert!(256 % A == 0, "an alphabet that does not divide 256 would be biased") };
    let mut raw = vec![0; length];
    getrandom::getrandom(&mut raw)?;
    Ok(raw
        .iter()
        .filter_map(|byte| alphabet.get(usize::from(*byte) % A))
        .map(|letter| char::from(*letter))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_texts_differ_and_keep_to_their_alphabet() {
        let (one, two) = (text(40, BASE64_SAFE).unwrap(), text(40, BASE64_SAFE).unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 40);
        assert!(text(500, BASE32).unwrap().bytes().all(|b| BASE32.contains(&b)));
    }
}
