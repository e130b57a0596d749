//! All tables of the process: registration, sharing over a reload, and the common limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::conflict::{Candidate, Directory, resolve};
use super::labels::LabelPlan;
use super::shape::Shape;
use super::spec::{Labeler, Refusal, TableSpec};
use super::store::{Store, Total};
use super::table::{Lease, Settings, Table, TableInner};
use crate::clock::{Clock, SystemClock};

/// Tables that left while a push exporter could not send: so many are kept for it.
const MOST_RETIRED: usize = 64;

/// Limits over all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Rows of all tables together; overflow rows are not counted.
    pub series_total: usize,
}

/// Why a table cannot be registered at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// There is nothing to count.
    #[error("table of gadget `{gadget}` has no instruments")]
    NoInstruments {
        /// The gadget.
        gadget: String,
    },
    /// A size is beyond all use.
    #[error("table of gadget `{gadget}` has {got} {what}, at most {most} are allowed")]
    TooMany {
        /// The gadget.
        gadget: String,
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        most: usize,
    },
    /// An instrument cannot work as described.
    #[error("metric `{metric}` of gadget `{gadget}` {reason}")]
    Instrument {
        /// The gadget.
        gadget: String,
        /// The instrument's name.
        metric: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A registered table.
#[derive(Debug)]
pub struct Registration {
    /// The handle to write through; keeps the table exposed.
    pub table: Table,
    /// Instruments that are not exposed because another gadget stands in the way.
    pub refused: Vec<Refusal>,
}

/// The set of tables that exporters show. Cheap to clone; clones are the same registry.
#[derive(Clone)]
pub struct Registry {
    pub(super) shared: Arc<Shared>,
}

/// What the clones of a registry share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    total: Arc<Total>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// When each gadget's first table came, while it has any.
    seniority: HashMap<String, u64>,
    directory: Arc<Directory>,
    inboxes: Vec<std::sync::Weak<Inbox>>,
    next_id: u64,
    next_registration: u64,
}

struct Entry {
    table: Arc<TableInner>,
    registered: u64,
    leases: usize,
}

impl Registry {
    /// An empty registry on the clocks of the operating system.
    pub fn new(limits: RegistryLimits) -> Self {
        Self::with_clock(limits, Arc::new(SystemClock::new()))
    }

    /// An empty registry on the given clock.
    pub fn with_clock(limits: RegistryLimits, clock: Arc<dyn Clock>) -> Self {
        let total = Total { rows: AtomicUsize::new(0), limit: AtomicUsize::new(limits.series_total) };
        let shared = Shared { clock, total: Arc::new(total), state: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Changes the limits. Rows beyond a lower limit stay; new ones are refused.
    pub fn set_limits(&self, limits: RegistryLimits) {
        self.shared.total.limit.store(limits.series_total, Ordering::Relaxed);
    }

    /// Rows of all registered tables together.
    pub fn series(&self) -> usize {
        self.shared.total.rows.load(Ordering::Relaxed)
    }

    /// Registers a table.
    ///
    /// If the same gadget already has a table with equal scope, labels, instruments, key length, snapshot mode and
    /// labeler fingerprint, that very table is returned, so counters go on over a reload; its limit, stale time,
    /// exporters, descriptions and labeler become those given here.
    ///
    /// # Errors
    /// [`RegisterError`] if the table cannot work at all. An instrument that merely stands in another gadget's way
    /// is listed in [`Registration::refused`] instead.
    pub fn register(
        &self,
        spec: TableSpec,
        labeler: Box<dyn Labeler>,
    ) -> Result<Registration, RegisterError> {
        let shape = Shape::new(&spec)?;
        let fingerprint = labeler.fingerprint();
        // Declared before the lock so that it drops after it: a labeler may own anything.
        let mut labeler = labeler;
        let mut state = self.shared.state();
        let state = &mut *state;
        state.next_registration += 1;
        let registered = state.next_registration;
        let settings = Settings {
            exporters: spec.exporters.clone(),
            descriptions: spec.instruments.iter().map(|i| i.description.clone()).collect(),
            stale_after: spec.stale_after,
            limit: spec.limit,
        };

        let known = state.entries.iter_mut().find(|entry| same_identity(&entry.table, &spec, fingerprint));
        let table = if let Some(entry) = known {
            entry.leases += 1;
            entry.registered = registered;
            let table = Arc::clone(&entry.table);
            let mut store = table.store();
            std::mem::swap(&mut store.labeler, &mut labeler);
            store.limit = settings.limit;
            if table.settings().stale_after != settings.stale_after {
                store.set_stale_after(settings.stale_after);
            }
            drop(store);
            table.set_settings(settings);
            table
        } else {
            state.next_id += 1;
            let table = self.make(state.next_id, &spec, shape, fingerprint, settings, labeler);
            state.entries.push(Entry { table: Arc::clone(&table), registered, leases: 1 });
            state.seniority.entry(spec.gadget).or_insert(registered);
            table
        };
        state.rebuild();
        let lease = Arc::new(Lease::new(Arc::clone(&table)));
        let refused = table.refused().to_vec();
        Ok(Registration { table: Table { inner: table, lease: Some(lease) }, refused })
    }

    fn make(
        &self,
        id: u64,
        spec: &TableSpec,
        shape: Shape,
        fingerprint: u64,
        settings: Settings,
        labeler: Box<dyn Labeler>,
    ) -> Arc<TableInner> {
        let has_histograms =
            shape.instruments.iter().any(|i| matches!(i.cells, super::shape::Cells::Histogram(_)));
        let shape = Arc::new(shape);
        let labels = Arc::new(LabelPlan::new(&spec.labels, has_histograms));
        let store = Store::new(
            Arc::clone(&shape),
            Arc::clone(&labels),
            labeler,
            Arc::clone(&self.shared.total),
            settings.limit,
            settings.stale_after,
        );
        Arc::new(TableInner::new(
            id,
            spec,
            shape,
            labels,
            fingerprint,
            settings,
            store,
            Arc::downgrade(&self.shared),
        ))
    }

    /// The registered tables. These handles do not keep a table registered.
    pub fn tables(&self) -> Vec<Table> {
        let state = self.shared.state();
        state.entries.iter().map(|e| Table { inner: Arc::clone(&e.table), lease: None }).collect()
    }

    /// Removes or hides the gauges of all tables that are idle for their stale time. Call it now and then.
    pub fn sweep(&self) {
        for table in self.tables() {
            table.write().sweep();
        }
    }

    /// What is exposed at present.
    pub(crate) fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.shared.state().directory)
    }

