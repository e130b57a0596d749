//! All tables of the process: registration, sharing over a reload, and the common limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ig_model::InstrumentKind;

use crate::clock::{Clock, SystemClock};
use crate::conflict::{Candidate, append, resolve};
use crate::directory::Directory;
use crate::labels::LabelPlan;
use crate::naming::Naming;
use crate::retire::Subscription;
use crate::shape::Shape;
use crate::spec::{Labeler, Refusal, TableSpec};
use crate::store::{Commons, Limits, Store};
use crate::table::{Lease, Settings, Table, TableInner};

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
    shared: Arc<Shared>,
}

/// What the clones of a registry share. Locked in this order: state, a table's store, the log of what has ended.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    naming: Arc<dyn Naming>,
    /// What the stores of all tables share.
    commons: Arc<Commons>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// When each gadget's first table came, while it has any.
    seniority: HashMap<String, u64>,
    directory: Arc<Directory>,
    /// Tables have gone since the directory was made.
    is_stale: bool,
    next_id: u64,
    next_registration: u64,
}

struct Entry {
    /// Without lease.
    table: Table,
    registered: u64,
    leases: usize,
}

impl Registry {
    /// An empty registry on the clocks of the operating system, whose series are exposed under the names of
    /// `naming`.
    pub fn new(limits: RegistryLimits, naming: Arc<dyn Naming>) -> Self {
        Self::with_clock(limits, naming, Arc::new(SystemClock::new()))
    }

    /// An empty registry on the given clock.
    pub fn with_clock(limits: RegistryLimits, naming: Arc<dyn Naming>, clock: Arc<dyn Clock>) -> Self {
        let commons = Arc::new(Commons::new(limits.series_total));
        Self { shared: Arc::new(Shared { clock, naming, commons, state: Mutex::default() }) }
    }

    /// Changes the limits. Rows beyond a lower limit stay; new ones are refused.
    pub fn set_limits(&self, limits: RegistryLimits) {
        self.shared.commons.set_limit(limits.series_total);
    }

    /// Rows of all registered tables together.
    pub fn series(&self) -> usize {
        self.shared.commons.rows()
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
        };
        let limits = Limits { rows: spec.limit, stale_after: spec.stale_after };

        let known = state.entries.iter_mut().find(|entry| entry.table.inner.continues(&spec, fingerprint));
        let table = if let Some(entry) = known {
            entry.leases += 1;
            entry.registered = registered;
            let table = entry.table.clone();
            table.inner.store().succeed(&mut labeler, limits);
            table.inner.set_settings(settings);
            table
        } else {
            state.next_id += 1;
            let has_histograms = shape.instruments.iter().any(|i| i.kind == InstrumentKind::Histogram);
            let labels = Arc::new(LabelPlan::new(&spec.labels, &*self.shared.naming, has_histograms));
            let commons = Arc::clone(&self.shared.commons);
            let mut store = Store::new(state.next_id, Arc::new(shape), labels, labeler, limits, commons);
            store.set_now(self.shared.clock.now());
            store.begin_known();
            let registry = Arc::downgrade(&self.shared);
            let inner = TableInner::new(state.next_id, &spec, fingerprint, settings, store, registry);
            let table = Table { inner: Arc::new(inner), lease: None };
            state.entries.push(Entry { table: table.clone(), registered, leases: 1 });
            state.seniority.entry(spec.gadget).or_insert(registered);
            table
        };
        state.include(&table, registered, &*self.shared.naming);
        let lease = Arc::new(Lease::new(Arc::clone(&table.inner)));
        Ok(Registration { refused: table.inner.refused(), table: Table { lease: Some(lease), ..table } })
    }

    /// The registered tables. These handles do not keep a table registered.
    pub fn tables(&self) -> Vec<Table> {
        let state = self.shared.state();
        state.entries.iter().map(|entry| entry.table.clone()).collect()
    }

    /// Ends the series of all tables that are idle for their stale time, after their last export. Call it often: it
    /// walks a table only if a series can be due.
    pub fn sweep(&self) {
        for table in self.tables() {
            table.write().sweep();
        }
    }

    /// What is exposed at present.
    pub fn directory(&self) -> Arc<Directory> {
        let mut state = self.shared.state();
        state.refresh(&*self.shared.naming);
        Arc::clone(&state.directory)
    }

    /// The clock of the registry.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// Asks to be told of each row that ends and handed each table that leaves.
    pub fn subscribe(&self) -> Subscription {
        self.shared.commons.log.subscribe()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("series", &self.series()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("commons", &self.commons).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the directory anew if tables have gone since.
    pub(crate) fn refresh(&self) {
        self.state().refresh(&*self.naming);
    }

    /// Gives up one registration of `table`; the last one takes it out.
    pub(crate) fn release(&self, table: &Arc<TableInner>) {
        let mut state = self.state();
        let Some(at) = state.entries.iter().position(|entry| Arc::ptr_eq(&entry.table.inner, table)) else {
            return;
        };
        let Some(entry) = state.entries.get_mut(at) else { return };
        entry.leases = entry.leases.saturating_sub(1);
        if entry.leases > 0 {
            return;
        }
        let Entry { table, .. } = state.entries.remove(at);
        if !state.entries.iter().any(|entry| entry.table.gadget() == table.gadget()) {
            state.seniority.remove(table.gadget());
        }
        table.inner.store().retire_all();
        self.commons.log.note_table(&table);
        state.is_stale = true;
    }
}

impl State {
    /// Brings a table that was registered into the directory. Most tables are in nobody's way: those cost their own size,
    /// so that many of them do not cost the square of their number.
    fn include(&mut self, table: &Table, registered: u64, naming: &dyn Naming) {
        let is_new = self.entries.last().is_some_and(|entry| {
            entry.table.id() == table.id() && entry.leases == 1 && entry.registered == registered
        });
        if is_new && !self.is_stale && append(Arc::make_mut(&mut self.directory), table, naming) {
            table.inner.set_refused(Vec::new());
        } else {
            self.rebuild(naming);
        }
    }

    fn refresh(&mut self, naming: &dyn Naming) {
        if self.is_stale {
            self.rebuild(naming);
        }
    }

    fn rebuild(&mut self, naming: &dyn Naming) {
        let candidates = self
            .entries
            .iter()
            .map(|entry| Candidate {
                gadget_seniority: self.seniority.get(entry.table.gadget()).copied().unwrap_or(u64::MAX),
                registered: entry.registered,
                table: entry.table.clone(),
            })
            .collect();
        let (directory, mut refused) = resolve(candidates, naming);
        for entry in &self.entries {
            entry.table.inner.set_refused(refused.remove(&entry.table.id()).unwrap_or_default());
        }
        self.directory = Arc::new(directory);
        self.is_stale = false;
    }
}
