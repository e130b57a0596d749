//! Deltas add up, whatever becomes of a message.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::receiver::{Received, Receiver, Reply, metrics, sums};
use super::*;
use ig_series::testing::{START, counter, gauge, histogram, key, labeler, registry, spec};

fn delta(interval: u64) -> OtlpSettings {
    OtlpSettings {
        temporality: ig_model::Temporality::Delta,
        interval: Duration::from_secs(interval),
        retry: RetrySettings { max_elapsed: Duration::from_secs(5), ..RetrySettings::default() },
        ..settings("http://h", OtlpProtocol::Grpc)
    }
}

fn accepted(receiver: &Receiver) -> Vec<Received> {
    receiver.received().into_iter().filter(|received| received.accepted).collect()
}

/// Scenario: messages are refused for good, dropped after retries and delayed, while counting goes on and a second
/// series appears.
/// Guarantees: what was accepted adds up to what was counted, and each point starts where the last accepted one of
/// its series ended.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_with_a_dropped_message() {
    let (registry, clock) = registry(100);
    let instruments = vec![counter("c"), histogram("h", &[10.0]), gauge("g")];
    let table = registry.register(spec("a", instruments, 10), labeler()).unwrap().table;
    let receiver = Receiver::new([
        Reply::Accept,
        Reply::Refuse,
        // Longer than all tries may take, whatever the wait between the two.
        Reply::Hang,
        Reply::Hang,
        Reply::Busy(None),
        Reply::Accept,
        Reply::Refuse,
    ]);
    let settings = OtlpSettings { timeout: Duration::from_secs(4), ..delta(2) };
    let (exporter, handle) =
        OtlpExporter::over(receiver.in_memory(), &settings, &resource(), &registry, None);
    run(exporter);
    let mut total = 0;
    for second in 0..40u64 {
        let mut writer = table.write();
        let row = writer.row(&key(1));
        writer.add_int(row, 0, second);
        writer.observe_int(row, 1, i64::try_from(second).unwrap());
        writer.set_int(row, 2, 5);
        total += second;
        if second > 20 {
            let late = writer.row(&key(2));
            writer.add_int(late, 0, 1000);
            total += 1000;
        }
        drop(writer);
        clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    handle.flush_and_stop(in_a_minute()).await;

    let accepted = accepted(&receiver);
    let stats = handle.metrics();
    assert_eq!(stats.deferred_batches, 3, "{stats:?}");
    assert_eq!(stats.all_dropped_items(), 0, "what travels later is not lost: {stats:?}");
    assert!(stats.collections_skipped > 0, "{stats:?}");
    let sums = sums(&accepted, "c");
    assert_eq!(sums.iter().map(|sum| sum.2).sum::<i64>().cast_unsigned(), total);
    let mut ends = [START, START + 21_000_000_000];
    for (start, end, _) in sums {
        let series = usize::from(start != ends[0]);
        assert_eq!(start, ends[series]);
        assert!(end > start);
        ends[series] = end;
    }
    let (mut count, mut sum, mut gauges) = (0, 0.0, 0);
    for metric in accepted.iter().flat_map(|received| metrics(&received.request)) {
        match metric.data.as_ref().unwrap() {
            Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, 1);
                for point in &histogram.data_points {
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    count += point.count;
                    sum += point.sum.unwrap();
                }
            }
            Data::Gauge(gauge) => gauges += gauge.data_points.len(),
            Data::Sum(sum) => assert_eq!(sum.aggregation_temporality, 1),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((count, sum), (40, 780.0));
    assert!(gauges > 3);
}

/// Scenario: a counter stands still; later its gadget goes while the receiver refuses.
/// Guarantees: an unchanged series sends no points; the last delta of a table that left arrives all the same.
#[tokio::test(start_paused = true)]
async fn the_last_delta_of_a_gadget_survives_a_refusal() {
    let (registry, clock) = registry(100);
    let table = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    let add = |value| {
        let mut writer = table.write();
        let row = writer.row(&key(1));
        writer.add_int(row, 0, value);
    };
    let receiver = Receiver::new([Reply::Accept, Reply::Refuse]);
    let (exporter, handle) =
        OtlpExporter::over(receiver.in_memory(), &delta(1), &resource(), &registry, None);
    run(exporter);
    add(5);
    clock.advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(5500)).await;
    assert_eq!(receiver.received().len(), 1);
    add(6);
    table.unregister();
    clock.advance(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(receiver.received().len(), 3);
    assert_eq!(sums(&accepted(&receiver), "c").iter().map(|sum| sum.2).collect::<Vec<_>>(), [5, 6]);
    let stats = handle.metrics();
    assert!(stats.deferred_items > 0 && stats.all_dropped_items() == 0, "{stats:?}");
}
