//! The numbers of the process, as messages.

use std::sync::Mutex;

use ig_series::ManualClock;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value};
use prost::Message as _;

use super::*;

const START: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn family(name: &'static str, kind: InstrumentKind, unit: &'static str, points: &[(&str, f64)]) -> OwnFamily {
    let points = points.iter().map(|(gadget, value)| OwnPoint {
        attributes: vec![("gadget", (*gadget).to_owned())],
        value: *value,
    });
    OwnFamily { name, description: "What it means".to_owned(), unit, kind, points: points.collect() }
}

/// A source of what is put into it.
fn bench() -> (Own, Arc<Mutex<Vec<OwnFamily>>>, Arc<ManualClock>) {
    let families = Arc::new(Mutex::new(Vec::new()));
    let read = Arc::clone(&families);
    let clock = Arc::new(ManualClock::new(START));
    let dyn_clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let own = Own::new(Arc::new(move || read.lock().unwrap().clone()), dyn_clock, Vec::new());
    (own, families, clock)
}

/// One round a second after the last: each metric's name, whether it is a total, and its points.
fn round(own: &mut Own, clock: &ManualClock, round: Round) -> Vec<(String, bool, Vec<NumberDataPoint>)> {
    clock.advance(std::time::Duration::from_secs(1));
    own.begin(round);
    let mut out = Vec::new();
    while let Some((message, ())) = own.next() {
        let request = ExportMetricsServiceRequest::decode(message.bytes).unwrap();
        for scope in request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics) {
            assert_eq!(scope.scope.unwrap().name, "ig");
            for metric in scope.metrics {
                let (total, points) = match metric.data.unwrap() {
                    Data::Sum(sum) => {
                        assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
                        (true, sum.data_points)
                    }
                    Data::Gauge(gauge) => (false, gauge.data_points),
                    other => panic!("{other:?}"),
                };
                out.push((metric.name, total, points));
            }
        }
    }
    out
}

/// Scenario: a counter counts, is begun anew, and goes; a gauge and a time stay.
/// Guarantees: totals start at one constant time, a new beginning has a start of its own, what has gone is told once,
/// and after the last round gauges are.
#[test]
fn own_series_begin_and_end_as_those_of_gadgets() {
    use InstrumentKind::{Counter, Gauge};
    let (mut own, families, clock) = bench();
    let put = |points: &[(&str, f64)]| {
        *families.lock().unwrap() = vec![
            family("ig_gadget_restarts", Counter, "", points),
            family("ig_series", Gauge, "", &[("a", 3.0)]),
            family("process_cpu_seconds", Counter, "s", &[("", 2.0)]),
        ];
    };
    put(&[("a", 5.0), ("b", 1.0)]);
    let first = round(&mut own, &clock, Round::Next);
    let names: Vec<(&str, bool)> = first.iter().map(|(name, total, _)| (name.as_str(), *total)).collect();
    assert_eq!(names, [("ig_gadget_restarts", true), ("ig_series", false), ("process_cpu_seconds", true)]);
    let point = &first[0].2[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (START, START + SECOND));
    assert_eq!(point.value, Some(Value::AsInt(5)));
    assert_eq!(first[2].2[0].value, Some(Value::AsDouble(2.0)));
    assert!(first[2].2[0].attributes.is_empty(), "an empty value is no attribute");

    put(&[("a", 2.0)]);
    let second = round(&mut own, &clock, Round::Next);
    let [anew, gone] = second[0].2.as_slice() else { panic!("{second:?}") };
    assert_eq!((anew.start_time_unix_nano, anew.value), (START + SECOND, Some(Value::AsInt(2))));
    assert_eq!((gone.flags, gone.value), (1, None));
    assert_eq!(gone.attributes, first[0].2[1].attributes);
    assert_eq!(second[2].2[0].start_time_unix_nano, START);

    let last = round(&mut own, &clock, Round::Last);
    assert_eq!(last[0].2.len(), 1, "what has gone is told once");
    assert_eq!((last[1].2[0].flags, last[1].2[0].value), (1, None));
    assert_eq!(last[2].2[0].value, Some(Value::AsDouble(2.0)));
}

/// Scenario: more series than a message takes; then the receiver finds a message too large.
/// Guarantees: messages stay within the limit, which shrinks, and no series is missing or stands twice.
#[test]
fn many_own_series_are_sent_in_parts() {
    let (mut own, families, clock) = bench();
    let names: Vec<String> = (0..6000).map(|number| number.to_string()).collect();
    let points: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    *families.lock().unwrap() = vec![family("ig_series", InstrumentKind::Gauge, "", &points)];
    let sizes: Vec<usize> =
        round(&mut own, &clock, Round::Next).iter().map(|(_, _, points)| points.len()).collect();
    assert_eq!(sizes, [5000, 1000]);
    own.begin(Round::Next);
    let (message, ()) = own.next().unwrap();
    let Smaller::Parts(parts) = own.too_large(&message, Some(())) else { panic!("not divided") };
    assert_eq!(parts.iter().map(|(part, _)| part.items).sum::<u64>(), 5000);
    assert_eq!(round(&mut own, &clock, Round::Next).len(), 3);
}
