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
            let name = btf.string_bytes(name).unwrap_or_default();
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

    /// Ids of the types whose essential name may be `name`.
    pub(super) fn candidates(&self, name: &str) -> &[u32] {
        let bucket = (hash(&self.seed, name.as_bytes()) & self.mask) as usize;
        let range = self.starts.get(bucket).zip(self.starts.get(bucket + 1));
        range.and_then(|(start, end)| self.ids.get(*start as usize..*end as usize)).unwrap_or_default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "any 32 bits of the hash do")]
fn hash(seed: &RandomState, name: &[u8]) -> u32 {
    let mut hasher = seed.build_hasher();
    hasher.write(name.get(..essential_len(name)).unwrap_or_default());
    hasher.finish() as u32
}

/// A type name without its flavour: `task_struct___old` is `task_struct`.
///
/// A flavour starts at the last `___` that has some other character on both sides.
pub fn essential_name(name: &str) -> &str {
    name.get(..essential_len(name.as_bytes())).unwrap_or(name)
}

fn essential_len(name: &[u8]) -> usize {
    let mut run = 0;
    // Backwards over runs of underscores: one of exactly three, with something before and behind, is the separator.
    for (at, byte) in name.iter().enumerate().rev() {
        if *byte == b'_' {
            run += 1;
            continue;
        }
        if run == 3 && at + 4 < name.len() {
            return at + 1;
        }
        run = 0;
    }
    name.len()
}
