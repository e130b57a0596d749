//! Tables as gadgets write them: a shared handle, and a writer that holds the lock for one batch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::hash::hash;
use super::labels::LabelPlan;
use super::registry::Shared;
use super::shape::{Cells, Shape};
use super::spec::{ExporterFilter, InstrumentSpec, LabelSpec, NumberKind, Refusal};
use super::store::{Row, Store};
use crate::otlp::AttributeCache;

/// What may change while a table lives.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) exporters: ExporterFilter,
    pub(crate) descriptions: Vec<String>,
    pub(crate) stale_after: Option<Duration>,
    pub(crate) limit: usize,
}

/// What all handles of a table share.
#[derive(Debug)]
pub(crate) struct TableInner {
    pub(crate) id: u64,
    pub(crate) gadget: String,
    pub(crate) scope: String,
    pub(crate) instruments: Vec<InstrumentSpec>,
    pub(crate) labels: Arc<LabelPlan>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) fingerprint: u64,
    pub(crate) snapshot: bool,
    pub(super) registry: Weak<Shared>,
    settings: Mutex<Arc<Settings>>,
    refused: Mutex<Arc<[Refusal]>>,
    store: Mutex<Store>,
    /// OTLP attributes; locked after the store.
    attributes: Mutex<AttributeCache>,
}

impl TableInner {
    #[expect(clippy::too_many_arguments, reason = "called once, by the registry")]
    pub(super) fn new(
        id: u64,
        spec: &super::TableSpec,
        shape: Arc<Shape>,
        labels: Arc<LabelPlan>,
        fingerprint: u64,
        settings: Settings,
        store: Store,
        registry: Weak<Shared>,
    ) -> Self {
        Self {
            id,
            gadget: spec.gadget.clone(),
            scope: spec.scope.clone(),
            instruments: spec.instruments.clone(),
            labels,
            shape,
            fingerprint,
            snapshot: spec.snapshot,
            registry,
            settings: Mutex::new(Arc::new(settings)),
            refused: Mutex::new(Arc::default()),
            store: Mutex::new(store),
            attributes: Mutex::default(),
        }
    }

    /// The rows, locked. A writer that panicked left whole words behind, so its poison is ignored.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The encoded attributes of rows. Lock the store first.
    pub(crate) fn attributes(&self) -> MutexGuard<'_, AttributeCache> {
        self.attributes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(super) fn set_refused(&self, refused: Vec<Refusal>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused.into();
    }

