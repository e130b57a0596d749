//! Types by name: a bucket index, built on first use.
//!
//! Two flat vectors instead of a hash map: half the memory, built in two passes without growth. Names are hashed
//! without their `___flavour`, because relocation looks for all flavours of a type at once; exact lookups compare the
//! whole name afterwards. The hash is seeded, so that hostile names cannot fill one bucket.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;

use super::Btf;
use super::data::u32_at;

/// More buckets than this would not fit into the caches that make the building fast; a kernel's hold two names each.
const MAX_BUCKETS: usize = 1 << 16;

pub(super) struct NameIndex {
    seed: u64,
    /// Bucket `b` is `ids[starts[b]..starts[b + 1]]`.
    starts: Vec<u32>,
    ids: Vec<u32>,
    mask: u32,
}

impl NameIndex {
    pub(super) fn build(btf: &Btf) -> Self {
        let seed = RandomState::default().build_hasher().finish();
        // Every load of a gadget pays for this loop over a hundred thousand names: it reads bytes, not views.
        let mut named: Vec<(u32, u32)> = Vec::with_capacity(btf.offsets.len());
        let bytes = btf.as_bytes();
        for (at, id) in btf.offsets.iter().zip(btf.first_id..) {
            let Some(name) = u32_at(bytes, *at as usize).filter(|offset| *offset != 0) else {
                continue;
            };
            if let Some(hash) = btf.string_from(name).and_then(|text| hash_essential(seed, text)) {
                named.push((hash, id));
            }
        }
        let buckets = named.len().next_power_of_two().min(MAX_BUCKETS);
        let mask = u32::try_from(buckets - 1).unwrap_or(u32::MAX);
        let mut starts = vec![0u32; buckets + 1];
        for (hash, _) in &named {
            if let Some(count) = starts.get_mut((hash & mask) as usize) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        // Each bucket is filled from its end, which leaves its start where its end was.
        let mut ids = vec![0u32; named.len()];
        for (hash, id) in named.iter().rev() {
            let Some(slot) = starts.get_mut((hash & mask) as usize) else { continue };
            *slot = slot.saturating_sub(1);
            if let Some(place) = ids.get_mut(*slot as usize) {
                *place = *id;
            }
        }
        Self { seed, starts, ids, mask }
    }

    /// Ids of the types whose essential name may be `name`, which has its flavour cut off already: cutting twice would
    /// make `a` of `a___b___c`.
    pub(super) fn candidates(&self, name: &str) -> &[u32] {
        let bucket = (hash(self.seed, name.as_bytes()) & self.mask) as usize;
        let range = self.starts.get(bucket).zip(self.starts.get(bucket + 1));
        range.and_then(|(start, end)| self.ids.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

/// Only so much of a name is hashed: few have more in common.
const HASHED: usize = 32;

/// The hash of the essential part of the text up to the first NUL; `None` when that is empty.
///
/// All of it without a branch that depends on the length, which is another for each name. What may have a flavour, and
/// the last bytes of the strings, are left to the slow way.
fn hash_essential(seed: u64, text: &[u8]) -> Option<u32> {
    let slowly = || {
        let name = cut_flavour(text);
        (!name.is_empty()).then(|| hash(seed, name))
    };
    let Some(bytes) = text.first_chunk::<HASHED>() else { return slowly() };
    let mut words = words(bytes);
    let mut alive = u64::MAX;
    let mut run = 0;
    let mut border = 0;
    for word in &mut words {
        let nul = zero_bytes(*word);
        // The bytes before the lowest NUL; all where there is none.
        let before = ((nul & nul.wrapping_neg()) >> 7).wrapping_sub(1);
        *word &= before & alive;
        alive &= u64::from(nul == 0).wrapping_neg();
        let underscores = zero_bytes(*word ^ UNDERSCORES);
        // Three in a row, or two across the border of words, which may be two of three.
        run |= (underscores & underscores >> 8 & underscores >> 16) | (border & underscores >> 7 & 1);
        border = underscores >> 63;
    }
    if run | border != 0 {
        return slowly();
    }
    let [first, ..] = words;
    (first != 0).then(|| mix(seed, words))
}

fn hash(seed: u64, name: &[u8]) -> u32 {
    let mut bytes = [0; HASHED];
    for (to, from) in bytes.iter_mut().zip(name) {
        *to = *from;
    }
    mix(seed, words(&bytes))
}

fn words(bytes: &[u8; HASHED]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}

/// Products of pairs of words with their halves joined, so that every bit reaches every other.
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn mix(seed: u64, [a, b, c, d]: [u64; 4]) -> u32 {
    const SALTS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    let joined = |left: u64, right: u64| {
        let product = u128::from(left) * u128::from(right);
        product as u64 ^ (product >> 64) as u64
    };
    let [first, second] = SALTS;
    let sum = joined(a ^ seed, b ^ first) ^ joined(c ^ seed.rotate_left(32), d ^ second);
    sum as u32 ^ (sum >> 32) as u32
}

/// A type name without its flavour: `task_struct___old` is `task_struct`.
///
/// A flavour starts at the last `___` that has some other character on both sides.
pub fn essential_name(name: &str) -> &str {
    name.get(..cut_flavour(name.as_bytes()).len()).unwrap_or(name)
}

const UNDERSCORES: u64 = u64::from_ne_bytes([b'_'; 8]);

/// The highest bit of each byte that is zero.
fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    // Bytes without their highest bit cannot carry into their neighbours.
    !(((word & LOW) + LOW) | word | LOW)
}

/// The essential part of the text up to the first NUL.
fn cut_flavour(text: &[u8]) -> &[u8] {
    let mut end = text.len();
    let mut separator = None;
    let mut run = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            0 => {
                end = at;
                break;
            }
            b'_' => run += 1,
            _ => {
                if run == 3 && at > 3 {
                    separator = Some(at - 3);
                }
                run = 0;
            }
        }
    }
    text.get(..separator.unwrap_or(end)).unwrap_or_default()
}
