//! Records in, series out, against counts made by hand.

use std::{collections::BTreeMap, sync::Arc};

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::{BootClock, FieldKind, InstrumentKind, kind::Scalar};
use ig_series::{ExporterFilter, Registry, RegistryLimits, Verbatim};
use proptest::prelude::*;

use super::{Measure, MeasurePlan, MetricRequest, TablePlace};
use crate::{
    column::{Columns, FormatContext},
    format::Accounts,
};

/// comm[8] @0, uid u32 @8, delta i32 @12, slots u32[4] @16
const SIZE: usize = 32;

fn field(name: &str, kind: FieldKind, offset: usize, size: usize) -> Field {
    Field::new(name, kind, offset, size)
}

fn source(kind: SourceKind) -> DataSource {
    let origin = Origin::Tracer { map: "events".into() };
    DataSource {
        fields: vec![
            field("comm", FieldKind::CString, 0, 8),
            field("uid", FieldKind::Uint32, 8, 4),
            field("delta", FieldKind::Int32, 12, 4),
            field("slots", FieldKind::Array(Scalar::Uint(4)), 16, 16),
        ],
        ..DataSource::new("events", kind, origin, SIZE)
    }
}

fn record(comm: &str, garbage: u8, uid: u32, delta: i32, slots: [u32; 4]) -> Vec<u8> {
    let mut bytes = comm.as_bytes().to_vec();
    bytes.push(0);
    bytes.resize(8, garbage);
    bytes.extend(uid.to_ne_bytes());
    bytes.extend(delta.to_ne_bytes());
    bytes.extend(slots.iter().flat_map(|slot| slot.to_ne_bytes()));
    bytes
}

