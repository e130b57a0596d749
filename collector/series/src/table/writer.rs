//! Writing: one batch under one lock.

use std::sync::MutexGuard;

use ig_model::InstrumentKind;

use crate::hash::hash;
use crate::spec::NumberKind;
use crate::store::{Row, Store};

/// Writes one batch into a table; holds its lock.
#[derive(Debug)]
pub struct TableWriter<'a> {
    pub(super) store: MutexGuard<'a, Store>,
}

impl TableWriter<'_> {
    /// Finds the row of `key` or makes it; past a limit, answers with the overflow row and counts that.
    ///
    /// # Shape
    /// `key` has the table's `key_len` bytes. A shorter key is padded with zeros, a longer one cut.
    #[inline]
    pub fn row(&mut self, key: &[u8]) -> Row {
        self.store.row(key, hash(key))
    }

    /// [`TableWriter::row`] with the hash already made by [`hash`].
    #[inline]
    pub fn row_hashed(&mut self, key: &[u8], hash: u64) -> Row {
        self.store.row(key, hash)
    }

    /// Begins loading what [`TableWriter::row_hashed`] will read for this hash.
    ///
    /// Call it for about sixteen keys before looking any of them up: their cache misses then overlap.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        std::hint::black_box(self.store.peek(hash));
    }

    /// Adds to a counter. The sum wraps at 2^64.
    #[inline]
    pub fn add_int(&mut self, row: Row, instrument: usize, value: u64) {
        if let Some((cell, number)) = self.store.cell_of(row, instrument) {
            *cell = match number {
                NumberKind::Int => cell.wrapping_add(value),
                NumberKind::Float => (f64::from_bits(*cell) + value as f64).to_bits(),
            };
        }
    }

    /// Adds to a counter; an integer counter takes the whole part. Negative and NaN values are ignored.
    #[inline]
    pub fn add_float(&mut self, row: Row, instrument: usize, value: f64) {
        if value.is_nan() || value < 0.0 {
            return;
        }
        if let Some((cell, number)) = self.store.cell_of(row, instrument) {
            *cell = match number {
                NumberKind::Int => cell.wrapping_add(whole_unsigned(value)),
                NumberKind::Float => (f64::from_bits(*cell) + value).to_bits(),
            };
        }
    }

    /// Sets a gauge.
    #[inline]
    pub fn set_int(&mut self, row: Row, instrument: usize, value: i64) {
        if let Some((cell, number)) = self.store.cell_of(row, instrument) {
            *cell = match number {
                NumberKind::Int => value.cast_unsigned(),
                NumberKind::Float => (value as f64).to_bits(),
            };
        }
    }

    /// Sets a gauge; an integer gauge takes the whole part.
    #[inline]
    pub fn set_float(&mut self, row: Row, instrument: usize, value: f64) {
        if let Some((cell, number)) = self.store.cell_of(row, instrument) {
            *cell = match number {
                NumberKind::Int => whole(value).cast_unsigned(),
                NumberKind::Float => value.to_bits(),
            };
        }
    }

    /// Observes an integer in a histogram. An unsigned value past 2^63 is observed as 2^63 - 1 by the caller.
    #[inline]
    pub fn observe_int(&mut self, row: Row, instrument: usize, value: i64) {
        if let Some((cells, described)) = self.store.cells(row, instrument)
            && described.kind == InstrumentKind::Histogram
        {
            count(cells, described.bounds.bucket_of_int(value), 1);
            add_to_sum(cells, described.number, value.cast_unsigned(), value as f64);
        }
    }

    /// Observes a number in a histogram; an integer histogram takes the whole part into its sum.
    #[inline]
    pub fn observe_float(&mut self, row: Row, instrument: usize, value: f64) {
        if let Some((cells, described)) = self.store.cells(row, instrument)
            && described.kind == InstrumentKind::Histogram
        {
            count(cells, described.bounds.bucket_of_float(value), 1);
            add_to_sum(cells, described.number, whole(value).cast_unsigned(), value);
        }
    }

    /// Imports an array of power-of-two slots into a histogram: slot `i` holds so many observations of `2^i`.
    ///
    /// With the bounds 1, 2, 4, ... slot `i` lands in the bucket of bound `2^i` and none in `+Inf`; with other
    /// bounds, where `2^i` belongs. Slots from 62 on count as `2^62`.
    pub fn add_slots<S>(&mut self, row: Row, instrument: usize, slots: S)
    where
        S: IntoIterator,
        S::Item: Into<u64>,
    {
        let Some((cells, described)) = self.store.cells(row, instrument) else { return };
        if described.kind != InstrumentKind::Histogram {
            return;
        }
        for (i, slot) in slots.into_iter().enumerate() {
            let observed: u64 = slot.into();
            if observed == 0 {
                continue;
            }
            let value = 1i64 << i.min(62);
            count(cells, described.bounds.bucket_of_int(value), observed);
            let raw = observed.wrapping_mul(value.cast_unsigned());
            add_to_sum(cells, described.number, raw, observed as f64 * value as f64);
        }
    }

    /// Begins reading a source as a whole; see [`TableWriter::end_snapshot`].
    pub fn begin_snapshot(&mut self) {
        self.store.begin_snapshot();
    }

    /// Ends the reading: gauges of rows not looked up since [`TableWriter::begin_snapshot`] disappear. Rows of
    /// nothing but gauges are removed.
    pub fn end_snapshot(&mut self) {
        self.store.end_snapshot();
    }

    /// Ends rows idle for the table's stale time, after their last export; walks all rows.
    pub fn sweep(&mut self) {
        self.store.sweep();
    }
}

#[inline]
fn count(cells: &mut [u64], bucket: usize, by: u64) {
    if let Some(cell) = cells.get_mut(1 + bucket) {
        *cell = cell.wrapping_add(by);
    }
}

#[inline]
fn add_to_sum(cells: &mut [u64], number: NumberKind, integer: u64, float: f64) {
    if let Some(sum) = cells.first_mut() {
        *sum = match number {
            NumberKind::Int => sum.wrapping_add(integer),
            NumberKind::Float => (f64::from_bits(*sum) + float).to_bits(),
        };
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
fn whole(value: f64) -> i64 {
    value as i64
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, which is what is wanted")]
fn whole_unsigned(value: f64) -> u64 {
    value as u64
}
