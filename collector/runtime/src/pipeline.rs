//! From a record to every table and sink of its data source.

use std::sync::Arc;

use ig_datasource::{DataSource, Rest};
use ig_model::{KtimeNs, Loss, Losses};
use ig_operators::{Outlets, Packet, RecordLayout, Sink, SinkId, SourceSchema, Stages};

use crate::status::SourceStats;

/// What happens to the records of one data source, in order: handover, stages, then the outlets.
#[derive(Debug)]
pub struct Pipeline {
    schema: Arc<SourceSchema>,
    layout: RecordLayout,
    /// As the kernel writes it: before fields are added.
    rest: Option<Rest>,
    /// Where the record's boot time stamp is, when it has one.
    timestamp: Option<usize>,
    stages: Stages,
    outlets: Outlets,
    stats: Arc<SourceStats>,
    padded: Vec<u8>,
    packet: Vec<u8>,
    /// Numbers of one drain, added to the shared ones at its end.
    received: u64,
    lost: Losses,
}

/// Which side of a handover an instance is on.
///
/// While a gadget is replaced, old and new programs both see every event. The moment of the switch divides them:
/// the old instance delivers what was stamped up to it, the new one what came after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// No other instance delivers the same events.
    None,
    /// A successor took over at this moment.
    Until(KtimeNs),
    /// Took over from a predecessor at this moment.
    After(KtimeNs),
}

impl Handover {
    /// A successor before the switch: everything is still the predecessor's to deliver.
    pub const NOT_YET: Self = Self::After(KtimeNs(u64::MAX));
}

impl Pipeline {
    /// A pipeline for the records of a data source that counts them in `stats`.
    pub fn new(schema: Arc<SourceSchema>, stages: Stages, outlets: Outlets, stats: Arc<SourceStats>) -> Self {
        let layout = schema.layout();
        outlets.ledgers().for_each(|ledger| stats.sinks.enter(ledger));
        Self {
            layout,
            rest: rest_as_written(schema.source(), layout),
            timestamp: timestamp(schema.source()),
            schema,
            stages,
            outlets,
            stats,
            padded: Vec::new(),
            packet: Vec::new(),
            received: 0,
            lost: Losses::default(),
        }
    }

    /// What its packets look like.
    pub fn schema(&self) -> &Arc<SourceSchema> {
        &self.schema
    }

    /// The shared numbers.
    pub fn stats(&self) -> &Arc<SourceStats> {
        &self.stats
    }

    /// Bytes of a whole record as the kernel writes it.
    pub fn record_size(&self) -> usize {
        self.layout.kernel_size()
    }

    /// Whether records carry the time stamp a handover needs.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Takes in one record; one that is shorter than the layout is extended with zeros.
    pub fn take(&mut self, record: &[u8], handover: Handover) {
        self.received += 1;
        if record.len() < self.layout.kernel_size() {
            let mut padded = std::mem::take(&mut self.padded);
            padded.clear();
            padded.extend_from_slice(record);
            padded.resize(self.layout.kernel_size(), 0);
            self.deliver(&padded, handover);
            self.padded = padded;
        } else {
            self.deliver(record, handover);
        }
    }

    fn deliver(&mut self, record: &[u8], handover: Handover) {
        if handover != Handover::None && self.is_superseded(record, handover) {
            self.lost.add(Loss::Handover, 1);
            return;
        }
        if let Some(rest) = &self.rest
            && rest.of(record).is_none()
        {
            self.lost.add(Loss::Decode, 1);
            return;
        }
        let Self { stages, outlets, lost, .. } = self;
        if self.layout.is_copied() {
            self.layout.assemble(record, &mut self.packet);
            stages.packet(&mut Packet::copied(&mut self.packet), outlets, lost);
        } else {
            stages.packet(&mut Packet::borrowed(record), outlets, lost);
        }
    }

    /// Whether the other side of a handover delivers this record.
    pub(crate) fn is_superseded(&self, record: &[u8], handover: Handover) -> bool {
        let stamp = self
            .timestamp
            .and_then(|offset| record.get(offset..offset + 8))
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_ne_bytes);
        match (handover, stamp) {
            (Handover::Until(moment), Some(stamp)) => stamp > moment.0,
            (Handover::After(moment), Some(stamp)) => stamp <= moment.0,
            (handover, None) => handover == Handover::NOT_YET,
            (Handover::None, _) => false,
        }
    }

    /// Starts a fetch of a map or iterator.
    pub fn begin_fetch(&mut self) {
        self.stages.begin(&mut self.outlets, &mut self.lost);
    }

    /// Ends a fetch.
    pub fn end_fetch(&mut self) {
        self.stages.end(&mut self.outlets, &mut self.lost);
        self.flush();
    }

    /// Brings everything taken in so far into the tables, the sinks and the shared numbers.
    pub fn flush(&mut self) {
        self.stages.flush(&mut self.outlets, &mut self.lost);
        self.count();
    }

    /// No record will come any more: stages and sinks bring out what they keep, and let go of the series they feed, so
    /// that these have ended for whoever waited.
    pub fn finish(&mut self) {
        self.flush();
        self.stages.finish(&mut self.outlets, &mut self.lost);
        self.count();
        self.outlets = Outlets::new(Vec::new(), Vec::new());
    }

    /// Adds a sink, which sees what comes from now on. Not during a fetch.
    pub fn attach(&mut self, id: SinkId, sink: Box<dyn Sink>) {
        self.stats.sinks.enter(sink.ledger());
        self.outlets.attach(id, sink);
    }

    /// Takes away a sink that was attached; `false` if it is not there. Not during a fetch.
    pub fn detach(&mut self, id: SinkId) -> bool {
        self.outlets.detach(id)
    }

    /// Takes the place of `old`: sinks that were attached to it move here, if they can read these packets.
    pub fn succeed(&mut self, mut old: Self) {
        let attached = old.outlets.release();
        old.finish();
        for (id, mut sink) in attached {
            if old.schema.reads_like(&self.schema) {
                self.outlets.attach(id, sink);
            } else {
                sink.flush();
                sink.finish();
            }
        }
    }

    fn count(&mut self) {
        self.stats.received.add(std::mem::take(&mut self.received));
        self.stats.delivered.add(self.outlets.take_delivered());
        self.stats.losses.absorb(&mut self.lost);
        self.stats.rejected_values.add(self.outlets.take_rejected());
    }
}

fn timestamp(source: &DataSource) -> Option<usize> {
    let is_stamp = |field: &&ig_datasource::Field| field.has_type("gadget_timestamp") && field.size == 8;
    source.fields.iter().find(is_stamp).map(|field| field.offset)
}

/// Trailing data stands before what operators add.
fn rest_as_written(source: &DataSource, layout: RecordLayout) -> Option<Rest> {
    source.rest.clone().map(|rest| Rest { start: rest.start - layout.added_size(), ..rest })
}

#[cfg(test)]
mod tests;
