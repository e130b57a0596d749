//! From a record to every sink of its data source.

use std::sync::Arc;

use ig_model::KtimeNs;
use ig_operators::{Filter, Measure, filter::Scratch};

use crate::status::SourceStats;

/// What happens to the records of one data source, in order: handover, filter, measures.
#[derive(Debug)]
pub struct Pipeline {
    record_size: usize,
    filter: Option<Filter>,
    measures: Vec<Measure>,
    stats: Arc<SourceStats>,
    /// Where the record's boot time stamp is, when it has one.
    timestamp: Option<usize>,
    scratch: Scratch,
    padded: Vec<u8>,
    tally: Tally,
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

/// Numbers of one drain, added to the shared ones at its end.
#[derive(Debug, Default)]
struct Tally {
    received: u64,
    filtered: u64,
    superseded: u64,
}

impl Pipeline {
    /// A pipeline for records of `record_size` bytes.
    pub fn new(
        record_size: usize,
        timestamp: Option<usize>,
        filter: Option<Filter>,
        measures: Vec<Measure>,
        stats: Arc<SourceStats>,
    ) -> Self {
        Self {
            record_size,
            filter,
            measures,
            stats,
            timestamp,
            scratch: Scratch::default(),
            padded: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The shared numbers.
    pub fn stats(&self) -> &SourceStats {
        &self.stats
    }

    /// Bytes of a whole record.
    pub fn record_size(&self) -> usize {
        self.record_size
    }

    /// Whether records carry the time stamp a handover needs.
    pub fn has_timestamp(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Takes in one record; one that is shorter than the layout is extended with zeros.
    pub fn take(&mut self, record: &[u8], handover: Handover) {
        self.tally.received += 1;
        if record.len() < self.record_size {
            let mut padded = std::mem::take(&mut self.padded);
            padded.clear();
            padded.extend_from_slice(record);
            padded.resize(self.record_size, 0);
            self.deliver(&padded, handover);
            self.padded = padded;
        } else {
            self.deliver(record, handover);
        }
    }

    fn deliver(&mut self, record: &[u8], handover: Handover) {
        if handover != Handover::None && self.is_superseded(record, handover) {
            self.tally.superseded += 1;
            return;
        }
        if let Some(filter) = &self.filter
            && !filter.keeps(record, &mut self.scratch)
        {
            self.tally.filtered += 1;
            return;
        }
        for measure in &mut self.measures {
            measure.take(record);
        }
    }

    fn is_superseded(&self, record: &[u8], handover: Handover) -> bool {
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
        for measure in &mut self.measures {
            measure.begin_fetch();
        }
    }

    /// Ends a fetch.
    pub fn end_fetch(&mut self) {
        for measure in &mut self.measures {
            measure.end_fetch();
        }
        self.flush();
    }

    /// Brings everything taken in so far into the tables and the shared numbers.
    pub fn flush(&mut self) {
        for measure in &mut self.measures {
            measure.flush();
            self.stats.rejected_values.add(measure.take_rejected());
        }
        let Tally { received, filtered, superseded } = std::mem::take(&mut self.tally);
        self.stats.received.add(received);
        self.stats.filtered.add(filtered);
        self.stats.superseded.add(superseded);
        self.stats.delivered.add(received - filtered - superseded);
    }
}
