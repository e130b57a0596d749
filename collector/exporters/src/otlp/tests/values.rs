//! What arrives is what was counted, in every form.

use std::collections::BTreeMap;

use ig_model::otlp::Compression;
use ig_series::testing::{START, counter, gauge, histogram, key, labeler, registry, spec};
use ig_series::{ExporterFilter, InstrumentSpec, NumberKind, Registry, Table, TableSpec};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::receiver::{Receiver, points, sums};
use super::*;

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn attributes(n: i64) -> Vec<KeyValue> {
    vec![
        attribute("proc.comm", any_value::Value::StringValue(format!("comm-{n}"))),
        attribute("id", any_value::Value::IntValue(n)),
    ]
}

fn overflow() -> Vec<KeyValue> {
    vec![attribute("otel.metric.overflow", any_value::Value::BoolValue(true))]
}

fn number(attributes: Vec<KeyValue>, start: u64, value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: START,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.to_owned(),
        description: format!("What {name} counts"),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn table() -> (Registry, Vec<Table>) {
    let (registry, _) = registry(100);
    let ratio = InstrumentSpec { unit: "1".to_owned(), number: NumberKind::Float, ..gauge("used") };
    let scaled =
        InstrumentSpec { unit: "s".to_owned(), scale: 1e-3, ..histogram("latency", &[1000.0, 2000.0]) };
    let table =
        registry.register(spec("trace", vec![counter("opens"), ratio, scaled], 2), labeler()).unwrap().table;
    for n in 0..4 {
        let mut writer = table.write();
        let row = writer.row(&key(n));
        writer.add_int(row, 0, u64::MAX * u64::from(n == 1) + u64::from(n == 0));
        writer.set_float(row, 1, f64::from(n) / 4.0);
        writer.observe_int(row, 2, 1500);
    }
    let hidden = TableSpec {
        exporters: ExporterFilter::Names(vec!["prometheus".to_owned()]),
        ..spec("hidden", vec![counter("hidden")], 2)
    };
    let hidden = registry.register(hidden, labeler()).unwrap().table;
    hidden.write().row(&key(1));
    (registry, vec![table, hidden])
}

/// The message as the generated types would build it.
fn expected() -> ExportMetricsServiceRequest {
    use number_data_point::Value::{AsDouble, AsInt};
    let latency = |attributes, count: u64| HistogramDataPoint {
        attributes,
        start_time_unix_nano: START,
        time_unix_nano: START,
        count,
        sum: Some(count as f64 * 1.5),
        bucket_counts: vec![0, count, 0],
        explicit_bounds: vec![1.0, 2.0],
        ..HistogramDataPoint::default()
    };
    let opens = Sum {
        data_points: vec![
            number(overflow(), START, AsInt(0)),
            number(attributes(0), START, AsInt(1)),
            number(attributes(1), START, AsInt(i64::MAX)),
        ],
        aggregation_temporality: 2,
        is_monotonic: true,
    };
    let used = Gauge {
        data_points: vec![number(attributes(0), 0, AsDouble(0.0)), number(attributes(1), 0, AsDouble(0.25))],
    };
    let latencies = Histogram {
        data_points: vec![latency(overflow(), 2), latency(attributes(0), 1), latency(attributes(1), 1)],
        aggregation_temporality: 2,
    };
    let metrics = vec![
        metric("opens", "", Data::Sum(opens)),
        metric("used", "1", Data::Gauge(used)),
        metric("latency", "s", Data::Histogram(latencies)),
    ];
    let scope = InstrumentationScope { name: "trace".to_owned(), ..InstrumentationScope::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let service = attribute("service.name", any_value::Value::StringValue("ig".to_owned()));
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics,
            ..ResourceMetrics::default()
        }],
    }
}

/// Scenario: counters, gauges and histograms, an overflow row, a table for another exporter; both protocols, plain
/// and compressed, with headers.
/// Guarantees: the decoded message equals the one the generated types describe, and arrives once at the flush.
#[tokio::test]
async fn every_protocol_carries_the_same_values() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        for gzip in [false, true] {
            let receiver = Receiver::new([]);
            let address = match protocol {
                OtlpProtocol::Grpc => receiver.serve_grpc().await,
                OtlpProtocol::HttpProtobuf => receiver.serve_http().await,
            };
            let (registry, _tables) = table();
            let settings = OtlpSettings {
                compression: if gzip { Compression::Gzip } else { Compression::None },
                headers: BTreeMap::from([("X-Scope-OrgID".to_owned(), Secret::new("team"))]),
                interval: Duration::from_hours(1),
                ..settings(&format!("http://{address}"), protocol)
            };
            let (exporter, handle) = exporter(&settings, &registry).unwrap();
            run(exporter);
            let report = handle.flush_and_hand_over(in_a_minute()).await;
            assert_eq!(report, FlushReport { delivered_items: 8, dropped_items: 0 });
            let received = receiver.received();
            assert_eq!(received.len(), 1);
            assert_eq!(received[0].request, expected(), "{protocol:?}");
            assert_eq!(received[0].headers["x-scope-orgid"], "team");
            let stats = handle.metrics();
            assert_eq!((stats.exported_items, stats.exported_batches, stats.failed_attempts), (8, 1, 0));
        }
    }
}

