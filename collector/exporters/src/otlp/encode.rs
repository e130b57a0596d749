//! From rows to an `ExportMetricsServiceRequest`: points first, then the messages around them.
//!
//! # Source
//! opentelemetry-proto, `metrics.proto` and `metrics_service.proto`; the tests decode what is written here with the
//! generated types.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use ig_model::{InstrumentKind, Temporality};
use ig_series::{Exposed, Instrument, LabelKind};

use super::attributes::extend_for_histogram;
use super::wire;
use crate::prometheus::scaled_bound;

/// A flag of points.
const NO_RECORDED_VALUE: u64 = 1;

/// A metric as it is described to a receiver.
#[derive(Debug)]
pub(super) struct Described<'a> {
    pub(super) scope: &'a str,
    pub(super) name: &'a str,
    pub(super) description: String,
    pub(super) unit: &'a str,
    pub(super) kind: InstrumentKind,
}

/// Consecutive points of one metric.
#[derive(Debug)]
pub(super) struct Segment<'a> {
    pub(super) described: Described<'a>,
    pub(super) points: Range<usize>,
}

/// When a point began and was read.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) start: u64,
    pub(super) read: u64,
}

impl Times {
    /// The same as the wall clock has it now, which has been set by `shift` ([`Clock::shift`](ig_series::Clock::shift)).
    pub(super) fn shown(self, shift: i64) -> Self {
        let Self { start, read } = self;
        Self { start: start.saturating_add_signed(shift), read: read.saturating_add_signed(shift) }
    }
}

/// Appends a counter's or gauge's point as a field of its metric.
#[inline]
pub(super) fn number_point(
    out: &mut Vec<u8>,
    attributes: &[u8],
    times: Times,
    value: Exposed,
    is_gauge: bool,
) {
    // A gauge has no start. Each fixed field takes nine bytes.
    let fixed = if is_gauge { 18 } else { 27 };
    out.reserve(fixed + attributes.len() + 8);
    wire::head(out, 1, fixed + attributes.len());
    if !is_gauge {
        wire::fixed64(out, 2, times.start);
    }
    wire::fixed64(out, 3, times.read);
    match value {
        Exposed::Float(value) => wire::fixed64(out, 4, value.to_bits()),
        Exposed::Signed(value) => wire::fixed64(out, 6, value.cast_unsigned()),
        // The protocol's integers are signed.
        Exposed::Unsigned(value) => wire::fixed64(out, 6, value.min(i64::MAX.cast_unsigned())),
    }
    out.extend_from_slice(attributes);
}

/// Appends a point that says that a series has ended, as a field of its metric.
///
/// # Source
/// `FLAG_NO_RECORDED_VALUE` of `DataPointFlags`; a point of a gauge has no start.
pub(super) fn end_point(out: &mut Vec<u8>, attributes: &[u8], times: Times, kind: InstrumentKind) {
    let mut point = Vec::with_capacity(attributes.len() + 24);
    if kind != InstrumentKind::Gauge {
        wire::fixed64(&mut point, 2, times.start);
    }
    wire::fixed64(&mut point, 3, times.read);
    if kind == InstrumentKind::Histogram {
        extend_for_histogram(&mut point, attributes);
        wire::integer(&mut point, 10, NO_RECORDED_VALUE);
    } else {
        point.extend_from_slice(attributes);
        wire::integer(&mut point, 8, NO_RECORDED_VALUE);
    }
    wire::bytes(out, 1, &point);
}

/// Appends a histogram's point as a field of its metric.
pub(super) fn histogram_point(
    out: &mut Vec<u8>,
    attributes: &[u8],
    times: Times,
    counts: &[u64],
    sum: Exposed,
    bounds: &[f64],
) {
    let packed = |field, len: usize| if len == 0 { 0 } else { wire::len_field(field, len * 8) };
    let len = 4 * 9 + packed(6, counts.len()) + packed(7, bounds.len()) + attributes.len();
    wire::head(out, 1, len);
    wire::fixed64(out, 2, times.start);
    wire::fixed64(out, 3, times.read);
    wire::fixed64(out, 4, counts.iter().fold(0, |sum, count| sum.wrapping_add(*count)));
    let sum = match sum {
        Exposed::Float(sum) => sum,
        Exposed::Signed(sum) => sum as f64,
        Exposed::Unsigned(sum) => sum as f64,
    };
    wire::fixed64(out, 5, sum.to_bits());
    wire::packed64(out, 6, counts.iter().copied());
    wire::packed64(out, 7, bounds.iter().map(|bound| bound.to_bits()));
    extend_for_histogram(out, attributes);
}

/// The bounds of a histogram as they leave; none for other kinds.
pub(super) fn exposed_bounds(instrument: &Instrument) -> Vec<f64> {
    instrument.bounds().iter().map(|raw| scaled_bound(*raw, instrument.scale)).collect()
}

/// An encoded `Resource`. Attributes without a value are none.
pub(super) fn resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attributes.iter().filter(|(_, value)| !value.is_empty()) {
        let value = super::attributes::any_value(LabelKind::Str, value);
        let mut pair = Vec::new();
        wire::bytes(&mut pair, 1, key.as_bytes());
        wire::head(&mut pair, 2, value.len());
        pair.extend_from_slice(&value);
        wire::head(&mut out, 1, pair.len());
        out.extend_from_slice(&pair);
    }
    out
}

