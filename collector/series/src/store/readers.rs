//! Which exporters have read the rows of one table, and up to when.
//!
//! # Whose values they are
//! A row whose values no exporter has taken may end at once: the overflow series takes them, and every exporter finds
//! them there. A row that some exporter has begun to take may not: what it gained since would be lost to that exporter,
//! and in the overflow series it would be counted twice. Such a row waits for its last export.

use crate::retire::RowId;
use crate::store::records::tick_of_order;

/// How long an exporter that has fallen silent is waited for at least, in ticks: five minutes, after which Prometheus
/// takes a series for ended as well.
const LEAST_PATIENCE: u32 = 5 * 60 * 1000 / 64;

/// The beginning of an exporter's walk over the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// Rows created later have a birth not less than this.
    pub(super) born: u64,
    /// Rows touched later have an order not less than this.
    pub(super) order: u64,
}

impl Horizon {
    /// Whether a row was there when the walk began; others wait for the next one.
    #[inline]
    pub fn includes(self, row: RowId) -> bool {
        row.born < self.born
    }
}

/// The exporters that have read a table as a whole.
#[derive(Debug, Default)]
pub(super) struct Readers {
    /// Rows born before may have been read by an exporter.
    begun_before: u64,
    /// The beginning of the last finished walk of each.
    finished: Vec<(Box<str>, u64)>,
}

impl Readers {
    pub(super) fn begin(&mut self, horizon: Horizon) {
        self.begun_before = self.begun_before.max(horizon.born);
    }

    pub(super) fn finish(&mut self, exporter: &str, horizon: Horizon) {
        match self.finished.iter_mut().find(|(name, _)| **name == *exporter) {
            Some((_, order)) => *order = horizon.order.max(*order),
            None => self.finished.push((exporter.into(), horizon.order)),
        }
    }

    /// Rows born before may have been read.
    pub(super) fn begun_before(&self) -> u64 {
        self.begun_before
    }

    /// Rows touched before this order have been read, with their last values, by each exporter that has read the table
    /// within the stale time, at least five minutes; if there is none, by the last that did.
    pub(super) fn taken_before(&self, now: u32, stale: Option<u32>) -> u64 {
        let patience = stale.unwrap_or(0).max(LEAST_PATIENCE);
        let orders = || self.finished.iter().map(|(_, order)| *order);
        let active = orders().filter(|order| now.saturating_sub(tick_of_order(*order)) < patience);
        active.min().or_else(|| orders().max()).unwrap_or(0)
    }
}
