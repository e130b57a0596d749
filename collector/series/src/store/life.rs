//! How rows begin and end: limits, overflow, eviction. [`sweep`](super::sweep) decides when idle rows end.
//!
//! # Invariants
//! - `live` rows are in the keys' and texts' indices or were; the overflow row is not among them.
//! - While the table is registered, its live rows are counted in the registry's total.
//! - A row ends in [`Store::retire`] and nowhere else.

use std::sync::Arc;

use crate::estimate::Distinct;
use crate::evict::Evictor;
use crate::index::Index;
use crate::retire::{Extent, RetireReason, Retired, Retirements, RowId};
use crate::store::meta::Meta;
use crate::store::readers::{Horizon, Readers};
use crate::store::records::{HIDDEN, order_of, tick_of};
use crate::store::{Commons, Limits, Row, Store};

/// What has happened in a table.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Lookups answered with the overflow row.
    pub(crate) overflow_events: u64,
    /// Retired rows whose values are in the overflow row.
    pub(crate) folded: u64,
    pub(crate) refused_sightings: u64,
    pub(crate) refused: Option<Distinct>,
    pub(crate) retired: Retirements,
}

/// The bookkeeping of beginnings and ends.
pub(crate) struct Life {
    pub(crate) limits: Limits,
    pub(crate) counts: Counts,
    /// Rows that hold a series, the overflow row not among them.
    pub(crate) live: usize,
    /// Rows created from now on have a birth not less than this.
    pub(crate) next_born: u64,
    /// Who has read the rows.
    pub(super) readers: Readers,
    /// No row can be due for a sweep before this tick.
    pub(super) next_due: u32,
    /// Wall time of the batch under way, nanoseconds.
    pub(super) now: u64,
    pub(super) commons: Arc<Commons>,
    evictor: Evictor,
    /// Rows count against the total; false once the table has left the registry.
    counted: bool,
}

