//! The rows of one table, in parts: records, the keys that lead to them, their label text; and what joins these.
//!
//! This file finds rows; [`life`] begins and ends them, [`sweep`] ends those that are idle, [`relabel`] corrects their
//! text.

mod commons;
mod keys;
mod life;
mod meta;
mod readers;
mod records;
mod relabel;
mod sweep;
mod texts;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use commons::Commons;
use keys::Keys;
use life::Life;
pub use readers::Horizon;
use records::{ALIAS, FREE, HIDDEN, Records};
use texts::Texts;

use crate::clock::Moment;
use crate::hash::hash;
use crate::index::Index;
use crate::labels::LabelPlan;
use crate::retire::RowId;
use crate::shape::{Instrument, Shape};
use crate::spec::{Labeler, NumberKind};

/// A row of a table, found by [`TableWriter::row`](crate::TableWriter::row).
///
/// It is good for as long as the writer that returned it; used later, values may land in another row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row(u32);

impl Row {
    /// The row that takes what the limits keep out.
    pub const OVERFLOW: Self = Self(0);

    /// Whether this is the overflow row.
    pub fn is_overflow(self) -> bool {
        self == Self::OVERFLOW
    }
}

/// One row as an exporter reads it.
#[derive(Debug)]
pub struct RowView<'a> {
    /// Which row it is; its position is stable for its life.
    pub id: RowId,
    /// Label text, to be read by the table's [`LabelPlan`]; empty for the overflow row.
    pub text: &'a [u8],
    /// It stands for what a limit kept out.
    pub overflow: bool,
    /// The gauges are out of date; [`RowView::hides`] tells which are not to be shown.
    pub hides_gauges: bool,
    /// Wall time at which the values began, nanoseconds.
    pub start: u64,
    record: &'a [u64],
}

impl<'a> RowView<'a> {
    /// The cells of an instrument of the table, laid out as [`Instrument`] says.
    #[inline]
    pub fn cells(&self, instrument: &Instrument) -> &'a [u64] {
        self.record.get(instrument.offset..instrument.offset + instrument.width()).unwrap_or_default()
    }

    /// Whether the row has nothing to show of an instrument: of a gauge that is out of date, and, in the overflow row,
    /// of one whose values of several keys make no sense together.
    #[inline]
    pub fn hides(&self, instrument: &Instrument) -> bool {
        instrument.is_gauge() && (self.hides_gauges || (self.overflow && !instrument.adds_up))
    }
}

/// What bounds the rows of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows: usize,
    pub(crate) stale_after: Option<Duration>,
}

/// The rows of one table.
pub(crate) struct Store {
    table: u64,
    records: Records,
    keys: Keys,
    texts: Texts,
    pub(crate) life: Life,
}

impl Store {
    pub(crate) fn new(
        table: u64,
        shape: Arc<Shape>,
        labels: Arc<LabelPlan>,
        labeler: Box<dyn Labeler>,
        limits: Limits,
        commons: Arc<Commons>,
    ) -> Self {
        Self {
            table,
            records: Records::new(shape),
            keys: Keys::new(),
            texts: Texts::new(labels, labeler),
            life: Life::new(limits, commons),
        }
    }

    /// Goes on under another labeler, which is swapped with the one in use, and other limits.
    pub(crate) fn succeed(&mut self, labeler: &mut Box<dyn Labeler>, limits: Limits) {
        std::mem::swap(&mut self.texts.labeler, labeler);
        self.life.set_limits(limits);
    }

    /// Sets the time of the batch that begins.
    pub(crate) fn set_now(&mut self, now: Moment) {
        self.life.now = now.unix_nanos;
        self.records.set_tick(tick(now.elapsed));
    }

    /// Bytes held by the rows, their index and their text.
    pub(crate) fn bytes(&self) -> usize {
        self.records.bytes() + self.keys.index.bytes() + self.texts.bytes()
    }

    // ---- reading ----

    pub(crate) fn shape(&self) -> Arc<Shape> {
        Arc::clone(&self.records.shape)
    }

    pub(crate) fn labels(&self) -> Arc<LabelPlan> {
        Arc::clone(&self.texts.plan)
    }

    /// Records, free ones and the overflow row included: the range of [`Self::view`].
    #[inline]
    pub(crate) fn positions(&self) -> usize {
        self.records.positions()
    }

    /// The row at `position`, unless nothing is shown there.
    #[inline]
    pub(crate) fn view(&self, position: usize) -> Option<RowView<'_>> {
        let record = self.records.record(position)?;
        let stamp = *record.first()?;
        if stamp & (FREE | ALIAS) != 0 {
            return None;
        }
        let meta = self.records.meta.get(position)?;
        let overflow = position == 0;
        if overflow && !self.life.uses_overflow() {
            return None;
        }
        Some(RowView {
            id: RowId { position, born: meta.born() },
            text: self.texts.get(meta.text),
            overflow,
            hides_gauges: stamp & HIDDEN != 0,
            start: meta.start,
            record,
        })
    }

    // ---- finding ----

    /// Starts fetching what [`Self::row`] will need.
    #[inline]
    pub(crate) fn peek(&self, hash: u64) -> u64 {
        self.keys.index.peek(Index::tag(hash))
    }

    /// Finds or makes the row of `key` and marks it as touched.
    #[inline]
    pub(crate) fn row(&mut self, key: &[u8], hash: u64) -> Row {
        if key.len() != self.records.key_len {
            return self.row_of_odd_key(key);
        }
        match self.keys.index.find(Index::tag(hash), |place| self.records.has_key(place, key)) {
            Some(place) if self.records.touch_row(place) => Row(place),
            Some(place) => self.row_by_alias(place, key, hash),
            None => self.create(key, hash),
        }
    }

    /// A key of another length is a mistake of the caller; it is padded or cut rather than lost.
    #[cold]
    fn row_of_odd_key(&mut self, key: &[u8]) -> Row {
        debug_assert_eq!(key.len(), self.records.key_len, "key length differs from the table's");
        let mut padded = key.to_vec();
        padded.resize(self.records.key_len, 0);
        let hash = hash(&padded);
        self.row(&padded, hash)
    }

    /// Follows an alias, or forgets it if its row has gone or changed.
    #[cold]
    fn row_by_alias(&mut self, place: u32, key: &[u8], hash: u64) -> Row {
        if let Some(target) = Keys::target(place, &self.records) {
            self.records.touch(target);
            return Row(target);
        }
        self.keys.forget_alias(place, &mut self.records);
        self.create(key, hash)
    }

    // ---- cells ----

    /// The only cell of a counter or gauge.
    #[inline]
    pub(crate) fn cell_of(&mut self, row: Row, instrument: usize) -> Option<(&mut u64, NumberKind)> {
        self.records.cell_of(row, instrument)
    }

    /// The cells of `instrument` in `row`, with what describes them.
    #[inline]
    pub(crate) fn cells(&mut self, row: Row, instrument: usize) -> Option<(&mut [u64], &Instrument)> {
        self.records.cells(row, instrument)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("table", &self.table).field("life", &self.life).finish_non_exhaustive()
    }
}

/// Ticks of 64 milliseconds: 32 bits last for eight years.
pub(crate) fn tick(elapsed: Duration) -> u32 {
    u32::try_from(elapsed.as_millis() >> 6).unwrap_or(u32::MAX)
}
