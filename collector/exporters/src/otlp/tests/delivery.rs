//! Receivers that are busy, away, silent or picky.

use super::receiver::{Received, Receiver, Reply, sums};
use super::*;
use ig_series::testing::{counter, key, labeler, registry, spec};
use ig_series::{Registry, Table};

/// A store with one counter at one.
fn one() -> (Registry, Table) {
    let (registry, _) = registry(100);
    let table = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    add(&table, 1);
    (registry, table)
}

fn add(table: &Table, value: u64) {
    let mut writer = table.write();
    let row = writer.row(&key(1));
    writer.add_int(row, 0, value);
}

fn start(settings: &OtlpSettings, registry: &Registry, receiver: &Receiver) -> OtlpHandle {
    let (exporter, handle) = OtlpExporter::over(receiver.in_memory(), settings, &resource(), registry, None);
    run(exporter);
    handle
}

fn gaps(received: &[Received]) -> Vec<Duration> {
    received.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

/// Scenario: a receiver is busy twice, then names a delay, then takes the message.
/// Guarantees: waits stay within steps that double, and the named delay is kept to the letter.
#[tokio::test(start_paused = true)]
async fn retry_info_is_honoured() {
    let (registry, _table) = one();
    let delay = Duration::from_secs(17);
    let receiver = Receiver::new([Reply::Busy(None), Reply::Busy(None), Reply::Busy(Some(delay))]);
    let settings =
        OtlpSettings { interval: Duration::from_secs(100), ..settings("http://h", OtlpProtocol::Grpc) };
    let handle = start(&settings, &registry, &receiver);
    receiver.until(4).await;
    let gaps = gaps(&receiver.received());
    let ms = Duration::from_millis;
    assert!(gaps[0] <= ms(1010) && gaps[1] <= ms(2010), "{gaps:?}");
    assert!(gaps[2] >= delay && gaps[2] <= delay + ms(10), "{gaps:?}");
    while handle.metrics().exported_items == 0 {
        tokio::task::yield_now().await;
    }
    let stats = handle.metrics();
    assert_eq!((stats.failed_attempts, stats.exported_items), (3, 1));
    assert!(stats.last_error.unwrap().contains("slow down"));
    assert!(stats.last_success_unix_nanos > 0);
}

/// Scenario: an HTTP receiver answers 429 with `Retry-After`, then 400.
/// Guarantees: the first is tried again, the second is dropped for good under its reason.
#[tokio::test]
async fn http_answers_are_told_apart() {
    let (registry, _table) = one();
    let receiver = Receiver::new([Reply::Busy(Some(Duration::ZERO)), Reply::Refuse]);
    let address = receiver.serve_http().await;
    let endpoint = format!("http://{address}/");
    let (exporter, handle) = exporter(&settings(&endpoint, OtlpProtocol::HttpProtobuf), &registry).unwrap();
    run(exporter);
    let report = handle.flush_and_stop(in_a_minute()).await;
    assert_eq!(report, FlushReport { delivered_items: 0, dropped_items: 1 });
    let stats = handle.metrics();
    assert_eq!(stats.dropped(DropReason::Refused), 1);
    assert_eq!(stats.failed_attempts, 2);
    assert!(stats.last_error.unwrap().contains("400 Bad Request: no"));
}

/// Scenario: a collector whose back end is throttled says so for a while, without a delay, over both protocols.
/// Guarantees: the message is tried again until it is taken, and the log has the words of the receiver.
#[tokio::test]
async fn a_throttle_is_waited_for() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let (registry, _table) = one();
        let receiver = Receiver::new([Reply::Throttle, Reply::Throttle]);
        let address = match protocol {
            OtlpProtocol::Grpc => receiver.serve_grpc().await,
            OtlpProtocol::HttpProtobuf => receiver.serve_http().await,
        };
        let retry = RetrySettings { initial: Duration::from_millis(1), ..RetrySettings::default() };
        let settings = OtlpSettings { retry, ..settings(&format!("http://{address}"), protocol) };
        let (exporter, handle) = exporter(&settings, &registry).unwrap();
        run(exporter);
        let report = handle.flush_and_stop(in_a_minute()).await;
        assert_eq!(report, FlushReport { delivered_items: 1, dropped_items: 0 }, "{protocol:?}");
        let stats = handle.metrics();
        assert_eq!(stats.failed_attempts, 2);
        let error = stats.last_error.unwrap();
        assert!(error.contains("rate limit") && !error.contains('\u{fffd}'), "{error}");
    }
}

/// Scenario: the receiver takes a message but rejects some points.
/// Guarantees: they are counted, with the receiver's words, and not sent again.
#[tokio::test(start_paused = true)]
async fn rejected_items_are_counted() {
    let (registry, _table) = one();
    let receiver = Receiver::new([Reply::Reject(1)]);
    let handle = start(&settings("http://h", OtlpProtocol::Grpc), &registry, &receiver);
    receiver.until(2).await;
    let stats = handle.metrics();
    assert_eq!((stats.rejected_items, stats.failed_attempts), (1, 0));
    assert!(stats.last_error.unwrap().contains("too old"));
}

