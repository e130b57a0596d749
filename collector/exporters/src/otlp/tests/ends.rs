//! Receivers are told once that a series has ended.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};

use super::receiver::{Received, Receiver, Reply, metrics};
use super::*;
use ig_model::Temporality;
use ig_series::testing::{counter, gauge, histogram, key, labeler, registry, spec};
use ig_series::{ManualClock, Registry, Table, TableSpec};

/// A point of any kind.
#[derive(Clone, Debug)]
struct Point {
    id: i64,
    time: u64,
    start: u64,
    ended: bool,
    /// Value or count.
    value: i64,
}

fn id(attributes: &[KeyValue]) -> i64 {
    use opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue;
    let id = attributes.iter().find(|attribute| attribute.key == "id").unwrap();
    let Some(IntValue(id)) = id.value.as_ref().unwrap().value else { panic!("{id:?}") };
    id
}

/// Points by metric, in order of arrival.
fn read(received: &[Received]) -> BTreeMap<String, Vec<Point>> {
    let mut out: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for metric in received.iter().flat_map(|received| metrics(&received.request)) {
        let points = out.entry(metric.name.clone()).or_default();
        match metric.data.as_ref().unwrap() {
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    points.push(Point {
                        id: id(&point.attributes),
                        time: point.time_unix_nano,
                        start: point.start_time_unix_nano,
                        ended: point.flags == 1,
                        value: point.count.cast_signed(),
                    });
                    assert!(point.flags == 0 || point.count == 0 && point.bucket_counts.is_empty());
                }
            }
            Data::Sum(opentelemetry_proto::tonic::metrics::v1::Sum { data_points, .. })
            | Data::Gauge(opentelemetry_proto::tonic::metrics::v1::Gauge { data_points }) => {
                for point in data_points {
                    assert_eq!(point.flags == 1, point.value.is_none());
                    let value = match point.value {
                        Some(Value::AsInt(value)) => value,
                        _ => 0,
                    };
                    points.push(Point {
                        id: id(&point.attributes),
                        time: point.time_unix_nano,
                        start: point.start_time_unix_nano,
                        ended: point.flags == 1,
                        value,
                    });
                }
            }
            other => panic!("{other:?}"),
        }
    }
    out
}

/// An exporter that tells of a table with a counter, a gauge and a histogram.
struct Bench {
    registry: Registry,
    clock: std::sync::Arc<ManualClock>,
    table: Table,
    receiver: Receiver,
    handle: OtlpHandle,
}

impl Bench {
    fn new(temporality: Temporality, script: Vec<Reply>, stale_after: Option<Duration>) -> Self {
        let (registry, clock) = registry(100);
        let instruments = vec![counter("c"), gauge("g"), histogram("h", &[10.0])];
        let spec = TableSpec { stale_after, ..spec("a", instruments, 10) };
        let table = registry.register(spec, labeler()).unwrap().table;
        let receiver = Receiver::new(script);
        let settings = OtlpSettings { temporality, ..settings("http://h", OtlpProtocol::Grpc) };
        let (exporter, handle) =
            OtlpExporter::over(receiver.in_memory(), &settings, &resource(), &registry, None);
        run(exporter);
        Self { registry, clock, table, receiver, handle }
    }

    fn count(&self, n: u32, value: u64) {
        let mut writer = self.table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, value);
        writer.set_int(row, 1, value.cast_signed());
        writer.observe_int(row, 2, 1);
    }

    /// Lets one interval go by.
    async fn second(&self) {
        self.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// What has come, by metric, and nothing of it again.
    fn take(&self) -> BTreeMap<String, Vec<Point>> {
        read(&self.receiver.take_received())
    }
}

fn ended(points: &[Point], id: i64) -> Vec<&Point> {
    points.iter().filter(|point| point.ended && point.id == id).collect()
}

/// Scenario: what a row stands for ends after more was counted; another row stays.
/// Guarantees: with either temporality the last values arrive, then one point for each instrument that says the end, with
/// the attributes of the series and later than any value; then nothing more.
#[tokio::test(start_paused = true)]
async fn a_row_that_ends_is_told_once() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        let bench = Bench::new(temporality, vec![], None);
        bench.count(1, 5);
        bench.count(2, 1);
        bench.second().await;
        bench.second().await;
        bench.take();
        bench.count(1, 2);
        bench.table.retire_where(|found| found == key(1));
        for _ in 0..3 {
            bench.second().await;
            bench.clock.advance(Duration::from_millis(10));
            bench.registry.sweep();
        }
        bench.second().await;
        let told = bench.take();
        for name in ["c", "g", "h"] {
            let of_row: Vec<&Point> = told[name].iter().filter(|point| point.id == 1).collect();
            assert_eq!(ended(&told[name], 1).len(), 1, "{name} {temporality:?}: {told:?}");
            let (end, values) = of_row.split_last().unwrap();
            assert!(end.ended, "{name} {temporality:?}: {of_row:?}");
            assert!(values.iter().all(|value| value.time < end.time && value.start <= value.time));
            let got = match temporality {
                Temporality::Cumulative => values.last().unwrap().value,
                Temporality::Delta => values.iter().map(|value| value.value).sum(),
            };
            match (name, temporality) {
                ("c", Temporality::Cumulative) => assert_eq!(got, 7),
                ("c", Temporality::Delta) | ("h", Temporality::Cumulative) => assert_eq!(got, 2),
                ("h", Temporality::Delta) => assert_eq!(got, 1),
                _ => {}
            }
            assert!(ended(&told[name], 2).is_empty());
        }
        bench.second().await;
        let later = bench.take();
        assert!(later.values().flatten().all(|point| point.id == 2), "{later:?}");
    }
}

