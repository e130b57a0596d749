//! Reading: a few hundred rows under one lock.

use std::sync::{MutexGuard, Weak};

use crate::registry::Shared;
use crate::store::{Horizon, RowView, Store};

/// Reads rows of a table; holds its lock.
///
/// A walk may let go of the lock and go on from the next position under another: rows keep their positions.
#[derive(Debug)]
pub struct TableReader<'a> {
    pub(super) store: MutexGuard<'a, Store>,
    pub(super) registry: &'a Weak<Shared>,
}

impl TableReader<'_> {
    /// How many positions there are, the overflow row's (the first) and those without a row included.
    #[inline]
    pub fn positions(&self) -> usize {
        self.store.positions()
    }

    /// The row at `position`, unless there is none.
    #[inline]
    pub fn row(&self, position: usize) -> Option<RowView<'_>> {
        self.store.view(position)
    }

    /// Begins an exporter's walk over all rows; rows that come later wait for the next one.
    ///
    /// Values read from now on may be taken by the exporter: until it has ended this walk or a later one, rows do not end
    /// but for the reasons of gauges.
    pub fn begin_walk(&mut self) -> Horizon {
        if let Some(registry) = self.registry.upgrade() {
            self.store.set_now(registry.clock.now());
        }
        self.store.begin_walk()
    }

    /// Ends a walk: `exporter` has delivered what all rows held when it began, and accounts for it from now on.
    pub fn end_walk(&mut self, exporter: &str, horizon: Horizon) {
        self.store.end_walk(exporter, horizon);
    }
}