    pub(super) fn refused(&self) -> Arc<[Refusal]> {
        Arc::clone(&self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One use of a registered table; gives it up when dropped, once.
#[derive(Debug)]
pub(super) struct Lease {
    table: Arc<TableInner>,
    released: AtomicBool,
}

impl Lease {
    pub(super) fn new(table: Arc<TableInner>) -> Self {
        Self { table, released: AtomicBool::new(false) }
    }

    fn release(&self) {
        // Relaxed: only the swap itself decides who releases; the registry's lock orders the rest.
        if !self.released.swap(true, Ordering::Relaxed)
            && let Some(registry) = self.table.registry.upgrade()
        {
            registry.release(&self.table);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}

/// A handle of a table.
///
/// The handle that [`Registry::register`](super::Registry::register) returned, and its clones, keep the table
/// exposed; it leaves the registry when the last of them is dropped or [`Table::unregister`] is called. Handles
/// from [`Registry::tables`](super::Registry::tables) keep nothing.
#[derive(Clone, Debug)]
pub struct Table {
    pub(super) inner: Arc<TableInner>,
    pub(super) lease: Option<Arc<Lease>>,
}

impl Table {
    /// Locks the table for one batch and reads the clock for it.
    ///
    /// The lock is a plain mutex: hold the writer for a batch, not across waits.
    pub fn write(&self) -> TableWriter<'_> {
        // A registry that is gone has no clock either; the table then keeps the time it had.
        let now = self.inner.registry.upgrade().map(|registry| registry.clock.now());
        let mut store = self.inner.store();
        if let Some(now) = now {
            store.set_now(now);
        }
        TableWriter { store }
    }

    /// Takes the table out of the exposition unless another registration holds it. Push exporters send its last
    /// values once more. Further calls do nothing.
    pub fn unregister(&self) {
        if let Some(lease) = &self.lease {
            lease.release();
        }
    }

    /// The gadget that owns the table.
    pub fn gadget(&self) -> &str {
        &self.inner.gadget
    }

    /// The scope name.
    pub fn scope(&self) -> &str {
        &self.inner.scope
    }

    /// The labels.
    pub fn labels(&self) -> &[LabelSpec] {
        self.inner.labels.specs()
    }

    /// The instruments.
    pub fn instruments(&self) -> &[InstrumentSpec] {
        &self.inner.instruments
    }

    /// Instruments that are not exposed at present, and why. The list changes as other tables come and go.
    pub fn refused(&self) -> Vec<Refusal> {
        self.inner.refused().to_vec()
    }

    /// Whether both handles lead to the same rows.
    pub fn same_table(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What the table holds and what its limits have cost.
    pub fn stats(&self) -> TableStats {
        let store = self.inner.store();
        TableStats {
            series: store.live(),
            limit: store.limit,
            refused_sightings_total: store.counts.refused_sightings,
            refused_series: store.counts.refused.as_ref().map_or(0, super::estimate::Distinct::estimate),
            evicted_total: store.counts.evicted,
            overflow_events: store.counts.overflow_events,
            bytes: store.bytes(),
        }
    }
}

/// What a table holds and what its limits have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Rows, the overflow row not counted.
    pub series: usize,
    /// How many rows it may hold.
    pub limit: usize,
    /// Lookups of keys that a limit kept from becoming a row.
    pub refused_sightings_total: u64,
    /// Different keys among those lookups: an estimate, 3 % standard error.
    pub refused_series: u64,
    /// Idle rows dropped to make room.
    pub evicted_total: u64,
    /// Lookups answered with the overflow row.
    pub overflow_events: u64,
    /// Bytes held by rows, index and label text.
    pub bytes: usize,
}

/// Writes one batch into a table; holds its lock.
#[derive(Debug)]
pub struct TableWriter<'a> {
    store: MutexGuard<'a, Store>,
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

    /// Looks up many keys, lying one after another in `keys`, and appends their rows to `rows`.
    ///
    /// This is the fastest way in: index slots and records of sixteen keys are loaded side by side.
    ///
    /// # Shape
    /// `keys` is a whole number of keys of `key_len` bytes; a remainder is ignored. Without any key bytes (a table
    /// without labels) nothing is appended: use [`TableWriter::row`].
    pub fn rows(&mut self, keys: &[u8], rows: &mut Vec<Row>) {
        const GROUP: usize = 16;
        let len = self.store.shape.key_len;
        if len == 0 {
            return;
        }
        let mut hashes = [0u64; GROUP];
        let mut slots = [0u64; GROUP];
        for group in keys.chunks(len * GROUP) {
            let group = group.chunks_exact(len);
            for (known, key) in hashes.iter_mut().zip(group.clone()) {
                *known = hash(key);
            }
            for (slot, known) in slots.iter_mut().zip(&hashes).take(group.len()) {
                *slot = self.store.peek(*known);
            }
            let mut touched = 0;
            for slot in slots.iter().take(group.len()) {
                touched ^= self.store.peek_record(*slot);
            }
            std::hint::black_box(touched);
            rows.extend(
                group
                    .zip(hashes.iter().zip(&slots))
                    .map(|(key, (known, slot))| self.store.row_peeked(key, *known, *slot)),
            );
        }
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
            && let Cells::Histogram(bounds) = &described.cells
        {
            count(cells, bounds.bucket_of_int(value), 1);
            add_to_sum(cells, described.number, value.cast_unsigned(), value as f64);
        }
    }

    /// Observes a number in a histogram; an integer histogram takes the whole part into its sum.
    #[inline]
    pub fn observe_float(&mut self, row: Row, instrument: usize, value: f64) {
        if let Some((cells, described)) = self.store.cells(row, instrument)
            && let Cells::Histogram(bounds) = &described.cells
        {
            count(cells, bounds.bucket_of_float(value), 1);
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
        let Cells::Histogram(bounds) = &described.cells else { return };
        for (i, slot) in slots.into_iter().enumerate() {
            let observed: u64 = slot.into();
            if observed == 0 {
                continue;
            }
            let value = 1i64 << i.min(62);
            count(cells, bounds.bucket_of_int(value), observed);
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

    /// Removes or hides gauges idle for the table's stale time; walks all rows.
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
