//! From keys to records: rows, and aliases, which lead further keys to a row that shows what they would.
//!
//! # Invariants
//! - The index holds every alias, and every row under the key that made it, unless that key has left the row since
//!   (its label text was corrected, and the row is shared).
//! - An alias holds place and birth of its row. If another row has taken the place, the alias is forgotten when it is
//!   next met.
//! - There are at most as many aliases as the table may hold rows (at least [`LEAST_ALIASES`]); past that all are
//!   forgotten and learnt anew.

use crate::index::{Index, place_of};
use crate::store::meta::Meta;
use crate::store::records::{ALIAS, Records};

/// Fewest aliases kept before all are forgotten.
const LEAST_ALIASES: usize = 1024;

/// The keys of one table.
pub(super) struct Keys {
    pub(super) index: Index,
    aliases: usize,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { index: Index::new(), aliases: 0 }
    }

    /// Whether `place` is found by the key in its record.
    pub(super) fn holds(&self, place: u32, records: &mut Records) -> bool {
        self.index.find(records.tag_of_key(place), |known| known == place).is_some()
    }

    /// Takes a row out of the index; it stays where it is.
    pub(super) fn forget(&mut self, place: u32, records: &mut Records) {
        self.index.remove(records.tag_of_key(place), place);
    }

    /// The row that an alias leads to, while it lives.
    pub(super) fn target(alias: u32, records: &Records) -> Option<u32> {
        let target = place_of(records.first_cell(alias));
        let same = records.meta(target).born() == records.meta(alias).born();
        (same && records.is_row(target)).then_some(target)
    }

    /// Remembers that `key` renders like the row at `target`.
    pub(super) fn add_alias(
        &mut self,
        key: &[u8],
        hash: u64,
        target: u32,
        limit: usize,
        records: &mut Records,
    ) {
        if self.aliases >= limit.max(LEAST_ALIASES) {
            self.forget_aliases(records);
        }
        if let Some(meta) = records.meta_mut(target) {
            meta.share();
        }
        let Some(place) = records.allocate(key) else { return };
        records.set_stamp(place, ALIAS);
        records.set_meta(place, Meta::of_alias(records.meta(target).born()));
        records.set_first_cell(place, u64::from(target));
        self.index.insert(Index::tag(hash), place);
        self.aliases += 1;
    }

    /// Drops one alias.
    pub(super) fn forget_alias(&mut self, place: u32, records: &mut Records) {
        self.index.remove(records.tag_of_key(place), place);
        self.aliases = self.aliases.saturating_sub(1);
        records.give_back(place);
    }

    /// Drops every alias. Costs a walk, paid for by the aliases made since the last one.
    fn forget_aliases(&mut self, records: &mut Records) {
        for position in 1..records.positions() {
            let Some(place) = records.place(position) else { break };
            if records.is_alias(place) {
                self.forget_alias(place, records);
            }
        }
    }
}
