//! What an exporter remembers of the rows it reads: their encoded attributes, and what was accepted of them.

use std::collections::HashSet;
use std::sync::Arc;

use ig_series::{Retired, Subscription};

use super::attributes::Attributes;
use super::delta::{Accepted, Commit};

/// Kept from collection to collection.
#[derive(Debug, Default)]
pub(super) struct RowMemory {
    pub(super) attributes: Attributes,
    pub(super) accepted: Accepted,
    /// Rows that have ended, to be learnt of once the message under way is closed.
    ended: Vec<Arc<Retired>>,
}

impl RowMemory {
    /// Learns which rows have ended.
    ///
    /// False if the message under way has to be closed first: it is `open`, which means that its acceptance will settle
    /// values, and it may hold those of a row which are in another row by now. Call this with a table locked to know
    /// all that has ended in it.
    pub(super) fn catch_up(&mut self, subscription: &Subscription, open: bool) -> bool {
        self.ended.extend(subscription.take_rows());
        if open && self.ended.iter().any(|row| row.successor.is_some()) {
            return false;
        }
        for row in self.ended.drain(..) {
            self.attributes.forget(&row);
            self.accepted.follow(&row);
        }
        true
    }

    /// Books the values of a message that was accepted.
    pub(super) fn commit(&mut self, commit: Commit) {
        self.accepted.commit(commit);
    }

    /// Forgets every table not in `kept`.
    pub(super) fn retain(&mut self, kept: &HashSet<u64>) {
        self.attributes.retain(kept);
        self.accepted.retain(kept);
    }
}
