//! The hash of keys: whole words, two at a time, seeded per process because keys come from strangers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::LazyLock;

/// Random numbers of this process, from the operating system by way of the standard library.
static SEEDS: LazyLock<[u64; 3]> = LazyLock::new(|| {
    // Odd, so that a product keeps something of every factor.
    std::array::from_fn(|_| RandomState::new().build_hasher().finish() | 1)
});

/// Hashes a key for [`TableWriter::row_hashed`](crate::TableWriter::row_hashed).
///
/// Not a general hash: keys of one table have one length, which is not mixed in, and a last word that is not full
/// counts as padded with zeros.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    let [seed, first, second] = *SEEDS;
    let (words, tail) = key.as_chunks::<8>();
    let (pairs, single) = words.as_chunks::<2>();
    let mut state = seed;
    for [a, b] in pairs {
        state = folded(u64::from_ne_bytes(*a) ^ state, u64::from_ne_bytes(*b) ^ first);
    }
    if let [last] = single {
        state = folded(u64::from_ne_bytes(*last) ^ state, first);
    }
    if !tail.is_empty() {
        state = folded(padded(tail) ^ state, first);
    }
    folded(state, second)
}

/// Up to eight bytes as a word, padded with zeros.
#[inline]
pub(super) fn padded(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_ne_bytes(word)
}

/// Both halves of the product, one upon the other.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "each cast keeps one half")]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: keys that differ in one byte, as counters and process ids do.
    /// Guarantees: the half of the hash that tables use tells nearly all of them apart.
    #[test]
    fn near_keys_have_far_hashes() {
        for len in [1usize, 7, 8, 9, 16, 24, 31] {
            let mut tags = std::collections::HashSet::new();
            for n in 0..50_000u32 {
                let mut key = vec![7; len];
                for (to, from) in key.iter_mut().rev().zip(n.to_le_bytes()) {
                    *to = from;
                }
                tags.insert(hash(&key) >> 32);
            }
            let different = if len == 1 { 256 } else { 49_990 };
            assert!(tags.len() >= different, "{} of {len} bytes", tags.len());
        }
    }
}