/// Scenario: a row is idle for the stale time while its counter waits for its last export; its gauge does not wait.
/// Guarantees: the end is told of the gauge alone, then of the counters too; what comes after is later.
#[tokio::test(start_paused = true)]
async fn a_stale_gauge_is_told_at_once() {
    let bench = Bench::new(Temporality::Cumulative, vec![], Some(Duration::from_secs(10)));
    bench.count(1, 5);
    bench.second().await;
    bench.second().await;
    bench.count(1, 1);
    bench.take();
    bench.clock.advance(Duration::from_secs(20));
    bench.registry.sweep();
    bench.second().await;
    let told = bench.take();
    let end = ended(&told["g"], 1)[0].time;
    assert_eq!(told["g"].len(), 1, "{told:?}");
    assert!(ended(&told["c"], 1).is_empty() && ended(&told["h"], 1).is_empty());
    bench.second().await;
    bench.registry.sweep();
    bench.second().await;
    bench.second().await;
    let told = bench.take();
    assert_eq!((ended(&told["c"], 1).len(), ended(&told["h"], 1).len()), (1, 1), "{told:?}");
    bench.count(1, 6);
    bench.second().await;
    bench.second().await;
    let later = bench.take();
    assert!(later["g"].iter().all(|point| !point.ended && point.time > end), "{later:?}");
}

/// Scenario: a gadget goes, and its table with it; nothing was counted since the last push.
/// Guarantees: every series of it is told to have ended, once, after its last value.
#[tokio::test(start_paused = true)]
async fn a_table_that_leaves_is_told_once() {
    let bench = Bench::new(Temporality::Delta, vec![], None);
    bench.count(1, 5);
    bench.count(2, 5);
    bench.second().await;
    bench.second().await;
    bench.take();
    bench.table.unregister();
    bench.second().await;
    bench.second().await;
    let told = bench.take();
    for (name, points) in &told {
        assert_eq!((ended(points, 1).len(), ended(points, 2).len()), (1, 1), "{name}: {points:?}");
        assert!(points.last().unwrap().ended);
    }
    assert_eq!(told.len(), 3);
    bench.second().await;
    assert!(bench.take().is_empty());
}

/// Scenario: the collector stops; or another exporter takes the place of this one.
/// Guarantees: gauges are told to have ended only in the first case, after their last value; counters go on.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_gauges() {
    for continued in [false, true] {
        let bench = Bench::new(Temporality::Cumulative, vec![], None);
        bench.count(1, 5);
        bench.second().await;
        bench.second().await;
        bench.take();
        bench.clock.advance(Duration::from_secs(1));
        let report = if continued {
            bench.handle.flush_and_hand_over(in_a_minute()).await
        } else {
            bench.handle.flush_and_stop(in_a_minute()).await
        };
        assert_eq!(report.dropped_items, 0);
        let told = bench.take();
        assert!(ended(&told["c"], 1).is_empty() && ended(&told["h"], 1).is_empty());
        assert_eq!(ended(&told["g"], 1).len(), usize::from(!continued), "{told:?}");
        let times: Vec<u64> = told["g"].iter().map(|point| point.time).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
        assert!(!told["g"][0].ended);
    }
}

/// Scenario: a receiver is away for so long that rows do not wait for it any more, because another exporter has taken
/// them; then the message that tells the end of one is refused.
/// Guarantees: with deltas the last values travel in the next one; what may be why the message was refused does not.
#[tokio::test(start_paused = true)]
async fn the_last_delta_of_a_row_survives_a_refusal() {
    let stale_after = Some(Duration::from_secs(10));
    let bench = Bench::new(Temporality::Delta, vec![Reply::Accept, Reply::Refuse], stale_after);
    bench.count(1, 5);
    bench.second().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    bench.take();
    bench.count(1, 2);
    bench.clock.advance(Duration::from_mins(10));
    let walk = bench.table.read().begin_walk();
    bench.table.read().end_walk("prometheus", walk);
    bench.registry.sweep();
    bench.second().await;
    let refused = bench.take();
    assert_eq!(ended(&refused["c"], 1).len(), 1, "{refused:?}");
    bench.second().await;
    let told = bench.take();
    assert_eq!(told["c"].iter().map(|point| (point.value, point.ended)).collect::<Vec<_>>(), [(2, false)]);
    assert_eq!(told["h"].iter().map(|point| (point.value, point.ended)).collect::<Vec<_>>(), [(1, false)]);
    bench.second().await;
    assert!(bench.take().is_empty());
}
