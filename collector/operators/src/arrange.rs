//! Sort and limit before a sink: takes a batch whole, and gives it on in order and cut.
//!
//! Only what needs it pays: a limit alone holds nothing back, and a sort with a limit keeps about twice as many
//! records as it gives on.

use tracing::warn;

use crate::{
    batch::Batch,
    limit::Limit,
    sink::Sink,
    sort::{Sort, SortScratch},
};

/// Bytes of one batch that are kept to be sorted; what comes after them is left out, with a warning.
const MAX_BATCH: usize = 256 << 20;
/// Records beyond the limit that are kept before the batch is cut.
const SLACK: usize = 4096;

/// A sink that sees each batch in order and cut.
#[derive(Debug)]
pub struct Arrange {
    sort: Option<Sort>,
    limit: Option<Limit>,
    inner: Box<dyn Sink>,
    batch: Batch,
    scratch: SortScratch,
    /// Records of this batch given on already, where nothing is sorted.
    given: usize,
    left_out: u64,
}

impl Arrange {
    /// Puts `sort` and `limit` before a sink; the sink itself where there is neither.
    pub fn before(inner: Box<dyn Sink>, sort: Option<Sort>, limit: Option<Limit>) -> Box<dyn Sink> {
        if sort.is_none() && limit.is_none() {
            return inner;
        }
        Box::new(Self {
            sort,
            limit,
            inner,
            batch: Batch::default(),
            scratch: SortScratch::default(),
            given: 0,
            left_out: 0,
        })
    }

    /// Sorts what is there and cuts it; what is cut now would be cut at the end, too.
    fn settle(&mut self) {
        if let Some(sort) = &self.sort {
            sort.sort(&mut self.batch, &mut self.scratch);
        }
        if let Some(limit) = self.limit {
            limit.limit(&mut self.batch);
        }
    }
}

impl Sink for Arrange {
    fn begin(&mut self) {
        self.batch.clear();
        self.given = 0;
        self.inner.begin();
    }

    fn record(&mut self, record: &[u8]) {
        if self.sort.is_none() {
            if self.limit.is_none_or(|limit| self.given < limit.most) {
                self.given += 1;
                self.inner.record(record);
            }
            return;
        }
        if self.batch.size() + record.len() > MAX_BATCH {
            self.left_out += 1;
            return;
        }
        self.batch.push(record);
        if self
            .limit
            .is_some_and(|limit| self.batch.len() >= limit.most.saturating_mul(2).saturating_add(SLACK))
        {
            self.settle();
            self.batch.compact();
        }
    }

    fn end(&mut self) {
        if self.sort.is_some() {
            self.settle();
            self.batch.iter().for_each(|record| self.inner.record(record));
            self.batch.clear();
            let left_out = std::mem::take(&mut self.left_out);
            if left_out > 0 {
                warn!(name: "sort.batch.cut", left_out, "the batch is too large to be sorted whole");
            }
        }
        self.inner.end();
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn finish(&mut self) {
        self.inner.finish();
    }
}

#[cfg(test)]
mod tests;