/// Wraps points into a whole request; every length is known before the first byte is written.
///
/// Each scope and each metric stands there once, wherever its segments are.
pub(super) fn request(
    resource: &[u8],
    points: &[u8],
    segments: &[Segment<'_>],
    temporality: Temporality,
) -> Vec<u8> {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut known: HashMap<&str, usize> = HashMap::new();
    for segment in segments {
        let name = segment.described.scope;
        let place = *known.entry(name).or_insert_with(|| {
            scopes.push(Scope::new(name));
            scopes.len() - 1
        });
        if let Some(scope) = scopes.get_mut(place) {
            scope.add(segment, temporality);
        }
    }
    let resource_metrics = wire::len_field(1, resource.len())
        + scopes.iter().map(|scope| wire::len_field(2, scope.len())).sum::<usize>();

    let mut out = Vec::with_capacity(wire::len_field(1, resource_metrics));
    wire::head(&mut out, 1, resource_metrics);
    wire::head(&mut out, 1, resource.len());
    out.extend_from_slice(resource);
    for scope in &scopes {
        scope.write(points, &mut out);
    }
    out
}

struct Scope {
    /// An encoded `InstrumentationScope`.
    described: Vec<u8>,
    metrics: Vec<Metric>,
    /// Where each metric is among them.
    known: HashMap<Header, usize>,
}

/// What makes points those of one metric.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Header {
    /// Name, description and unit, encoded.
    described: Vec<u8>,
    /// Field number of the kind of data.
    data: u64,
    /// What follows the points within the data.
    trailer: Vec<u8>,
}

struct Metric {
    header: Header,
    points: Vec<Range<usize>>,
}

impl Scope {
    fn new(name: &str) -> Self {
        let mut described = Vec::new();
        wire::bytes(&mut described, 1, name.as_bytes());
        Self { described, metrics: Vec::new(), known: HashMap::new() }
    }

    fn add(&mut self, segment: &Segment<'_>, temporality: Temporality) {
        let header = Header::new(&segment.described, temporality);
        let place = *self.known.entry(header).or_insert_with_key(|header| {
            self.metrics.push(Metric { header: header.clone(), points: Vec::new() });
            self.metrics.len() - 1
        });
        if let Some(metric) = self.metrics.get_mut(place) {
            metric.points.push(segment.points.clone());
        }
    }

    fn len(&self) -> usize {
        let metrics = self.metrics.iter().map(|metric| wire::len_field(2, metric.len()));
        wire::len_field(1, self.described.len()) + metrics.sum::<usize>()
    }

    fn write(&self, points: &[u8], out: &mut Vec<u8>) {
        wire::head(out, 2, self.len());
        wire::head(out, 1, self.described.len());
        out.extend_from_slice(&self.described);
        for metric in &self.metrics {
            metric.write(points, out);
        }
    }
}

impl Header {
    fn new(metric: &Described<'_>, temporality: Temporality) -> Self {
        let mut described = Vec::new();
        wire::bytes(&mut described, 1, metric.name.as_bytes());
        wire::bytes(&mut described, 2, metric.description.as_bytes());
        wire::bytes(&mut described, 3, unit(metric.unit).as_bytes());
        let mut trailer = Vec::new();
        let temporality = match temporality {
            Temporality::Delta => 1,
            Temporality::Cumulative => 2,
        };
        let data = match metric.kind {
            InstrumentKind::Gauge => 5,
            InstrumentKind::Counter => {
                wire::integer(&mut trailer, 2, temporality);
                wire::integer(&mut trailer, 3, 1);
                7
            }
            InstrumentKind::Histogram => {
                wire::integer(&mut trailer, 2, temporality);
                9
            }
        };
        Self { described, data, trailer }
    }
}

impl Metric {
    /// Bytes of its data: points and trailer.
    fn data_len(&self) -> usize {
        self.points.iter().map(ExactSizeIterator::len).sum::<usize>() + self.header.trailer.len()
    }

    fn len(&self) -> usize {
        self.header.described.len() + wire::len_field(self.header.data, self.data_len())
    }

    fn write(&self, points: &[u8], out: &mut Vec<u8>) {
        wire::head(out, 2, self.len());
        out.extend_from_slice(&self.header.described);
        wire::head(out, self.header.data, self.data_len());
        for range in &self.points {
            out.extend_from_slice(points.get(range.clone()).unwrap_or_default());
        }
        out.extend_from_slice(&self.header.trailer);
    }
}

/// A unit in letters that receivers keep: they drop the sign for micro, and `s` is left of `µs`. The letter for it in
/// UCUM is `u`.
fn unit(unit: &str) -> Cow<'_, str> {
    if unit.contains(['\u{b5}', '\u{3bc}']) {
        unit.replace(['\u{b5}', '\u{3bc}'], "u").into()
    } else {
        unit.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: microseconds stay microseconds at a receiver that drops what is no letter of ASCII.
    #[test]
    fn micro_is_sent_as_a_letter() {
        for (given, sent) in [("\u{b5}s", "us"), ("\u{3bc}s", "us"), ("By/\u{b5}s", "By/us"), ("ms", "ms")] {
            assert_eq!(unit(given), sent);
        }
    }
}
