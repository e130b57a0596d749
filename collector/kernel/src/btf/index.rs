//! Types by name: a bucket index, built on first use.
//!
//! Two flat vectors instead of a hash map: half the memory, built in two passes without growth. Names are hashed
//! without their `___flavour`, because relocation looks for all flavours of a type at once; exact lookups compare the
//! whole name afterwards. The hash is seeded, so that hostile names cannot fill one bucket.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;

use super::Btf;
use super::data::u32_at;

pub(super) struct NameIndex {
    seed: RandomState,
    /// Bucket `b` is `ids[starts[b]..starts[b + 1]]`.
    starts: Vec<u32>,
    ids: Vec<u32>,
    mask: u32,
}

impl NameIndex {
    pub(super) fn build(btf: &Btf) -> Self {
        let seed = RandomState::default();
        // Every load of a gadget pays for this loop over a hundred thousand names: it reads bytes, not views.
        let mut named: Vec<(u32, u32)> = Vec::with_capacity(btf.offsets.len());
        for (at, id) in btf.offsets.iter().zip(btf.first_id..) {
            let Some(name) = u32_at(btf.as_bytes(), *at as usize).filter(|offset| *offset != 0) else {
                continue;
            };
            let name = btf.string_from(name).map(essential_part).unwrap_or_default();
            if !name.is_empty() {
                named.push((hash(&seed, name), id));
            }
        }
        let buckets = named.len().next_power_of_two();
        let mask = u32::try_from(buckets - 1).unwrap_or(u32::MAX);
        let mut starts = vec![0u32; buckets + 1];
        for (hash, _) in &named {
            if let Some(count) = starts.get_mut((hash & mask) as usize + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut ids = vec![0u32; named.len()];
        for (hash, id) in &named {
            let Some(slot) = next.get_mut((hash & mask) as usize) else { continue };
            if let Some(place) = ids.get_mut(*slot as usize) {
                *place = *id;
            }
            *slot += 1;
        }
        Self { seed, starts, ids, mask }
    }

    /// Ids of the types whose essential name may be `name`, which has its flavour cut off already: cutting twice would
    /// make `a` of `a___b___c`.
    pub(super) fn candidates(&self, name: &str) -> &[u32] {
        let bucket = (hash(&self.seed, name.as_bytes()) & self.mask) as usize;
        let range = self.starts.get(bucket).zip(self.starts.get(bucket + 1));
        range.and_then(|(start, end)| self.ids.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of the hash do")]
fn hash(seed: &RandomState, name: &[u8]) -> u32 {
    let mut hasher = seed.build_hasher();
    hasher.write(name);
    hasher.finish() as u32
}

/// A type name without its flavour: `task_struct___old` is `task_struct`.
///
/// A flavour starts at the last `___` that has some other character on both sides.
pub fn essential_name(name: &str) -> &str {
    name.get(..essential_part(name.as_bytes()).len()).unwrap_or(name)
}

/// The essential part of the text up to the first NUL.
///
/// Eight bytes at a time, because every load of a gadget looks at a hundred thousand names: each window is searched for
/// NUL and for three underscores in a row. Windows overlap by two, so that no run falls between them.
fn essential_part(text: &[u8]) -> &[u8] {
    const UNDERSCORES: u64 = u64::from_ne_bytes([b'_'; 8]);
    let mut at = 0;
    while let Some(window) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let window = u64::from_le_bytes(*window);
        let underscores = zero_bytes(window ^ UNDERSCORES);
        if underscores & underscores >> 8 & underscores >> 16 != 0 {
            break;
        }
        let nul = zero_bytes(window);
        if nul != 0 {
            return text.get(..at + nul.trailing_zeros() as usize / 8).unwrap_or_default();
        }
        at += 6;
    }
    cut_flavour(text)
}

/// The highest bit of each byte that is zero.
fn zero_bytes(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    // Bytes without their highest bit cannot carry into their neighbours.
    !(((word & LOW) + LOW) | word | LOW)
}

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
