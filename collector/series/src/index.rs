//! Open addressing from a hash to a record, linear probing, eight bytes a slot.
//!
//! A slot holds 32 bits of hash beside the place of the record, so a probe touches the record only when it is
//! almost surely the one, and growing needs no key.

/// Fewest slots; a power of two.
const LEAST: usize = 32;

/// Maps hash tags to nonzero places.
#[derive(Debug)]
pub(crate) struct Index {
    /// `tag << 32 | place`; zero is empty. The length is a power of two.
    slots: Vec<u64>,
    used: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; LEAST], used: 0 }
    }

    /// The tag of a 64-bit hash.
    #[inline]
    pub(crate) fn tag(hash: u64) -> u32 {
        (hash >> 32) as u32
    }

    #[inline]
    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// Reads the slot where a probe would begin; reading many before probing lets their cache misses overlap.
    #[inline]
    pub(crate) fn peek(&self, tag: u32) -> u64 {
        self.slots.get(tag as usize & self.mask()).copied().unwrap_or(0)
    }

    /// Finds the place of the entry with this tag for which `matches` holds.
    #[inline]
    pub(crate) fn find(&self, tag: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.mask();
        let mut at = tag as usize & mask;
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if Self::tag(slot) == tag {
                let place = place_of(slot);
                if matches(place) {
                    return Some(place);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds an entry; the caller has made sure that it is new. `place` must not be zero.
    pub(crate) fn insert(&mut self, tag: u32, place: u32) {
        debug_assert_ne!(place, 0, "zero marks an empty slot");
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.put(u64::from(tag) << 32 | u64::from(place));
        self.used += 1;
    }

    /// Removes the entry with this tag and place, closing the gap so that no probe is cut short.
    pub(crate) fn remove(&mut self, tag: u32, place: u32) {
        let mask = self.mask();
        let wanted = u64::from(tag) << 32 | u64::from(place);
        let mut hole = tag as usize & mask;
        loop {
            match self.slots.get(hole) {
                None | Some(0) => return,
                Some(slot) if *slot == wanted => break,
                Some(_) => hole = (hole + 1) & mask,
            }
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots.get(at).copied().unwrap_or(0);
            if slot == 0 {
                break;
            }
            let home = Self::tag(slot) as usize & mask;
            // The entry may fall back into the hole unless its home lies between the hole and itself.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.set(hole, slot);
                hole = at;
            }
        }
        self.set(hole, 0);
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![0; old.len() * 2];
        for slot in old {
            if slot != 0 {
                self.put(slot);
            }
        }
    }

    fn put(&mut self, entry: u64) {
        let mask = self.mask();
        let mut at = Self::tag(entry) as usize & mask;
        while self.slots.get(at).is_some_and(|slot| *slot != 0) {
            at = (at + 1) & mask;
        }
        self.set(at, entry);
    }

    fn set(&mut self, at: usize, entry: u64) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = entry;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the place is the low half of a slot")]
pub(crate) fn place_of(slot: u64) -> u32 {
    slot as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: entries come and go in any order, with tags that often share a home slot.
        /// Guarantees: the index answers as a map from tag and place would.
        #[test]
        fn behaves_as_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..48, 1u32..6), 0..200)) {
            let mut index = Index::new();
            let mut model = HashSet::new();
            for (add, tag, place) in steps {
                let known = model.contains(&(tag, place));
                if add && !known {
                    index.insert(tag, place);
                    model.insert((tag, place));
                } else if !add {
                    index.remove(tag, place);
                    model.remove(&(tag, place));
                }
                let found = index.find(tag, |p| p == place).is_some();
                prop_assert_eq!(found, add);
            }
            for tag in 0..48 {
                for place in 1..6 {
                    let found = index.find(tag, |p| p == place).is_some();
                    prop_assert_eq!(found, model.contains(&(tag, place)));
                }
            }
            prop_assert_eq!(index.used, model.len());
        }
    }
}
