//! What takes the records of a data source at the end of its way.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ig_model::{Loss, LossCounters};

use crate::batch::Batch;

/// A consumer of records: a console, a log file, a stream to a client.
///
/// It is made from the schema of its data source and compiles what it needs then: a record is never asked for a field
/// by name. All calls come from the thread that reads the data source, in order, and none may block: what cannot be
/// taken is dropped and counted in the sink's ledger.
pub trait Sink: Send + Debug {
    /// Takes records in the order of the data source: part of what a drain found, or of a fetch, whose first batch
    /// [begins](Batch::begins) and whose last one [ends](Batch::ends) it.
    fn take(&mut self, batch: &Batch);
    /// A drain ends: what is buffered should go out.
    fn flush(&mut self) {}
    /// The run ends, or the sink is taken away; nothing is called after this.
    fn finish(&mut self) {}
    /// Where it counts what it was handed and what it lost.
    fn ledger(&self) -> &Arc<SinkLedger>;
}

/// What became of the records that one sink was handed: `received = taken + lost`.
#[derive(Debug)]
pub struct SinkLedger {
    name: &'static str,
    received: AtomicU64,
    lost: LossCounters,
}

impl SinkLedger {
    /// The ledger of a sink of this kind, such as `console`.
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, received: AtomicU64::new(0), lost: LossCounters::default() })
    }

    /// The kind of sink.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Records it was handed.
    pub fn received(&self) -> u64 {
        // Relaxed: statistics only.
        self.received.load(Ordering::Relaxed)
    }

    /// Records it did not take, by reason.
    pub fn lost(&self) -> &LossCounters {
        &self.lost
    }

    /// Counts records that were handed over.
    pub(crate) fn receive(&self, count: u64) {
        // Relaxed: statistics only.
        self.received.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts records that the sink lost.
    pub fn lose(&self, loss: Loss, count: u64) {
        self.lost.add(loss, count);
    }
}
