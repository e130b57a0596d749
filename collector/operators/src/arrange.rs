//! Sort and limit: take a fetch whole, and give it on in order and cut.
//!
//! Only what needs it pays: a limit alone holds nothing back, and a sort with a limit keeps about twice as many
//! records as it gives on.

mod operator;

use ig_model::Loss;
use tracing::warn;

use crate::{
    batch::Batch,
    limit::Limit,
    packet::Packet,
    sort::{Sort, SortScratch},
    stage::{Next, Stage},
};

pub(crate) use operator::ArrangeOperator;
pub use operator::{MAX_ENTRIES, NAME, SORT};

/// Bytes of one fetch that are kept to be sorted; what comes after them is left out, with a warning.
const MAX_BATCH: usize = 256 << 20;
/// Records beyond the limit that are kept before the batch is cut.
const SLACK: usize = 4096;

/// Gives on the records of each fetch in order and cut.
#[derive(Debug)]
pub struct Arrange {
    sort: Option<Sort>,
    limit: Option<Limit>,
    batch: Batch,
    scratch: SortScratch,
    /// Records of this fetch given on already, where nothing is sorted.
    given: usize,
    left_out: u64,
}

impl Arrange {
    /// Sorts by `sort`, then keeps as many as `limit` says.
    pub fn new(sort: Option<Sort>, limit: Option<Limit>) -> Self {
        Self { sort, limit, batch: Batch::default(), scratch: SortScratch::default(), given: 0, left_out: 0 }
    }

    /// Sorts what is there and cuts it; what is cut now would be cut at the end, too. Returns how many were cut.
    fn settle(&mut self) -> u64 {
        if let Some(sort) = &self.sort {
            sort.sort(&mut self.batch, &mut self.scratch);
        }
        let before = self.batch.len();
        if let Some(limit) = self.limit {
            limit.limit(&mut self.batch);
        }
        (before - self.batch.len()) as u64
    }

    fn give(&mut self, next: &mut Next<'_>) {
        next.lose_many(Loss::Limit, self.settle());
        for position in 0..self.batch.len() {
            if let Some(record) = self.batch.get_mut(position) {
                next.pass(&mut Packet::copied(record));
            }
        }
        self.batch.clear();
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            warn!(name: "sort.batch.cut", left_out, "the batch is too large to be sorted whole");
        }
    }
}

impl Stage for Arrange {
    fn begin(&mut self, _next: &mut Next<'_>) {
        self.given = 0;
    }

    fn packet(&mut self, packet: &mut Packet<'_>, next: &mut Next<'_>) {
        if self.sort.is_none() {
            if self.limit.is_none_or(|limit| self.given < limit.most) {
                self.given += 1;
                next.pass(packet);
            } else {
                next.lose(Loss::Limit);
            }
            return;
        }
        if self.batch.size() + packet.bytes().len() > MAX_BATCH {
            self.left_out += 1;
            next.lose(Loss::Limit);
            return;
        }
        self.batch.push(packet.bytes());
        if self
            .limit
            .is_some_and(|limit| self.batch.len() >= limit.most.saturating_mul(2).saturating_add(SLACK))
        {
            next.lose_many(Loss::Limit, self.settle());
            self.batch.compact();
        }
    }

    fn end(&mut self, next: &mut Next<'_>) {
        self.give(next);
    }

    fn finish(&mut self, next: &mut Next<'_>) {
        self.give(next);
    }
}

#[cfg(test)]
mod tests;
