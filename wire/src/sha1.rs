//! SHA-1 (RFC 3174). Protects nothing: websockets want it of a handshake's nonce.

/// The digest of a text.
pub fn digest(text: &[u8]) -> [u8; 20] {
    let mut padded = text.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((text.len() as u64 * 8).to_be_bytes());
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        state = mixed(state, block);
    }
    let mut out = [0; 20];
    for (to, from) in out.iter_mut().zip(state.iter().flat_map(|word| word.to_be_bytes())) {
        *to = from;
    }
    out
}

fn mixed(state: [u32; 5], block: &[u8]) -> [u32; 5] {
    // The last 16 words, the oldest first.
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e] = state;
    for round in 0..80 {
        let (mix, constant) = match round {
            0..20 => (b & c | !b & d, 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let [word, ..] = words;
        let next = a.rotate_left(5).wrapping_add(mix).wrapping_add(e);
        let next = next.wrapping_add(word).wrapping_add(constant);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
        let [w0, _, w2, _, _, _, _, _, w8, _, _, _, _, w13, ..] = words;
        words.rotate_left(1);
        words[15] = (w0 ^ w2 ^ w8 ^ w13).rotate_left(1);
    }
    let mut out = [a, b, c, d, e];
    for (word, before) in out.iter_mut().zip(state) {
        *word = word.wrapping_add(before);
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::text::hex;

    #[test]
    fn published_digests() {
        let of = |text: &str| hex(&super::digest(text.as_bytes()));
        assert_eq!(of(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(of(two), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(of(&"a".repeat(1_000_000)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    }
}