impl Life {
    pub(super) fn new(limits: Limits, commons: Arc<Commons>) -> Self {
        Self {
            limits,
            counts: Counts::default(),
            live: 0,
            next_born: 1,
            readers: Readers::default(),
            next_due: 0,
            now: 0,
            commons,
            evictor: Evictor::new(limits.stale_after),
            counted: true,
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        if self.limits.stale_after != limits.stale_after {
            self.evictor = Evictor::new(limits.stale_after);
            self.next_due = 0;
        }
        self.limits = limits;
    }

    #[inline]
    pub(super) fn uses_overflow(&self) -> bool {
        self.counts.overflow_events + self.counts.folded > 0
    }

    /// The stale time in ticks.
    pub(super) fn stale_ticks(&self) -> Option<u32> {
        self.evictor.stale_ticks()
    }

    pub(super) fn take_born(&mut self) -> u64 {
        self.next_born += 1;
        self.next_born - 1
    }

    fn return_place(&mut self) {
        self.live = self.live.saturating_sub(1);
        if self.counted {
            self.commons.give(1);
        }
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").field("live", &self.live).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Store {
    // ---- beginnings ----

    /// Makes the row of a table whose only label set is known from the start, so that its first event is seen as an
    /// increase. Its gauges wait for a value.
    pub(crate) fn begin_known(&mut self) {
        if self.is_known() && self.life.limits.rows > 0 && self.life.commons.has_room() {
            let row = self.row(&[], crate::hash::hash(&[]));
            self.records.set_stamp(row.0, self.records.stamp | HIDDEN);
        }
    }

    #[cold]
    pub(super) fn create(&mut self, key: &[u8], hash: u64) -> Row {
        let text = self.texts.render(key);
        let row = self.create_with_text(key, hash, &text);
        self.texts.put_away(text);
        row
    }

    fn create_with_text(&mut self, key: &[u8], hash: u64, text: &[u8]) -> Row {
        let tag = self.texts.tag(text);
        if let Some(place) = self.texts.find(tag, text, &self.records) {
            self.records.touch(place);
            self.keys.add_alias(key, hash, place, self.life.limits.rows, &mut self.records);
            return Row(place);
        }
        if !self.take_place() {
            return self.refuse(hash);
        }
        let Some(place) = self.records.allocate(key) else {
            self.life.return_place();
            return self.refuse(hash);
        };
        let Some(span) = self.texts.insert(tag, text, place) else {
            self.records.give_back(place);
            self.life.return_place();
            return self.refuse(hash);
        };
        let born = self.life.take_born();
        self.records.set_meta(place, Meta::of_row(span, self.life.now, born));
        self.keys.index.insert(Index::tag(hash), place);
        Row(place)
    }

    /// Counts one more row against both limits, making room by eviction where that is allowed.
    fn take_place(&mut self) -> bool {
        if self.life.live >= self.life.limits.rows && !self.evict_one() {
            return false;
        }
        if self.life.counted && !self.life.commons.take() && !(self.evict_one() && self.life.commons.take()) {
            return false;
        }
        self.life.live += 1;
        true
    }

    fn refuse(&mut self, hash: u64) -> Row {
        self.life.counts.refused_sightings += 1;
        self.life.counts.refused.get_or_insert_with(Distinct::new).add(hash);
        self.begin_overflow(self.life.now);
        self.life.counts.overflow_events += 1;
        self.records.touch(0);
        Row::OVERFLOW
    }

    /// Dates the overflow row if it is not in use yet.
    fn begin_overflow(&mut self, start: u64) {
        if !self.life.uses_overflow()
            && let Some(meta) = self.records.meta_mut(0)
        {
            meta.start = start;
        }
    }

    // ---- ends ----

    /// Ends a row, whatever the reason. `successor` is the row that its values were added to; without one, the
    /// overflow row takes them where the reason says so and nobody has read them.
    pub(super) fn retire(&mut self, place: u32, reason: RetireReason, successor: Option<RowId>) {
        let successor = successor.or_else(|| self.fold(place, reason));
        self.note(place, reason, Extent::Row, successor);
        self.remove(place);
    }

    /// Counts the end of a row or its gauges, and tells whoever wants to know.
    pub(super) fn note(
        &mut self,
        place: u32,
        reason: RetireReason,
        extent: Extent,
        successor: Option<RowId>,
    ) {
        self.life.counts.retired[reason] += 1;
        let meta = self.records.meta(place);
        self.life.commons.log.note_row(|| Retired {
            table: self.table,
            row: RowId { position: self.records.position(place), born: meta.born() },
            reason,
            extent,
            start: meta.start,
            end: self.life.now,
            text: self.texts.get(meta.text).into(),
            cells: self.records.all_cells(place).into(),
            successor,
        });
    }

    fn fold(&mut self, place: u32, reason: RetireReason) -> Option<RowId> {
        let meta = self.records.meta(place);
        if !reason.folds() || self.records.shape.gauges_only || meta.is_read(self.life.readers.begun_before())
        {
            return None;
        }
        if !self.life.uses_overflow() {
            self.begin_overflow(meta.start);
            // Its gauges were never set.
            self.records.set_stamp(0, self.records.stamp | HIDDEN);
        }
        self.records.add_cells(place, 0, false);
        self.life.counts.folded += 1;
        Some(RowId::OVERFLOW)
    }

    fn remove(&mut self, place: u32) {
        let meta = self.records.meta(place);
        self.keys.forget(place, &mut self.records);
        self.texts.remove(meta.text, place);
        self.records.give_back(place);
        self.life.return_place();
        self.texts.compact(&mut self.records.meta);
    }

    fn evict_one(&mut self) -> bool {
        let taken = self.taken_before();
        let begun = self.life.readers.begun_before();
        let records = &self.records;
        let victim = self.life.evictor.next(records.tick(), records.positions(), |position| {
            let place = records.place(position)?;
            let stamp = records.stamp_of(place);
            let is_taken = order_of(stamp) < taken || !records.meta(place).is_read(begun);
            let may_go = records.shape.gauges_only || is_taken;
            (records.is_row(place) && may_go).then(|| tick_of(stamp))
        });
        let Some(place) = victim.and_then(|position| self.records.place(position)) else { return false };
        self.retire(place, RetireReason::Evicted, None);
        true
    }

    /// Ends all rows at once as their table leaves: they no longer count, but can be read until the last handle goes.
    pub(crate) fn retire_all(&mut self) {
        if self.life.counted {
            self.life.counts.retired[RetireReason::Unregistered] += self.life.live as u64;
            self.life.commons.give(self.life.live);
            self.life.counted = false;
        }
    }

    /// Begins an exporter's walk over all rows.
    pub(crate) fn begin_walk(&mut self) -> Horizon {
        let horizon = Horizon { born: self.life.next_born, order: self.records.next_walk() };
        self.life.readers.begin(horizon);
        horizon
    }

    /// Notes that an exporter has taken what rows held at `horizon`.
    pub(crate) fn end_walk(&mut self, exporter: &str, horizon: Horizon) {
        self.life.readers.finish(exporter, horizon);
    }
}
