//! The end of a record's way: tables of series, and sinks that come and go.

use std::sync::Arc;

use crate::{
    batch::Batch,
    measure::Measure,
    sink::{Sink, SinkLedger},
};

/// Records of one batch; a fetch of more is handed over in parts.
const BATCH_RECORDS: usize = 64;
/// Bytes of one batch.
const BATCH_BYTES: usize = 64 << 10;

/// Measures, and the sinks of a data source.
///
/// Measures read a record where it is: without a sink nothing is copied and no call is indirect. With one, records are
/// copied into a batch that every sink is handed.
#[derive(Debug, Default)]
pub struct Outlets {
    measures: Vec<Measure>,
    /// Those of the plan have no number.
    sinks: Vec<(Option<SinkId>, Box<dyn Sink>)>,
    batch: Batch,
    delivered: u64,
}

/// Names a sink that was attached, among those of its data source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkId(pub u64);

impl Outlets {
    /// Outlets into the tables and sinks of a plan.
    pub fn new(measures: Vec<Measure>, sinks: Vec<Box<dyn Sink>>) -> Self {
        let sinks = sinks.into_iter().map(|sink| (None, sink)).collect();
        Self { measures, sinks, ..Self::default() }
    }

    /// Adds a sink; it sees what comes from now on. Not during a fetch.
    pub fn attach(&mut self, id: SinkId, sink: Box<dyn Sink>) {
        // Records that wait were taken before it was there.
        self.hand_over();
        self.sinks.push((Some(id), sink));
    }

    /// Takes out all sinks that were attached; they go on elsewhere.
    pub fn release(&mut self) -> Vec<(SinkId, Box<dyn Sink>)> {
        self.hand_over();
        let (attached, planned) =
            std::mem::take(&mut self.sinks).into_iter().partition(|(id, _)| id.is_some());
        self.sinks = planned;
        let attached: Vec<(Option<SinkId>, Box<dyn Sink>)> = attached;
        attached.into_iter().filter_map(|(id, sink)| Some((id?, sink))).collect()
    }

    /// The ledgers of all sinks.
    pub fn ledgers(&self) -> impl Iterator<Item = &Arc<SinkLedger>> {
        self.sinks.iter().map(|(_, sink)| sink.ledger())
    }

    /// Takes a sink away after it got all that came before; `false` if it is not there. Not during a fetch.
    pub fn detach(&mut self, id: SinkId) -> bool {
        self.hand_over();
        let Some(place) = self.sinks.iter().position(|(known, _)| *known == Some(id)) else { return false };
        let (_, mut sink) = self.sinks.remove(place);
        sink.flush();
        sink.finish();
        true
    }

    /// Takes one record of at least the layout's size.
    #[inline]
    pub fn take(&mut self, record: &[u8]) {
        self.delivered += 1;
        for measure in &mut self.measures {
            measure.take(record);
        }
        if !self.sinks.is_empty() {
            self.collect(record);
        }
    }

    fn collect(&mut self, record: &[u8]) {
        if self.batch.len() >= BATCH_RECORDS || self.batch.size() + record.len() > BATCH_BYTES {
            self.hand_over();
        }
        self.batch.push(record);
    }

    /// A fetch begins.
    pub fn begin(&mut self) {
        self.hand_over();
        self.measures.iter_mut().for_each(Measure::begin_fetch);
        self.batch.set_begins();
    }

    /// A fetch ends.
    pub fn end(&mut self) {
        self.measures.iter_mut().for_each(Measure::end_fetch);
        self.batch.set_ends();
        self.hand_over();
    }

    /// A drain ends.
    pub fn flush(&mut self) {
        self.measures.iter_mut().for_each(Measure::flush);
        self.hand_over();
        self.sinks.iter_mut().for_each(|(_, sink)| sink.flush());
    }

    /// The run ends.
    pub fn finish(&mut self) {
        self.hand_over();
        self.sinks.iter_mut().for_each(|(_, sink)| sink.finish());
    }

    /// Records taken since the last call.
    pub fn take_delivered(&mut self) -> u64 {
        std::mem::take(&mut self.delivered)
    }

    /// Values that no instrument could take since the last call.
    pub fn take_rejected(&mut self) -> u64 {
        self.measures.iter_mut().map(Measure::take_rejected).sum()
    }

    /// Hands what waits to every sink.
    fn hand_over(&mut self) {
        if self.batch.is_empty() && !self.batch.begins() && !self.batch.ends() {
            return;
        }
        for (_, sink) in &mut self.sinks {
            sink.ledger().receive(self.batch.len() as u64);
            sink.take(&self.batch);
        }
        self.batch.clear();
    }
}
