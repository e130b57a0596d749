//! From rows to an `ExportMetricsServiceRequest`: points first, then the messages around them.
//!
//! # Source
//! opentelemetry-proto, `metrics.proto` and `metrics_service.proto`; the tests decode what is written here with the
//! generated types.

use std::ops::Range;

use ig_model::{InstrumentKind, Temporality};
use ig_series::{Exposed, Instrument, LabelKind, Table};

use super::attributes::extend_for_histogram;
use super::wire;
use crate::prometheus::scaled_bound;

/// Consecutive points of one instrument.
pub(super) struct Segment {
    pub(super) table: Table,
    pub(super) instrument: usize,
    pub(super) points: Range<usize>,
}

/// When a point began and was read.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) start: u64,
    pub(super) read: u64,
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

/// An encoded `Resource`.
pub(super) fn resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in attributes {
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
pub(super) fn request(
    resource: &[u8],
    points: &[u8],
    segments: &[Segment],
    temporality: Temporality,
) -> Vec<u8> {
    let metrics: Vec<Metric<'_>> = segments.iter().map(|segment| Metric::new(segment, temporality)).collect();
    let scopes: Vec<Scope<'_>> = metrics.chunk_by(|a, b| a.table_id == b.table_id).map(Scope::new).collect();
    let resource_metrics = wire::len_field(1, resource.len())
        + scopes.iter().map(|scope| wire::len_field(2, scope.len)).sum::<usize>();

    let mut out = Vec::with_capacity(wire::len_field(1, resource_metrics));
    wire::head(&mut out, 1, resource_metrics);
    wire::head(&mut out, 1, resource.len());
    out.extend_from_slice(resource);
    for scope in &scopes {
        wire::head(&mut out, 2, scope.len);
        wire::head(&mut out, 1, scope.described.len());
        out.extend_from_slice(&scope.described);
        for metric in scope.metrics {
            metric.write(points, &mut out);
        }
    }
    out
}

struct Scope<'a> {
    /// An encoded `InstrumentationScope`.
    described: Vec<u8>,
    metrics: &'a [Metric<'a>],
    len: usize,
}

impl<'a> Scope<'a> {
    fn new(metrics: &'a [Metric<'a>]) -> Self {
        let mut described = Vec::new();
        let name = metrics.first().map_or("", |metric| metric.scope);
        wire::bytes(&mut described, 1, name.as_bytes());
        let len = wire::len_field(1, described.len())
            + metrics.iter().map(|metric| wire::len_field(2, metric.len)).sum::<usize>();
        Self { described, metrics, len }
    }
}

struct Metric<'a> {
    table_id: u64,
    scope: &'a str,
    /// Name, description and unit, encoded.
    described: Vec<u8>,
    /// Field number of the kind of data.
    data: u64,
    /// What follows the points within the data.
    trailer: Vec<u8>,
    points: Range<usize>,
    len: usize,
}

impl<'a> Metric<'a> {
    fn new(segment: &'a Segment, temporality: Temporality) -> Self {
        let table = &segment.table;
        let mut described = Vec::new();
        let (mut data, mut trailer) = (5, Vec::new());
        let temporality = match temporality {
            Temporality::Delta => 1,
            Temporality::Cumulative => 2,
        };
        if let Some(spec) = table.instruments().get(segment.instrument) {
            wire::bytes(&mut described, 1, spec.name.as_bytes());
            wire::bytes(&mut described, 2, table.description(segment.instrument).as_bytes());
            wire::bytes(&mut described, 3, spec.unit.as_bytes());
        }
        match table.layout().get(segment.instrument).map(|instrument| instrument.kind) {
            Some(InstrumentKind::Counter) => {
                data = 7;
                wire::integer(&mut trailer, 2, temporality);
                wire::integer(&mut trailer, 3, 1);
            }
            Some(InstrumentKind::Histogram) => {
                data = 9;
                wire::integer(&mut trailer, 2, temporality);
            }
            Some(InstrumentKind::Gauge) | None => {}
        }
        let points = segment.points.clone();
        let len = described.len() + wire::len_field(data, points.len() + trailer.len());
        Self { table_id: table.id(), scope: table.scope(), described, data, trailer, points, len }
    }

    fn write(&self, points: &[u8], out: &mut Vec<u8>) {
        wire::head(out, 2, self.len);
        out.extend_from_slice(&self.described);
        wire::head(out, self.data, self.points.len() + self.trailer.len());
        out.extend_from_slice(points.get(self.points.clone()).unwrap_or_default());
        out.extend_from_slice(&self.trailer);
    }
}
