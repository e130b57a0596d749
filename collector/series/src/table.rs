//! Tables as gadgets write and exporters read them: a shared handle, and guards that hold the lock for one batch.

mod reader;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use reader::TableReader;
pub use writer::TableWriter;

use crate::estimate::Distinct;
use crate::labels::LabelPlan;
use crate::registry::Shared;
use crate::retire::Retirements;
use crate::shape::{Instrument, Shape};
use crate::spec::{ExporterFilter, InstrumentSpec, LabelSpec, Refusal, TableSpec};
use crate::store::Store;

/// What may change while a table lives, beside the limits of its store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) exporters: ExporterFilter,
    pub(crate) descriptions: Vec<String>,
}

/// What all handles of a table share.
#[derive(Debug)]
pub(crate) struct TableInner {
    id: u64,
    gadget: String,
    scope: String,
    instruments: Vec<InstrumentSpec>,
    labels: Arc<LabelPlan>,
    shape: Arc<Shape>,
    fingerprint: u64,
    snapshot: bool,
    registry: Weak<Shared>,
    settings: Mutex<Arc<Settings>>,
    refused: Mutex<Arc<[Refusal]>>,
    store: Mutex<Store>,
}

impl TableInner {
    pub(crate) fn new(
        id: u64,
        spec: &TableSpec,
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
            labels: store.labels(),
            shape: store.shape(),
            fingerprint,
            snapshot: spec.snapshot,
            registry,
            settings: Mutex::new(Arc::new(settings)),
            refused: Mutex::new(Arc::default()),
            store: Mutex::new(store),
        }
    }

    /// Whether a table of `spec` would count the same things under the same keys, so that this one may go on as it.
    pub(crate) fn continues(&self, spec: &TableSpec, fingerprint: u64) -> bool {
        self.gadget == spec.gadget
            && self.scope == spec.scope
            && self.labels.specs() == spec.labels
            && self.shape.key_len == spec.key_len
            && self.snapshot == spec.snapshot
            && self.fingerprint == fingerprint
            && self.instruments.len() == spec.instruments.len()
            && self.instruments.iter().zip(&spec.instruments).all(|(a, b)| a.same_identity(b))
    }

    /// The rows, locked. A writer that panicked left whole words behind, so its poison is ignored.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_settings(&self, settings: Settings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// As they were found last.
    pub(crate) fn refused(&self) -> Vec<Refusal> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).to_vec()
    }

    pub(crate) fn set_refused(&self, refused: Vec<Refusal>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused.into();
    }
}

/// One use of a registered table; gives it up when dropped, once.
#[derive(Debug)]
pub(crate) struct Lease {
    table: Arc<TableInner>,
    released: AtomicBool,
}

impl Lease {
    pub(crate) fn new(table: Arc<TableInner>) -> Self {
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
/// The handle that [`Registry::register`](crate::Registry::register) returned, and its clones, keep the table
/// exposed; it leaves the registry when the last of them is dropped or [`Table::unregister`] is called. Handles
/// from [`Registry::tables`](crate::Registry::tables) keep nothing.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) inner: Arc<TableInner>,
    pub(crate) lease: Option<Arc<Lease>>,
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

    /// Locks the table for reading some rows; hold it as short as a writer.
    pub fn read(&self) -> TableReader<'_> {
        TableReader { store: self.inner.store(), registry: &self.inner.registry }
    }

    /// Renders the label text of `key` anew, because the labeler has learnt something; true if the text has changed.
    ///
    /// Exporters see the end of one series and the start of another, which takes the values along; if another row
    /// shows the new text already, the two become one, so sums stay exact. Where several keys have written to the row,
    /// what they added cannot be told apart and stays under the old text; the key goes on with a row of its own.
    pub fn invalidate(&self, key: &[u8]) -> bool {
        self.write().store.invalidate(key)
    }

    /// [`Table::invalidate`] for every key for which `matches` holds; returns how many texts have changed. Walks all
    /// rows under the table's lock.
    pub fn invalidate_where(&self, matches: impl FnMut(&[u8]) -> bool) -> usize {
        self.write().store.invalidate_where(matches)
    }

    /// Ends the series of every key for which `matches` holds, because what it stands for has ended, such as a
    /// container; returns how many. Walks all rows under the table's lock.
    ///
    /// What no exporter has read is added to the overflow series; what has been read ends at the next
    /// [`Registry::sweep`](crate::Registry::sweep) after its last export, unless the key returns. A row that several keys
    /// have written to ends with the last of them.
    pub fn retire_where(&self, matches: impl FnMut(&[u8]) -> bool) -> usize {
        self.write().store.retire_where(matches)
    }

    /// Takes the table out of the exposition unless another registration holds it. Push exporters send its last
    /// values once more. Further calls do nothing.
    pub fn unregister(&self) {
        if let Some(lease) = &self.lease {
            lease.release();
        }
    }

    /// What tells the table from all others of the registry, now and ever.
    pub fn id(&self) -> u64 {
        self.inner.id
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

    /// What reads the label text of its rows.
    pub fn label_plan(&self) -> &LabelPlan {
        &self.inner.labels
    }

    /// The instruments.
    pub fn instruments(&self) -> &[InstrumentSpec] {
        &self.inner.instruments
    }

    /// Where the cells of each instrument lie.
    pub fn layout(&self) -> &[Instrument] {
        &self.inner.shape.instruments
    }

    /// Whether the exporter of this name shows the table.
    pub fn is_shown_by(&self, exporter: &str) -> bool {
        self.inner.settings().exporters.allows(exporter)
    }

    /// The sentence that describes an instrument at present; may be empty.
    pub fn description(&self, instrument: usize) -> String {
        self.inner.settings().descriptions.get(instrument).cloned().unwrap_or_default()
    }

    /// Instruments that are not exposed at present, and why. The list changes as other tables come and go.
    pub fn refused(&self) -> Vec<Refusal> {
        if let Some(registry) = self.inner.registry.upgrade() {
            registry.refresh();
        }
        self.inner.refused()
    }

    /// Whether both handles lead to the same rows.
    pub fn same_table(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What the table holds and what its limits have cost.
    pub fn stats(&self) -> TableStats {
        let store = self.inner.store();
        let life = &store.life;
        TableStats {
            series: life.live,
            limit: life.limits.rows,
            refused_sightings_total: life.counts.refused_sightings,
            refused_series: life.counts.refused.as_ref().map_or(0, Distinct::estimate),
            retired: life.counts.retired,
            folded_total: life.counts.folded,
            overflow_events: life.counts.overflow_events,
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
    /// Series that have ended, by reason.
    pub retired: Retirements,
    /// Those of them whose values are in the overflow row.
    pub folded_total: u64,
    /// Lookups answered with the overflow row.
    pub overflow_events: u64,
    /// Bytes held by rows, index and label text.
    pub bytes: usize,
}