    /// The clock of the registry.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// Asks to be handed each table that leaves, so that its last values can be sent.
    pub fn subscribe(&self) -> Subscription {
        let inbox = Arc::new(Inbox::default());
        let mut state = self.shared.state();
        state.inboxes.retain(|inbox| inbox.strong_count() > 0);
        state.inboxes.push(Arc::downgrade(&inbox));
        Subscription { inbox, registry: Arc::downgrade(&self.shared) }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("series", &self.series()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up one registration of `table`; the last one takes it out.
    pub(super) fn release(&self, table: &Arc<TableInner>) {
        let mut state = self.state();
        let Some(at) = state.entries.iter().position(|entry| Arc::ptr_eq(&entry.table, table)) else {
            return;
        };
        let Some(entry) = state.entries.get_mut(at) else { return };
        entry.leases = entry.leases.saturating_sub(1);
        if entry.leases > 0 {
            return;
        }
        state.entries.remove(at);
        if !state.entries.iter().any(|entry| entry.table.gadget == table.gadget) {
            state.seniority.remove(&table.gadget);
        }
        table.store().stop_counting();
        for inbox in state.inboxes.iter().filter_map(std::sync::Weak::upgrade) {
            inbox.put(table);
        }
        state.rebuild();
    }
}

impl State {
    fn rebuild(&mut self) {
        let candidates = self
            .entries
            .iter()
            .map(|entry| Candidate {
                gadget_seniority: self.seniority.get(&entry.table.gadget).copied().unwrap_or(u64::MAX),
                registered: entry.registered,
                table: Arc::clone(&entry.table),
            })
            .collect();
        let (directory, mut refused) = resolve(candidates);
        for entry in &self.entries {
            entry.table.set_refused(refused.remove(&entry.table.id).unwrap_or_default());
        }
        self.directory = Arc::new(directory);
    }
}

fn same_identity(table: &TableInner, spec: &TableSpec, fingerprint: u64) -> bool {
    table.gadget == spec.gadget
        && table.scope == spec.scope
        && table.labels.specs() == spec.labels
        && table.shape.key_len == spec.key_len
        && table.snapshot == spec.snapshot
        && table.fingerprint == fingerprint
        && table.instruments.len() == spec.instruments.len()
        && table.instruments.iter().zip(&spec.instruments).all(|(a, b)| a.same_identity(b))
}

/// Tables that have left and are still to be sent.
#[derive(Debug, Default)]
struct Inbox {
    tables: Mutex<Vec<Arc<TableInner>>>,
    overflowed: AtomicBool,
}

impl Inbox {
    fn put(&self, table: &Arc<TableInner>) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.len() >= MOST_RETIRED {
            tables.remove(0);
            self.overflowed.store(true, Ordering::Relaxed);
        }
        tables.push(Arc::clone(table));
    }
}

/// Receives the tables that leave a registry, for as long as it lives.
#[derive(Debug)]
pub struct Subscription {
    inbox: Arc<Inbox>,
    registry: std::sync::Weak<Shared>,
}

impl Drop for Subscription {
    /// Without subscribers nobody needs encoded attributes; they take as much room as the label text.
    fn drop(&mut self) {
        let Some(registry) = self.registry.upgrade() else { return };
        let mut state = registry.state();
        state.inboxes.retain(|inbox| inbox.upgrade().is_some_and(|inbox| !Arc::ptr_eq(&inbox, &self.inbox)));
        if state.inboxes.is_empty() {
            for entry in &state.entries {
                *entry.table.attributes() = crate::otlp::AttributeCache::default();
            }
        }
    }
}

impl Subscription {
    /// Takes what has left since the last call.
    pub(crate) fn take(&self) -> Vec<Arc<TableInner>> {
        std::mem::take(&mut *self.inbox.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a table was dropped unsent because too many had left; reading clears it.
    pub(crate) fn take_overflowed(&self) -> bool {
        self.inbox.overflowed.swap(false, Ordering::Relaxed)
    }
}
