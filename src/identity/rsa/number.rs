//! Arithmetic with whole numbers of many limbs, just what the making of an RSA key takes.
//!
//! The limbs are in little-endian order. Nothing here takes the same time for all numbers: keys are
//! made once, by a device that nobody can ask to make another. What signs is ring's.

/// `number += factor * by`; both have as many limbs.
///
/// Returns what is carried beyond the last limb.
fn add_product(number: &mut [u32], by: &[u32], factor: u32) -> u32 {
    let mut carry = 0;
    for (limb, &by) in number.iter_mut().zip(by) {
        // (2^32 - 1)^2 + 2 * (2^32 - 1) is 2^64 - 1.
        let sum = u64::from(*limb) + u64::from(factor) * u64::from(by) + carry;
        *limb = sum as u32;
        carry = sum >> 32;
    }
    carry as u32
}

/// `number += small`; returns the carry.
pub fn add_small(number: &mut [u32], small: u32) -> u32 {
    let mut carry = small;
    for limb in number {
        let (sum, over) = limb.overflowing_add(carry);
        *limb = sum;
        carry = u32::from(over);
    }
    carry
}

/// `product += a * b`; the product has as many limbs as both.
pub fn add_multiplied(product: &mut [u32], a: &[u32], b: &[u32]) {
    for (place, &factor) in a.iter().enumerate() {
        let rest = product.get_mut(place..).unwrap_or_default();
        let Some((low, high)) = rest.split_at_mut_checked(b.len()) else { return };
        let carry = add_product(low, b, factor);
        add_small(high, carry);
    }
}

/// `number -= other`, which has as many limbs; returns whether it was greater.
pub fn subtract(number: &mut [u32], other: &[u32]) -> bool {
    let mut borrow = false;
    for (limb, &other) in number.iter_mut().zip(other) {
        let (difference, first) = limb.overflowing_sub(other);
        let (difference, second) = difference.overflowing_sub(u32::from(borrow));
        *limb = difference;
        borrow = first || second;
    }
    borrow
}

/// Divides by a small number; returns the remainder.
pub fn divide(number: &mut [u32], by: u32) -> u32 {
    let mut rest = 0;
    for limb in number.iter_mut().rev() {
        let part = rest << 32 | u64::from(*limb);
        *limb = (part / u64::from(by)) as u32;
        rest = part % u64::from(by);
    }
    rest as u32
}

/// What is left after a division by a small number.
pub fn remainder(number: &[u32], by: u32) -> u32 {
    let by = u64::from(by);
    number.iter().rev().fold(0, |rest, &limb| (rest << 32 | u64::from(limb)) % by) as u32
}

/// An odd modulus, and what Montgomery's multiplication needs of it. `R` is 2 to the power of 32
/// times the number of limbs; a number `a` stands for itself as `a * R` modulo the modulus.
pub struct Modulus<'a> {
    modulus: &'a [u32],
    /// -1 / modulus, modulo 2^32.
    inverse: u32,
    /// What stands for 1.
    one: Vec<u32>,
    /// R squared: what turns a number into what stands for it.
    square: Vec<u32>,
}

impl<'a> Modulus<'a> {
    /// For an odd number whose highest bit is set.
    pub fn new(modulus: &'a [u32]) -> Modulus<'a> {
        let lowest = modulus.first().copied().unwrap_or(1);
        // Newton's iteration doubles the right bits each time: 3, 6, 12, 24, 48.
        let mut inverse = lowest;
        for _ in 0..4 {
            inverse = inverse.wrapping_mul(2_u32.wrapping_sub(lowest.wrapping_mul(inverse)));
        }
        let mut this = Modulus {
            modulus,
            inverse: inverse.wrapping_neg(),
            one: vec![0; modulus.len()],
            square: Vec::new(),
        };
        // The highest bit is set, so R less the modulus is R modulo it.
        let mut one = this.one.clone();
        subtract(&mut one, modulus);
        let mut square = one.clone();
        for _ in 0..modulus.len() * 32 {
            this.double(&mut square);
        }
        (this.one, this.square) = (one, square);
        this
    }

    /// `number *= 2`.
    fn double(&self, number: &mut [u32]) {
        let mut carry = 0;
        for limb in number.iter_mut() {
            (*limb, carry) = (*limb << 1 | carry, *limb >> 31);
        }
        self.reduce(number, carry);
    }

    /// Subtracts the modulus once, where the number with this carry before it isn't below it.
    fn reduce(&self, number: &mut [u32], carry: u32) {
        let mut less = number.to_vec();
        if !subtract(&mut less, self.modulus) || carry != 0 {
            number.copy_from_slice(&less);
        }
    }

    /// `a * b / R`: the product of what they stand for.
    fn multiply(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let limbs = self.modulus.len();
        let mut product = vec![0; 2 * limbs];
        add_multiplied(&mut product, a, b);
        let mut over = 0;
        for place in 0..limbs {
            let rest = product.get_mut(place..).unwrap_or_default();
            let factor = rest.first().copied().unwrap_or(0).wrapping_mul(self.inverse);
            let Some((low, high)) = rest.split_at_mut_checked(limbs) else { break };
            let carry = add_product(low, self.modulus, factor);
            over += add_small(high, carry);
        }
        let mut result = product.split_off(limbs);
        self.reduce(&mut result, over);
        result
    }

    /// `base` to the power of `exponent`; the base is below the modulus.
    pub fn power(&self, base: &[u32], exponent: &[u32]) -> Vec<u32> {
        let base = self.multiply(base, &self.square);
        let mut result = self.one.clone();
        for &limb in exponent.iter().rev() {
            for bit in (0..32).rev() {
                result = self.multiply(&result, &result);
                if limb >> bit & 1 == 1 {
                    result = self.multiply(&result, &base);
                }
            }
        }
        let mut plain = vec![0; base.len()];
        add_small(&mut plain, 1);
        self.multiply(&result, &plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(number: u128) -> [u32; 4] {
        [0, 32, 64, 96].map(|shift| (number >> shift) as u32)
    }

    fn back(limbs: &[u32]) -> u128 {
        limbs.iter().rev().fold(0, |number, &limb| number << 32 | u128::from(limb))
    }

    proptest! {
        #[test]
        fn products_differences_and_quotients_are_the_processors(a: u64, b: u64, small in 1..u32::MAX) {
            let mut product = [0; 4];
            add_multiplied(&mut product, &of(a.into())[..2], &of(b.into())[..2]);
            prop_assert_eq!(back(&product), u128::from(a) * u128::from(b));
            prop_assert_eq!(remainder(&product, small), (back(&product) % u128::from(small)) as u32);
            let mut quotient = product;
            prop_assert_eq!(divide(&mut quotient, small), remainder(&product, small));
            prop_assert_eq!(back(&quotient), back(&product) / u128::from(small));
            let mut difference = of(a.into());
            prop_assert_eq!(subtract(&mut difference, &of(b.into())), b > a);
            prop_assert_eq!(back(&difference), u128::from(a).wrapping_sub(u128::from(b)));
        }

        #[test]
        fn a_power_is_the_repeated_product(base: u64, exponent in 0_u32..200, odd: u64) {
            let modulus = odd | 1 << 63 | 1;
            let base = base % modulus;
            let wanted = (0..exponent)
                .fold(1, |product, _| product * u128::from(base) % u128::from(modulus));
            let limbs = of(modulus.into());
            let power = Modulus::new(&limbs[..2]).power(&of(base.into())[..2], &[exponent]);
            prop_assert_eq!(back(&power), wanted);
        }
    }
}
