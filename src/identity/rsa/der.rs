//! The two forms of a key in DER: RSAPrivateKey (RFC 8017, appendix A.1.2) and SubjectPublicKeyInfo
//! (RFC 5280, section 4.1).

use super::make::{EXPONENT, Numbers};
use zeroize::Zeroizing;

const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const SEQUENCE: u8 = 0x30;

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption, NULL }`, RFC 8017, appendix A.1.
const RSA_ENCRYPTION: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// More than the bytes of any private key of 2048 bits, so that no copy is left behind by growing.
const ROOM: usize = 1_280;

/// The private key.
pub fn private(numbers: &Numbers) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::with_capacity(ROOM));
    let [p, q] = &numbers.primes;
    let [d_p, d_q] = &numbers.exponents;
    let members: [&[u32]; 9] = [
        &[0],
        &numbers.modulus,
        &[EXPONENT],
        &numbers.exponent,
        p.as_slice(),
        q.as_slice(),
        d_p,
        d_q,
        &numbers.coefficient,
    ];
    for limbs in members {
        let bytes: Zeroizing<Vec<u8>> =
            Zeroizing::new(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect());
        integer(&mut content, &bytes);
    }
    let mut key = Zeroizing::new(Vec::with_capacity(ROOM));
    member(&mut key, SEQUENCE, &content);
    key
}

/// The public key with this modulus, in big-endian order.
pub fn public(modulus: &[u8]) -> Vec<u8> {
    let mut numbers = Vec::new();
    integer(&mut numbers, modulus);
    integer(&mut numbers, &EXPONENT.to_be_bytes());
    // No bits of the last byte are unused.
    let mut bits = vec![0];
    member(&mut bits, SEQUENCE, &numbers);
    let mut content = RSA_ENCRYPTION.to_vec();
    member(&mut content, BIT_STRING, &bits);
    let mut key = Vec::new();
    member(&mut key, SEQUENCE, &content);
    key
}

/// A number that isn't negative: without leading zeros, but for one before a bit that would be its sign.
fn integer(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    let zero = bytes.first().is_none_or(|first| first & 0x80 != 0);
    head(out, INTEGER, bytes.len() + usize::from(zero));
    if zero {
        out.push(0);
    }
    out.extend_from_slice(bytes);
}

fn member(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    head(out, tag, content.len());
    out.extend_from_slice(content);
}

/// A tag and a length below 65,536.
fn head(out: &mut Vec<u8>, tag: u8, length: usize) {
    let [high, low] = (length as u16).to_be_bytes();
    out.push(tag);
    match length {
        0..0x80 => {}
        0x80..0x100 => out.push(0x81),
        _ => out.extend_from_slice(&[0x82, high]),
    }
    out.push(low);
}
