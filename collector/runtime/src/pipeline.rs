//! From a record to every sink of its data source.

use std::sync::Arc;

use ig_datasource::{DataSource, Rest};
use ig_model::{KtimeNs, Loss, Losses};
use ig_operators::{
    Arrange, Expression, Filter, Limit, Measure, Sink, Sort,
    expression::{self, Trap},
    filter::Scratch,
};
use tracing::warn;

use crate::status::SourceStats;

/// What happens to the records of one data source, in order: handover, filter, sort and limit, then the outlets.
#[derive(Debug)]
pub struct Pipeline {
    record_size: usize,
    rest: Option<Rest>,
    filter: Option<Filter>,
    expression: Option<Expression>,
    tail: Tail,
    stats: Arc<SourceStats>,
    /// Where the record's boot time stamp is, when it has one.
    timestamp: Option<usize>,
    scratch: Scratch,
    expression_scratch: expression::Scratch,
    trap: Option<Trap>,
    padded: Vec<u8>,
    tally: Tally,
}

/// Measures and other sinks: the end of a record's way.
#[derive(Debug)]
pub struct Outlets {
    measures: Vec<Measure>,
    sinks: Vec<Box<dyn Sink>>,
    stats: Arc<SourceStats>,
    delivered: u64,
}

/// The outlets, straight or behind a sort or limit. Straight is the way of a gadget that feeds metrics: no record is
/// copied and no call is indirect.
#[derive(Debug)]
enum Tail {
    Straight(Outlets),
    Arranged(Box<dyn Sink>),
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

/// Numbers of one drain, added to the shared ones at its end.
#[derive(Debug, Default)]
struct Tally {
    received: u64,
    losses: Losses,
}

impl Handover {
    /// A successor before the switch: everything is still the predecessor's to deliver.
    pub const NOT_YET: Self = Self::After(KtimeNs(u64::MAX));
}

impl Pipeline {
    /// A pipeline for the records of `source`.
    pub fn new(source: &DataSource, outlets: Outlets) -> Self {
        let timestamp =
            source.fields.iter().find(|field| field.has_type("gadget_timestamp") && field.size == 8);
        Self {
            record_size: source.record_size,
            rest: source.rest.clone(),
            filter: None,
            expression: None,
            stats: Arc::clone(&outlets.stats),
            tail: Tail::Straight(outlets),
            timestamp: timestamp.map(|field| field.offset),
            scratch: Scratch::default(),
            expression_scratch: expression::Scratch::default(),
            trap: None,
            padded: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The same pipeline, keeping only what the filter keeps.
    #[must_use]
    pub fn with_filter(self, filter: Option<Filter>) -> Self {
        Self { filter, ..self }
    }

    /// The same pipeline, keeping only that for which the expression is true.
    #[must_use]
    pub fn with_expression(self, expression: Option<Expression>) -> Self {
        Self { expression, ..self }
    }

    /// The same pipeline with batches sorted and cut before the outlets.
    #[must_use]
    pub fn arranged(self, sort: Option<Sort>, limit: Option<Limit>) -> Self {
        match self.tail {
            Tail::Straight(outlets) if sort.is_some() || limit.is_some() => {
                Self { tail: Tail::Arranged(Arrange::before(Box::new(outlets), sort, limit)), ..self }
            }
            tail => Self { tail, ..self },
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
            self.tally.losses.add(Loss::Handover, 1);
            return;
        }
        if let Some(rest) = &self.rest
            && rest.of(record).is_none()
        {
            self.tally.losses.add(Loss::Decode, 1);
            return;
        }
        if let Some(filter) = &self.filter
            && !filter.keeps(record, &mut self.scratch)
        {
            self.tally.losses.add(Loss::Filter, 1);
            return;
        }
        if let Some(expression) = &self.expression {
            match expression.keeps(record, &mut self.expression_scratch) {
                Ok(true) => {}
                Ok(false) => {
                    self.tally.losses.add(Loss::Filter, 1);
                    return;
                }
                Err(trap) => {
                    self.tally.losses.add(Loss::Expression, 1);
                    self.trap = Some(trap);
                    return;
                }
            }
        }
        match &mut self.tail {
            Tail::Straight(outlets) => outlets.record(record),
            Tail::Arranged(sink) => sink.record(record),
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
        self.tail.sink().begin();
    }

    /// Ends a fetch.
    pub fn end_fetch(&mut self) {
        let accepted = self.tally.accepted();
        let before = self.stats.delivered.load();
        self.tail.sink().end();
        self.flush();
        if matches!(self.tail, Tail::Arranged(_)) {
            let delivered = self.stats.delivered.load() - before;
            self.stats.losses.add(Loss::Limit, accepted.saturating_sub(delivered));
        }
    }

    /// Brings everything taken in so far into the tables and the shared numbers.
    pub fn flush(&mut self) {
        self.tail.sink().flush();
        let Tally { received, mut losses } = std::mem::take(&mut self.tally);
        self.stats.received.add(received);
        if let Some(trap) = self.trap.take() {
            report_unjudged(self.stats.losses.load(Loss::Expression), losses[Loss::Expression], trap);
        }
        self.stats.losses.absorb(&mut losses);
    }

    /// No record will come any more: the sinks bring out what they keep.
    pub fn finish(&mut self) {
        self.flush();
        self.tail.sink().finish();
    }
}

/// Warns at the first record without a verdict and whenever their number has one digit more: any record can cause it.
fn report_unjudged(before: u64, more: u64, trap: Trap) {
    let count = before.saturating_add(more);
    if before.checked_ilog10() < count.checked_ilog10() {
        warn!(name: "filter.expression.failed", count, error = &trap as &dyn std::error::Error);
    }
}

impl Outlets {
    /// Outlets that count what they take in `stats`.
    pub fn new(measures: Vec<Measure>, sinks: Vec<Box<dyn Sink>>, stats: Arc<SourceStats>) -> Self {
        Self { measures, sinks, stats, delivered: 0 }
    }
}

impl Sink for Outlets {
    fn begin(&mut self) {
        self.measures.iter_mut().for_each(Measure::begin_fetch);
        self.sinks.iter_mut().for_each(|sink| sink.begin());
    }

    fn record(&mut self, record: &[u8]) {
        self.delivered += 1;
        for measure in &mut self.measures {
            measure.take(record);
        }
        for sink in &mut self.sinks {
            sink.record(record);
        }
    }

    fn end(&mut self) {
        self.measures.iter_mut().for_each(Measure::end_fetch);
        self.sinks.iter_mut().for_each(|sink| sink.end());
    }

    fn flush(&mut self) {
        for measure in &mut self.measures {
            measure.flush();
            self.stats.rejected_values.add(measure.take_rejected());
        }
        self.sinks.iter_mut().for_each(|sink| sink.flush());
        self.stats.delivered.add(std::mem::take(&mut self.delivered));
    }

    fn finish(&mut self) {
        self.sinks.iter_mut().for_each(|sink| sink.finish());
    }
}

impl Tail {
    fn sink(&mut self) -> &mut dyn Sink {
        match self {
            Self::Straight(outlets) => outlets,
            Self::Arranged(sink) => sink.as_mut(),
        }
    }
}

impl Tally {
    fn accepted(&self) -> u64 {
        self.received - self.losses.total()
    }
}

#[cfg(test)]
mod tests;