/// Scenario: one gadget has two tables, which other tables stand between; some labels have no value; a unit is in
/// microseconds.
/// Guarantees: a message has one scope of each name, no attribute without a value, and
/// no sign in a unit that receivers drop.
#[tokio::test(start_paused = true)]
async fn a_message_has_each_scope_once() {
    struct Blank;
    impl ig_series::Labeler for Blank {
        fn render(&self, _: &[u8], index: usize, out: &mut String) {
            if index == 1 {
                out.push('7');
            }
        }
        fn fingerprint(&self) -> u64 {
            1
        }
    }
    let (registry, _) = registry(100);
    let micro = InstrumentSpec { unit: "\u{b5}s".to_owned(), ..counter("spent") };
    let register = |gadget: &str, scope: &str, instruments| {
        let spec = TableSpec { scope: scope.to_owned(), ..spec(gadget, instruments, 10) };
        let table = registry.register(spec, Box::new(Blank)).unwrap().table;
        table.write().row(&key(1));
        table
    };
    let _tables = [
        register("a", "a", vec![counter("c"), micro]),
        register("b", "b", vec![counter("c")]),
        register("a", "a", vec![counter("d")]),
    ];
    let receiver = Receiver::new([]);
    let settings = settings("http://h", OtlpProtocol::Grpc);
    let (exporter, handle) =
        OtlpExporter::over(receiver.in_memory(), &settings, &resource(), &registry, None);
    run(exporter);
    handle.flush_and_stop(in_a_minute()).await;
    let received = receiver.received();
    let resource = &received[0].request.resource_metrics[0];
    let scopes: Vec<(&str, Vec<&str>)> = resource
        .scope_metrics
        .iter()
        .map(|scope| {
            let mut names: Vec<&str> = scope.metrics.iter().map(|metric| metric.name.as_str()).collect();
            names.sort_unstable();
            (scope.scope.as_ref().unwrap().name.as_str(), names)
        })
        .collect();
    assert_eq!(scopes, [("a", vec!["c", "d", "spent"]), ("b", vec!["c"])]);
    let spent = resource.scope_metrics[0].metrics.iter().find(|metric| metric.name == "spent").unwrap();
    assert_eq!(spent.unit, "us");
    let Some(Data::Sum(sum)) = &spent.data else { panic!("{spent:?}") };
    assert_eq!(sum.data_points[0].attributes, [attribute("id", any_value::Value::IntValue(7))]);
}

/// Scenario: more series than a message takes.
/// Guarantees: messages stay within 5,000 points, every series comes exactly once.
#[tokio::test(start_paused = true)]
async fn large_stores_are_sent_in_parts() {
    let (registry, _) = registry(100_000);
    let table =
        registry.register(spec("a", vec![counter("c"), gauge("g")], 100_000), labeler()).unwrap().table;
    for n in 0..6000 {
        table.write().row(&key(n));
    }
    let receiver = Receiver::new([]);
    let (exporter, handle) = OtlpExporter::over(
        receiver.in_memory(),
        &settings("http://h", OtlpProtocol::Grpc),
        &resource(),
        &registry,
        None,
    );
    run(exporter);
    handle.flush_and_hand_over(in_a_minute()).await;
    let sizes: Vec<usize> = receiver.received().iter().map(|received| points(&received.request)).collect();
    assert_eq!(sizes, [5000, 5000, 2000]);
}

/// Scenario: a gadget goes between two collections; its table is unregistered.
/// Guarantees: its last values are sent once more, then no more.
#[tokio::test(start_paused = true)]
async fn the_last_values_of_a_gadget_are_sent() {
    let (registry, _) = registry(100);
    let table = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    let staying = registry.register(spec("b", vec![counter("d")], 10), labeler()).unwrap().table;
    staying.write().row(&key(1));
    let receiver = Receiver::new([]);
    let (exporter, _handle) = OtlpExporter::over(
        receiver.in_memory(),
        &settings("http://h", OtlpProtocol::Grpc),
        &resource(),
        &registry,
        None,
    );
    run(exporter);
    let mut writer = table.write();
    let row = writer.row(&key(1));
    writer.add_int(row, 0, 7);
    drop(writer);
    drop(table);
    receiver.until(2).await;
    let received = receiver.received();
    assert_eq!(sums(&received[..1], "c").iter().map(|sum| sum.2).collect::<Vec<_>>(), [7]);
    assert!(sums(&received[1..], "c").is_empty());
}
