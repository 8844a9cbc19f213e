//! Randomness from the kernel.

use std::io;

/// `N` random bytes.
///
/// # Errors
/// The kernel gives none: a system without `getrandom` and without `/dev/urandom`.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::getrandom(&mut bytes)
        .map_err(|error| io::Error::other(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}

/// A random UUID.
///
/// # Errors
/// See [`bytes`].
pub fn uuid() -> io::Result<String> {
    Ok(stint_wire::ids::uuid(bytes()?))
}

/// A number from 0 to 1, for jitter, where poor randomness does no harm: without the kernel's it
/// is taken from the clock.
pub fn fraction() -> f64 {
    let word = match bytes::<4>() {
        Ok(word) => u32::from_le_bytes(word),
        Err(_) => (super::clock::system().0 as u32).wrapping_mul(2_654_435_761),
    };
    f64::from(word) / f64::from(u32::MAX)
}
