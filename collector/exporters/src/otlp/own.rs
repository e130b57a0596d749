//! The numbers of the process itself as a source of messages: totals, whatever the temporality of the exporter, under the
//! names of the page without the suffix of counters.
//!
//! A series that was there in the last round and has gone is told to have ended; one whose total shrank began anew.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ig_model::{InstrumentKind, Temporality};
use ig_series::{Clock, Exposed};

use super::attributes;
use super::collect::MOST_POINTS;
use super::encode::{self, Described, Segment, Times};
use super::source::{Message, Round, Service, Smaller, Source};
use super::stats::DropReason;

/// The scope of these metrics.
const SCOPE: &str = "ig";

/// One metric of the process itself, as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnFamily {
    /// The name without `_total`.
    pub name: &'static str,
    /// One sentence.
    pub description: String,
    /// A UCUM unit; may be empty.
    pub unit: &'static str,
    /// Counter or gauge.
    pub kind: InstrumentKind,
    /// Its series.
    pub points: Vec<OwnPoint>,
}

/// One series of such a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnPoint {
    /// Names and values of its attributes.
    pub attributes: Vec<(&'static str, String)>,
    /// Its value; an integer unless the unit is seconds.
    pub value: f64,
}

/// Reads the metrics of the process itself.
pub type ReadOwn = Arc<dyn Fn() -> Vec<OwnFamily> + Send + Sync>;

/// What one exporter has to tell of the process itself.
pub(super) struct Own {
    read: ReadOwn,
    clock: Arc<dyn Clock>,
    /// The encoded resource.
    resource: Vec<u8>,
    /// When the last round began; at first, when this was made.
    last: u64,
    /// How many rounds have begun.
    rounds: u64,
    series: HashMap<Key, Life>,
    most_points: u64,
    /// Messages of the round under way.
    messages: std::vec::IntoIter<Message>,
}

