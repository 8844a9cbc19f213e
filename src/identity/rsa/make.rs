//! Makes an RSA-2048 key: two random primes, and what follows from them.

use super::number::{self, Modulus};
use crate::sys::random;
use std::io;
use zeroize::Zeroizing;

/// The public exponent of all keys.
pub const EXPONENT: u32 = 65_537;

/// A prime has 1024 bits.
const LIMBS: usize = 32;

/// A candidate that a number below this divides is no prime. About one in six is left.
const TRIALS: u32 = 2_048;

/// FIPS 186-5 asks for 4 rounds at this size; each lets at most one in four of the wrong ones by,
/// and nearly always none.
const ROUNDS: usize = 16;

type Prime = Zeroizing<[u32; LIMBS]>;

/// The numbers of an RSAPrivateKey (RFC 8017, appendix A.1.2) but for the version and the public
/// exponent, as limbs in little-endian order.
pub struct Numbers {
    /// The product of the primes.
    pub modulus: Vec<u32>,
    /// The private exponent.
    pub exponent: Zeroizing<Vec<u32>>,
    /// The primes.
    pub primes: [Prime; 2],
    /// The private exponent for each prime.
    pub exponents: [Zeroizing<Vec<u32>>; 2],
    /// One over the second prime, modulo the first.
    pub coefficient: Zeroizing<Vec<u32>>,
}

/// Makes them.
///
/// # Errors
/// The system has no randomness.
pub fn numbers() -> io::Result<Numbers> {
    let p = prime()?;
    let q = loop {
        let q = prime()?;
        // FIPS 186-5, A.1.3: primes near each other would give the product away.
        if p.last_chunk::<4>() != q.last_chunk::<4>() {
            break q;
        }
    };
    let mut modulus = vec![0; 2 * LIMBS];
    number::add_multiplied(&mut modulus, p.as_slice(), q.as_slice());
    let (p_less, q_less) = (less_one(&p), less_one(&q));
    let mut order = Zeroizing::new(vec![0; 2 * LIMBS]);
    number::add_multiplied(&mut order, p_less.as_slice(), q_less.as_slice());
    // By Fermat, q to the power of p - 2 is one over q.
    let mut power = p_less.clone();
    number::subtract(power.as_mut_slice(), &[1]);
    let mut q_below_p = q.clone();
    if number::subtract(q_below_p.as_mut_slice(), p.as_slice()) {
        q_below_p = q.clone();
    }
    let coefficient = Modulus::new(p.as_slice()).power(q_below_p.as_slice(), power.as_slice());
    Ok(Numbers {
        modulus,
        exponent: inverse(order.as_slice()),
        exponents: [inverse(p_less.as_slice()), inverse(q_less.as_slice())],
        coefficient: Zeroizing::new(coefficient),
        primes: [p, q],
    })
}

fn less_one(prime: &Prime) -> Prime {
    let mut less = prime.clone();
    if let Some(lowest) = less.first_mut() {
        *lowest &= !1;
    }
    less
}

/// One over the public exponent `e`, modulo a number `m` that it doesn't divide: with a `k` such that `k * m`
/// is -1 modulo `e`, it is (`k * m` + 1) / `e`.
fn inverse(m: &[u32]) -> Zeroizing<Vec<u32>> {
    let rest = u64::from(number::remainder(m, EXPONENT));
    let e = u64::from(EXPONENT);
    // e is a prime: by Fermat again. All 16 bits of e - 2 are set, of which the first is there.
    let one_over = (0..15).fold(rest, |power, _| power * power % e * rest % e);
    let k = (e - one_over) as u32;
    let mut result = Zeroizing::new(vec![0; m.len() + 1]);
    number::add_multiplied(&mut result, m, &[k]);
    number::add_small(&mut result, 1);
    number::divide(&mut result, EXPONENT);
    result
}

/// A random prime of 1024 bits, the highest two of them set, so that a product of two has 2048 bits; one less
/// than it isn't divisible by the public exponent.
fn prime() -> io::Result<Prime> {
    loop {
        let mut candidate = random_limbs()?;
        if let Some(highest) = candidate.last_mut() {
            *highest |= 3 << 30;
        }
        // It leaves 3 when divided by 4, as one in two primes does: the test is then a single power.
        if let Some(lowest) = candidate.first_mut() {
            *lowest |= 3;
        }
        if is_prime(&candidate)? {
            return Ok(candidate);
        }
    }
}

fn random_limbs() -> io::Result<Prime> {
    let bytes: Zeroizing<[u8; LIMBS * 4]> = Zeroizing::new(random::bytes()?);
    let mut limbs = Zeroizing::new([0; LIMBS]);
    for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks().0) {
        *limb = u32::from_le_bytes(*bytes);
    }
    Ok(limbs)
}

/// Whether a number that leaves 3 when divided by 4, and is far above [`TRIALS`], is a prime that suits a key.
fn is_prime(candidate: &Prime) -> io::Result<bool> {
    // Not only primes are tried, which costs little and needs no table.
    for small in (3..TRIALS).step_by(2) {
        if number::remainder(candidate.as_slice(), small) == 0 {
            return Ok(false);
        }
    }
    if number::remainder(candidate.as_slice(), EXPONENT) == 1 {
        return Ok(false);
    }
    // Miller and Rabin: half of what is one less is odd, and a base to that power is 1 or -1.
    let minus_one = less_one(candidate);
    let mut half = minus_one.clone();
    number::divide(half.as_mut_slice(), 2);
    let modulus = Modulus::new(candidate.as_slice());
    for _ in 0..ROUNDS {
        // The highest bit is clear, so that it is below the candidate.
        let mut base = random_limbs()?;
        if let Some(highest) = base.last_mut() {
            *highest >>= 1;
        }
        let power = Zeroizing::new(modulus.power(base.as_slice(), half.as_slice()));
        let is_one =
            || matches!(power.split_first(), Some((1, rest)) if rest.iter().all(|&limb| limb == 0));
        if *power != *minus_one && !is_one() {
            return Ok(false);
        }
    }
    Ok(true)
}
