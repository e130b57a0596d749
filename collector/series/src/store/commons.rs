//! What the stores of all tables share: the common limit and the log of what has ended.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::retire::RetireLog;

/// Shared by all stores of a registry. The numbers stand alone and guard no other memory, so all orders are relaxed.
#[derive(Debug)]
pub(crate) struct Commons {
    rows: AtomicUsize,
    limit: AtomicUsize,
    pub(crate) log: RetireLog,
}

impl Commons {
    pub(crate) fn new(limit: usize) -> Self {
        Self { rows: AtomicUsize::new(0), limit: AtomicUsize::new(limit), log: RetireLog::default() }
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Rows of all registered tables together.
    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// Whether a place is free.
    pub(super) fn has_room(&self) -> bool {
        self.rows() < self.limit.load(Ordering::Relaxed)
    }

    /// Takes one place, or none if all are taken.
    pub(super) fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.rows
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rows| (rows < limit).then_some(rows + 1))
            .is_ok()
    }

    pub(super) fn give(&self, rows: usize) {
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }
}