/// A series: name of the metric, encoded attributes.
type Key = (&'static str, Vec<u8>);

/// What is known of a series.
#[derive(Clone, Copy, Debug)]
struct Life {
    kind: InstrumentKind,
    unit: &'static str,
    start: u64,
    value: f64,
    /// The last round it was there.
    seen: u64,
}

/// Points of a metric, encoded, one by one.
struct Points {
    name: &'static str,
    description: String,
    unit: &'static str,
    kind: InstrumentKind,
    encoded: Vec<Vec<u8>>,
}

impl Own {
    pub(super) fn new(read: ReadOwn, clock: Arc<dyn Clock>, resource: Vec<u8>) -> Self {
        Self {
            read,
            resource,
            last: clock.now().unix_nanos,
            clock,
            rounds: 0,
            series: HashMap::new(),
            most_points: MOST_POINTS,
            messages: Vec::new().into_iter(),
        }
    }

    /// The points of a metric as it is at `now`.
    fn points(&mut self, family: OwnFamily, now: u64) -> Points {
        let OwnFamily { name, description, unit, kind, points } = family;
        let encoded = points.into_iter().map(|OwnPoint { attributes, value }| {
            let mut key = (name, Vec::new());
            for (label, text) in attributes.iter().filter(|(_, text)| !text.is_empty()) {
                let text = attributes::any_value(ig_series::LabelKind::Str, text);
                attributes::attribute(&mut key.1, label, &text);
            }
            let attributes = key.1.clone();
            let new = Life { kind, unit, start: self.last, value, seen: self.rounds };
            let life = self.series.entry(key).or_insert(new);
            if value < life.value {
                life.start = self.last;
            }
            (life.value, life.seen) = (value, self.rounds);
            let mut point = Vec::new();
            let times = Times { start: life.start, read: now }.shown(self.clock.shift());
            let is_gauge = kind == InstrumentKind::Gauge;
            encode::number_point(&mut point, &attributes, times, exposed(value, unit), is_gauge);
            point
        });
        let encoded = encoded.collect();
        Points { name, description, unit, kind, encoded }
    }

    /// The ends of series that are not there any more, and, after the last round, of every gauge.
    fn ends(&mut self, now: u64, round: Round) -> Vec<Points> {
        let mut ends: HashMap<&'static str, Points> = HashMap::new();
        self.series.retain(|(name, attributes), life| {
            let has_gone = life.seen != self.rounds;
            if has_gone || round == Round::Last && life.kind == InstrumentKind::Gauge {
                let times = Times { start: life.start.min(now), read: now }.shown(self.clock.shift());
                let mut point = Vec::new();
                encode::end_point(&mut point, attributes, times, life.kind);
                let Life { kind, unit, .. } = *life;
                let new = || Points { name, description: String::new(), unit, kind, encoded: Vec::new() };
                ends.entry(name).or_insert_with(new).encoded.push(point);
            }
            !has_gone
        });
        ends.into_values().collect()
    }

    fn messages(&self, metrics: &[Points]) -> Vec<Message> {
        let flat: Vec<(&Points, &[u8])> = metrics
            .iter()
            .flat_map(|metric| metric.encoded.iter().map(move |point| (metric, point.as_slice())))
            .collect();
        let most = usize::try_from(self.most_points).unwrap_or(usize::MAX).max(1);
        flat.chunks(most)
            .map(|chunk| {
                let mut points = Vec::new();
                let mut segments = Vec::new();
                for (metric, point) in chunk {
                    let from = points.len();
                    points.extend_from_slice(point);
                    let Points { name, description, unit, kind, .. } = metric;
                    let described =
                        Described { scope: SCOPE, name, description: description.clone(), unit, kind: *kind };
                    segments.push(Segment { described, points: from..points.len() });
                }
                let bytes = encode::request(&self.resource, &points, &segments, Temporality::Cumulative);
                Message { bytes: Bytes::from(bytes), items: chunk.len() as u64 }
            })
            .collect()
    }
}

/// Seconds are kept as floating point, all else as integers as long as it is one.
fn exposed(value: f64, unit: &str) -> Exposed {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
    if unit != "s" && value.fract() == 0.0 && value.abs() < 9e15 {
        Exposed::Signed(value as i64)
    } else {
        Exposed::Float(value)
    }
}

impl Source for Own {
    type Receipt = ();

    const SERVICE: Service = Service::METRICS;

    fn begin(&mut self, round: Round) {
        let now = self.clock.now().unix_nanos;
        self.rounds += 1;
        let families = (self.read)();
        let mut metrics: Vec<Points> = families.into_iter().map(|family| self.points(family, now)).collect();
        for mut end in self.ends(now, round) {
            match metrics.iter_mut().find(|metric| metric.name == end.name) {
                // In the last round the end of a gauge stands for its value.
                Some(metric) if round == Round::Last && metric.kind == InstrumentKind::Gauge => {
                    metric.encoded = end.encoded;
                }
                Some(metric) => metric.encoded.append(&mut end.encoded),
                None => metrics.push(end),
            }
        }
        self.messages = self.messages(&metrics).into_iter();
        self.last = now;
    }

    fn next(&mut self) -> Option<(Message, ())> {
        self.messages.next().map(|message| (message, ()))
    }

    /// The next round has the same totals, newer: nothing is gained by a queue.
    fn may_queue(&self) -> bool {
        false
    }

    fn accepted(&mut self, (): ()) {}

    fn too_large(&mut self, message: &Message, receipt: Option<()>) -> Smaller<()> {
        let first = message.items / 2;
        if first == 0 {
            return Smaller::Nothing(receipt);
        }
        self.most_points = self.most_points.min(message.items - first);
        Smaller::Parts(message.split(first, receipt))
    }

    fn dropped(&mut self, (): (), _: DropReason) {}
}

#[cfg(test)]
mod tests;
