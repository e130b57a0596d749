//! What became of one signal of an exporter, for the collector's own metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why items did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue was full.
    QueueFull,
    /// The receiver could not be reached, or was busy, for as long as retrying is allowed.
    RetriesExhausted,
    /// The receiver refused the message for good.
    Refused,
    /// The process, or the exporter, stopped before the message was delivered.
    Shutdown,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::QueueFull, Self::RetriesExhausted, Self::Refused, Self::Shutdown];

    /// The value of a `reason` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Refused => "refused",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Counts of one signal since the exporter was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtlpStats {
    /// Rounds over what there is to send.
    pub collections: u64,
    /// Rounds left out because the last one was still under way (delta only).
    pub collections_skipped: u64,
    /// Messages accepted.
    pub exported_batches: u64,
    /// Items (data points, spans, log records) accepted.
    pub exported_items: u64,
    /// Bytes of accepted messages, before compression.
    pub exported_bytes: u64,
    /// Items the receiver rejected within messages it accepted.
    pub rejected_items: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Messages dropped, by [`DropReason::ALL`].
    pub dropped_batches: [u64; 4],
    /// Items dropped, by [`DropReason::ALL`].
    pub dropped_items: [u64; 4],
    /// Messages given up whose values travel in later ones (delta temporality).
    pub deferred_batches: u64,
    /// Items of these messages.
    pub deferred_items: u64,
    /// Rows that ended without the receiver being told.
    pub ends_lost: u64,
    /// Tables that left and were forgotten before their last values could be sent.
    pub tables_lost: u64,
    /// Bytes waiting.
    pub queue_bytes: usize,
    /// When the receiver last accepted something, nanoseconds since 1970; zero if never.
    pub last_success_unix_nanos: u64,
    /// The last error, kept after recovery.
    pub last_error: Option<String>,
}

impl OtlpStats {
    /// Items dropped for any reason.
    pub fn all_dropped_items(&self) -> u64 {
        self.dropped_items.iter().sum()
    }

    /// These counts and those of another signal of the same exporter together.
    pub(super) fn merged(self, other: Self) -> Self {
        let Self {
            collections,
            collections_skipped,
            exported_batches,
            exported_items,
            exported_bytes,
            rejected_items,
            failed_attempts,
            dropped_batches,
            dropped_items,
            deferred_batches,
            deferred_items,
            ends_lost,
            tables_lost,
            queue_bytes,
            last_success_unix_nanos,
            last_error,
        } = other;
        let sums = |mut ours: [u64; 4], theirs: [u64; 4]| {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| *ours += theirs);
            ours
        };
        Self {
            collections: self.collections + collections,
            collections_skipped: self.collections_skipped + collections_skipped,
            exported_batches: self.exported_batches + exported_batches,
            exported_items: self.exported_items + exported_items,
            exported_bytes: self.exported_bytes + exported_bytes,
            rejected_items: self.rejected_items + rejected_items,
            failed_attempts: self.failed_attempts + failed_attempts,
            dropped_batches: sums(self.dropped_batches, dropped_batches),
            dropped_items: sums(self.dropped_items, dropped_items),
            deferred_batches: self.deferred_batches + deferred_batches,
            deferred_items: self.deferred_items + deferred_items,
            ends_lost: self.ends_lost + ends_lost,
            tables_lost: self.tables_lost + tables_lost,
            queue_bytes: self.queue_bytes + queue_bytes,
            last_success_unix_nanos: self.last_success_unix_nanos.max(last_success_unix_nanos),
            last_error: self.last_error.or(last_error),
        }
    }

    /// Items dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped_items.get(reason as usize).copied().unwrap_or(0)
    }
}

/// Counts shared between a deliverer and the handle of its exporter.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedStats(Arc<Mutex<OtlpStats>>);

impl SharedStats {
    pub(super) fn lock(&self) -> MutexGuard<'_, OtlpStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dropped(&self, reason: DropReason, items: u64) {
        let mut stats = self.lock();
        if let Some(count) = stats.dropped_batches.get_mut(reason as usize) {
            *count += 1;
        }
        if let Some(count) = stats.dropped_items.get_mut(reason as usize) {
            *count += items;
        }
    }
}