/// Scenario: nothing listens at the endpoint for many intervals.
/// Guarantees: the queue stays within its bound, the oldest messages are dropped and counted, and stopping is
/// bounded by its deadline and reports what was left.
#[tokio::test(start_paused = true)]
async fn an_absent_receiver_costs_a_bounded_queue() {
    let (registry, table) = one();
    let receiver = Receiver::new((0..10_000).map(|_| Reply::Busy(None)));
    let settings = OtlpSettings {
        queue: QueueSettings { max_bytes: 400 },
        retry: RetrySettings { max_elapsed: Duration::from_hours(1), ..RetrySettings::default() },
        ..settings("http://h", OtlpProtocol::Grpc)
    };
    let handle = start(&settings, &registry, &receiver);
    for _ in 0..100 {
        add(&table, 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(handle.metrics().queue_bytes <= 400);
    }
    let stats = handle.metrics();
    assert!(stats.dropped(DropReason::QueueFull) > 80, "{stats:?}");
    assert!(stats.queue_bytes > 200, "{stats:?}");
    let before = Instant::now();
    let report = handle.flush_and_stop(before + Duration::from_secs(5)).await;
    assert!(before.elapsed() <= Duration::from_secs(6));
    assert!(report.dropped_items >= 4, "under way, queued, and the last collection: {report:?}");
    assert_eq!(report.delivered_items, 0);
    let stats = handle.metrics();
    assert_eq!(stats.dropped_items.iter().sum::<u64>() + stats.exported_items, stats.collections);
}

/// Scenario: a receiver is away for a while, longer than a message may be retried.
/// Guarantees: that message is dropped under its reason; afterwards the totals are right.
#[tokio::test(start_paused = true)]
async fn totals_are_right_after_an_outage() {
    let (registry, table) = one();
    let receiver = Receiver::new((0..1000).map(|_| Reply::Busy(None)));
    let settings = OtlpSettings {
        interval: Duration::from_mins(1),
        retry: RetrySettings { max_elapsed: Duration::from_secs(10), ..RetrySettings::default() },
        ..settings("http://h", OtlpProtocol::Grpc)
    };
    let handle = start(&settings, &registry, &receiver);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(handle.metrics().dropped(DropReason::RetriesExhausted), 1);
    receiver.recover();
    add(&table, 41);
    handle.flush_and_stop(in_a_minute()).await;
    let received = receiver.received();
    assert_eq!(sums(&received, "c").last().map(|sum| sum.2), Some(42));
}

/// Scenario: a receiver takes the connection and the message, and never answers.
/// Guarantees: each attempt ends by the timeout and is tried again; nothing hangs.
#[tokio::test(start_paused = true)]
async fn a_silent_receiver_is_left_by_the_timeout() {
    let (registry, _table) = one();
    let receiver = Receiver::new([Reply::Hang, Reply::Hang]);
    let settings = OtlpSettings {
        interval: Duration::from_secs(100),
        timeout: Duration::from_secs(3),
        ..settings("http://h", OtlpProtocol::Grpc)
    };
    let handle = start(&settings, &registry, &receiver);
    receiver.until(3).await;
    let gaps = gaps(&receiver.received());
    assert!(
        gaps.iter().all(|gap| *gap >= Duration::from_secs(3) && *gap <= Duration::from_secs(6)),
        "{gaps:?}"
    );
    assert!(handle.metrics().last_error.unwrap().contains("no answer within 3000 ms"));
}

/// Scenario: nobody listens on the port; over both protocols, with real sockets.
/// Guarantees: the failure is counted and named, and the exporter stops by its deadline.
#[tokio::test]
async fn a_closed_port_is_a_counted_failure() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let (registry, _table) = one();
        let closed = format!("127.0.0.1:{}", ig_test_kit::port::free());
        let settings = OtlpSettings {
            retry: RetrySettings {
                initial: Duration::from_millis(1),
                max: Duration::from_millis(1),
                max_elapsed: Duration::from_millis(20),
            },
            ..settings(&format!("http://{closed}"), protocol)
        };
        let (exporter, handle) = exporter(&settings, &registry).unwrap();
        run(exporter);
        let report = handle.flush_and_stop(in_a_minute()).await;
        assert_eq!(report.dropped_items, 1);
        let error = handle.metrics().last_error.unwrap();
        assert!(error.contains("onnection refused"), "{error}");
    }
}

/// Scenario: an exporter is cancelled without a deadline, or dropped before it ran.
/// Guarantees: it flushes within one timeout; a handle of a dropped exporter does not wait for ever.
#[tokio::test(start_paused = true)]
async fn cancelling_flushes_too() {
    let (registry, _table) = one();
    let receiver = Receiver::new([]);
    let (exporter, _) = OtlpExporter::over(
        receiver.in_memory(),
        &settings("http://h", OtlpProtocol::Grpc),
        &resource(),
        &registry,
        None,
    );
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(exporter.run(cancel).await.delivered_items, 1);

    let (exporter, handle) = OtlpExporter::over(
        receiver.in_memory(),
        &settings("http://h", OtlpProtocol::Grpc),
        &resource(),
        &registry,
        None,
    );
    drop(exporter);
    assert_eq!(handle.flush_and_stop(in_a_minute()).await, FlushReport::default());
}