fn columns(source: &DataSource) -> Columns {
    let accounts = Arc::new(Accounts::in_root(std::path::Path::new("/nonexistent")));
    Columns::plan(source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

fn request(name: &str, kind: InstrumentKind, field: Option<&str>, labels: &[&str]) -> MetricRequest {
    MetricRequest {
        field: field.map(str::to_owned),
        labels: labels.iter().map(|label| ((*label).to_owned(), (*label).to_owned())).collect(),
        ..MetricRequest::new(name, kind)
    }
}

struct Bench {
    registry: Registry,
    measures: Vec<Measure>,
}

impl Bench {
    fn new(source: &DataSource, requests: &[MetricRequest]) -> Self {
        Self::with_limit(source, requests, 1000)
    }

    fn with_limit(source: &DataSource, requests: &[MetricRequest], limit: usize) -> Self {
        let registry = Registry::new(RegistryLimits { series_total: 10_000 }, Arc::new(Verbatim));
        let plans = MeasurePlan::from_requests(source, &columns(source), requests);
        assert!(plans.errors.is_empty(), "{:?}", plans.errors);
        let measures = plans
            .plans
            .iter()
            .map(|plan| {
                let place = TablePlace {
                    gadget: "g".into(),
                    scope: "g".into(),
                    limit,
                    stale_after: None,
                    exporters: ExporterFilter::All,
                };
                let registration = registry.register(plan.table_spec(place), plan.labeler()).unwrap();
                assert!(registration.refused.is_empty());
                Measure::new(plan, registration.table)
            })
            .collect();
        Self { registry, measures }
    }

    fn take(&mut self, record: &[u8]) {
        for measure in &mut self.measures {
            measure.take(record);
        }
    }

    /// The cells of each series by name and labels.
    fn samples(&mut self) -> BTreeMap<String, Vec<u64>> {
        for measure in &mut self.measures {
            measure.flush();
        }
        let mut samples = BTreeMap::new();
        for table in self.registry.tables() {
            let reader = table.read();
            for row in (0..reader.positions()).filter_map(|position| reader.row(position)) {
                for (spec, instrument) in table.instruments().iter().zip(table.layout()) {
                    if row.hides(instrument) {
                        continue;
                    }
                    let labels = std::str::from_utf8(row.text).unwrap().trim_end_matches(',');
                    samples.insert(format!("{}{{{labels}}}", spec.name), row.cells(instrument).to_vec());
                }
            }
        }
        samples
    }
}

/// Scenario: any records, in any number, with garbage behind the text's end.
/// Guarantees: a counter per label set, a sum per label set and a total agree with counts made by hand, whatever the
/// grouping; garbage makes no series of its own; negative increments are rejected and counted, not added.
#[test]
fn counters_agree_with_counts_made_by_hand() {
    let strategy = proptest::collection::vec((0_u8..4, any::<u8>(), 0_u32..3, -2_i32..50), 0..100);
    proptest!(|(records in strategy)| {
        let source = source(SourceKind::Single);
        let mut bench = Bench::new(&source, &[
            request("events", InstrumentKind::Counter, None, &["comm", "uid"]),
            request("bytes", InstrumentKind::Counter, Some("delta"), &["comm", "uid"]),
            request("all", InstrumentKind::Counter, None, &[]),
        ]);
        let mut counts: BTreeMap<(u8, u32), (u64, i64)> = BTreeMap::new();
        let mut rejected = 0;
        for (comm, garbage, uid, delta) in &records {
            bench.take(&record(&format!("c{comm}"), *garbage, *uid, *delta, [0; 4]));
            let entry = counts.entry((*comm, *uid)).or_default();
            entry.0 += 1;
            if *delta < 0 { rejected += 1 } else { entry.1 += i64::from(*delta) }
        }
        let samples = bench.samples();
        for ((comm, uid), (events, bytes)) in &counts {
            let labels = format!("{{comm=\"c{comm}\",uid=\"{uid}\"}}");
            prop_assert_eq!(samples.get(&format!("events{labels}")), Some(&vec![*events]));
            prop_assert_eq!(samples.get(&format!("bytes{labels}")), Some(&vec![bytes.cast_unsigned()]));
        }
        if !records.is_empty() {
            prop_assert_eq!(samples.get("all{}"), Some(&vec![records.len() as u64]));
            prop_assert_eq!(samples.len(), 2 * counts.len() + 1);
        }
        let counted: u64 = bench.measures.iter_mut().map(Measure::take_rejected).sum();
        prop_assert_eq!(counted, rejected);
    });
}

/// Scenario: slot arrays of two records with a scale from microseconds to seconds.
/// Guarantees: buckets end at 1, 2, 4, 8 microseconds, the sum is that of the slots' bounds, the scale is kept.
#[test]
fn slots_become_buckets() {
    let source = source(SourceKind::Array);
    let latency = MetricRequest {
        scale: 1e-6,
        unit: "s".into(),
        ..request("latency", InstrumentKind::Histogram, Some("slots"), &["comm"])
    };
    let mut bench = Bench::new(&source, &[latency]);
    bench.take(&record("a", 0, 0, 0, [1, 0, 2, 0]));
    bench.take(&record("a", 0, 0, 0, [0, 3, 0, 1]));
    assert_eq!(bench.samples()["latency{comm=\"a\"}"], [23, 1, 3, 2, 1, 0]);
    let tables = bench.registry.tables();
    let latency = &tables[0].layout()[0];
    assert_eq!((latency.scale, latency.bounds()), (1e-6, &[1.0, 2.0, 4.0, 8.0][..]));
}

/// Scenario: two fetches of an array source; what the first has is missing from the second.
/// Guarantees: a gauge without field counts the latest fetch only, and a series not in it is gone.
#[test]
fn gauges_count_the_latest_fetch() {
    let source = source(SourceKind::Array);
    let mut bench = Bench::new(&source, &[request("alive", InstrumentKind::Gauge, None, &["comm"])]);
    for (first, second) in [("a", "b"), ("b", "b")] {
        bench.measures[0].begin_fetch();
        bench.take(&record(first, 0, 0, 0, [0; 4]));
        bench.take(&record(second, 0, 0, 0, [0; 4]));
        bench.measures[0].end_fetch();
    }
    let samples = bench.samples();
    assert_eq!(samples, BTreeMap::from([("alive{comm=\"b\"}".to_owned(), vec![2])]));
}

/// Scenario: keys that share a series: past the limit, and texts that are shown alike; a fetch that was given up before.
/// Guarantees: a counting gauge is the sum over the keys of the last fetch; a gauge of a field is not in the overflow
/// series, where no value would be true.
#[test]
fn counting_gauges_add_up_over_keys_that_share_a_series() {
    let source = source(SourceKind::Array);
    let requests = [
        request("alive", InstrumentKind::Gauge, None, &["comm"]),
        request("level", InstrumentKind::Gauge, Some("delta"), &["comm"]),
    ];
    let mut bench = Bench::with_limit(&source, &requests, 1);
    let record_of = |byte: u8, delta: i32| {
        let mut bytes = record("", 0, 0, delta, [0; 4]);
        bytes[0] = byte;
        bytes
    };
    for end in [false, true] {
        bench.measures[0].begin_fetch();
        // Bytes that are no text are shown alike; the others do not fit.
        for (byte, times) in [(0xff, 1), (0xfe, 10), (0xfd, 100), (b'a', 1), (b'b', 10), (b'c', 100)] {
            for _ in 0..times {
                bench.take(&record_of(byte, 5));
            }
        }
        if end {
            bench.measures[0].end_fetch();
        }
    }
    let samples = bench.samples();
    let alike = "{comm=\"\u{fffd}\"}";
    assert_eq!(samples.get(&format!("alive{alike}")), Some(&vec![111]), "{samples:?}");
    assert_eq!(samples.get(&format!("level{alike}")), Some(&vec![5]));
    assert_eq!(samples.get("alive{}"), Some(&vec![111]), "{samples:?}");
    assert_eq!(samples.get("level{}"), None);
}

/// Scenario: metrics that cannot be made of the data source.
/// Guarantees: each error names the metric and what is wrong, with the nearest field for a typo.
#[test]
fn impossible_metrics_are_errors() {
    let source = source(SourceKind::Single);
    for (request, expected) in [
        (request("m", InstrumentKind::Counter, None, &["com"]), "did you mean `comm`"),
        (request("m", InstrumentKind::Counter, Some("comm"), &[]), "no number"),
        (request("m", InstrumentKind::Counter, Some("slots"), &[]), "array"),
        (request("m", InstrumentKind::Histogram, None, &[]), "field"),
        (request("m", InstrumentKind::Gauge, None, &[]), "stream of events"),
    ] {
        let plans = MeasurePlan::from_requests(&source, &columns(&source), &[request]);
        let text = plans.errors[0].to_string();
        assert!(text.starts_with("metric `m`: ") && text.contains(expected), "{text}");
    }
}

/// Scenario: annotations ask for a key, an implicit counter, a gauge with a unit and a typed slot array.
/// Guarantees: they share the key as label and keep names, units and roles.
#[test]
fn annotations_make_instruments() {
    let mut source = source(SourceKind::Array);
    source.annotations.insert("metrics.collect".into(), "true".into());
    source.annotations.insert("metrics.implicit-counter.name".into(), "seen".into());
    source.fields[3].types.push("gadget_histogram_slot__u32".into());
    let annotations = |name: &str| {
        let list: &[(&str, &str)] = match name {
            "comm" => &[("metrics.type", "key"), ("metrics.name", "command")],
            "delta" => &[("metrics.type", "gauge"), ("metrics.unit", "By")],
            _ => &[],
        };
        list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let plan = MeasurePlan::from_annotations(&source, &columns(&source), annotations).unwrap().unwrap();
    let names: Vec<&str> = plan.instruments.iter().map(|instrument| instrument.spec.name.as_str()).collect();
    assert_eq!(names, ["seen", "delta", "slots"]);
    assert_eq!(plan.labels.len(), 1);
    assert_eq!((plan.labels[0].name.as_str(), plan.labels[0].column.name.as_str()), ("command", "comm"));
    source.annotations.clear();
    assert!(MeasurePlan::from_annotations(&source, &columns(&source), annotations).unwrap().is_none());
}
