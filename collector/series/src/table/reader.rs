//! Reading: a few hundred rows under one lock.

use std::sync::MutexGuard;

use crate::store::{RowView, Store};

/// Reads rows of a table; holds its lock.
///
/// A walk may let go of the lock and go on from the next position under another: rows keep their positions.
#[derive(Debug)]
pub struct TableReader<'a> {
    pub(super) store: MutexGuard<'a, Store>,
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

    /// Rows created from now on have a birth not less than this.
    pub fn next_born(&self) -> u64 {
        self.store.life.next_born
    }

    /// Notes that an exporter has read every row born before `horizon`, and accounts for their values from now on.
    pub fn mark_read(&mut self, horizon: u64) {
        self.store.mark_read(horizon);
    }
}
