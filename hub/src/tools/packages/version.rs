//! Which of two versions is newer.

use std::cmp::Ordering;

/// Compares versions as people read them: numbers by value, letters by the alphabet, `~` before
/// everything, even the end (1.0~rc1 comes before 1.0), and a longer version after its beginning.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        let (a, b) = (take(&mut one, false), take(&mut other, false));
        match words(a, b).then_with(|| numbers(take(&mut one, true), take(&mut other, true))) {
            Ordering::Equal if one.is_empty() && other.is_empty() => return Ordering::Equal,
            Ordering::Equal => {}
            decided => return decided,
        }
    }
}

/// The digits, or what comes before the next digit.
fn take<'v>(rest: &mut &'v [u8], digits: bool) -> &'v [u8] {
    let end = rest.iter().position(|b| b.is_ascii_digit() != digits).unwrap_or(rest.len());
    let (taken, left) = rest.split_at_checked(end).unwrap_or_default();
    *rest = left;
    taken
}

fn words(one: &[u8], other: &[u8]) -> Ordering {
    // The end of a part comes after `~` and before all other signs.
    let rank = |byte: Option<&u8>| match byte {
        Some(b'~') => 0,
        None => 1,
        Some(byte) => u16::from(*byte) + 2,
    };
    (0..one.len().max(other.len()))
        .map(|at| rank(one.get(at)).cmp(&rank(other.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn numbers(one: &[u8], other: &[u8]) -> Ordering {
    let cut = |digits: &[u8]| -> Vec<u8> {
        digits.iter().copied().skip_while(|digit| *digit == b'0').collect()
    };
    let (one, other) = (cut(one), cut(other));
    one.len().cmp(&other.len()).then_with(|| one.cmp(&other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_are_in_the_order_that_people_expect() {
        let sorted = [
            "0.9", "1.0~rc1", "1.0~rc2", "1.0", "1.0-1", "1.0.1", "1.2", "1.2.3", "1.9", "1.10",
            "1.010.1", "2", "10.0", "v1", "v2",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&other_at), "{one} and {other}");
            }
        }
        assert_eq!(compare("1.01", "1.1"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn the_order_is_one(a in "[0-9a~.-]{0,8}", b in "[0-9a~.-]{0,8}", c in "[0-9a~.-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le());
            }
        }
    }
}
