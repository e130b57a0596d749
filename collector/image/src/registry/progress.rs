//! What a transfer tells while it is under way.

use std::time::Duration;

use crate::Digest;

/// A step of a transfer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TransferEvent {
    /// A blob begins to move; `done` bytes of it are there from an earlier try.
    Started {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// Bytes that need not move again.
        done: u64,
    },
    /// So many bytes of the blob have moved.
    Moved {
        /// The blob.
        digest: Digest,
        /// Bytes from its beginning.
        done: u64,
    },
    /// The blob is complete where it should be.
    Finished {
        /// The blob.
        digest: Digest,
    },
    /// The blob was there already.
    Present {
        /// The blob.
        digest: Digest,
    },
    /// Something failed and is tried again after a wait.
    Retrying {
        /// The failure, with its causes.
        reason: String,
        /// The wait.
        wait: Duration,
    },
    /// Something is odd, or failed without harm to the whole.
    Warning {
        /// What it is.
        text: String,
    },
}

/// Hears of each step of a transfer; must not block.
pub trait Progress: Sync {
    /// Takes note of a step.
    fn step(&self, event: TransferEvent);
}

/// Shows nothing to anybody.
impl Progress for () {
    fn step(&self, _event: TransferEvent) {}
}

impl<F: Fn(TransferEvent) + Sync> Progress for F {
    fn step(&self, event: TransferEvent) {
        self(event);
    }
}
