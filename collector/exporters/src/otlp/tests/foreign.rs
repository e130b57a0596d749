//! Receivers that name numbers of their own choice.

use super::receiver::{Receiver, Reply};
use super::*;
use ig_series::Table;
use ig_series::testing::{counter, key, labeler, registry, spec};

fn one() -> (Registry, Table) {
    let (registry, _) = registry(100);
    let table = registry.register(spec("a", vec![counter("c")], 10), labeler()).unwrap().table;
    table.write().row(&key(1));
    (registry, table)
}

/// Scenario: a receiver asks for a pause of an hour, then for the longest that the protocol can say, then takes the message.
/// Guarantees: each pause is kept up to the limit of five minutes; the message is neither lost nor sent earlier, and the
/// exporter lives on.
#[tokio::test(start_paused = true)]
async fn any_pause_is_kept_up_to_the_limit() {
    let (registry, _table) = one();
    let longest = Duration::new(i64::MAX.cast_unsigned(), 999_999_999);
    let receiver = Receiver::new([
        Reply::Busy(Some(Duration::from_hours(1))),
        Reply::Busy(Some(longest)),
        Reply::Accept,
    ]);
    let settings = settings("http://h", OtlpProtocol::Grpc);
    let (exporter, handle) =
        OtlpExporter::over(receiver.in_memory(), &settings, &resource(), &registry, None);
    run(exporter);
    receiver.until(3).await;
    let received = receiver.received();
    for pair in received.windows(2).take(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= Duration::from_mins(5) && gap < Duration::from_mins(6), "{gap:?}");
    }
    assert_eq!(received[0].request, received[2].request, "it is the same message");
    receiver.until(5).await;
    let stats = handle.metrics();
    assert_eq!(stats.all_dropped_items(), 0);
    assert!(stats.exported_items >= 1);
}

/// Scenario: an HTTP receiver answers with the largest `Retry-After` that fits 64 bits, and with one that does not.
/// Guarantees: the exporter goes on, keeps the message, and ends when it is told to.
#[tokio::test]
async fn the_largest_retry_after_ends_no_exporter() {
    let (registry, _table) = one();
    let receiver = Receiver::new([Reply::Busy(Some(Duration::from_secs(u64::MAX)))]);
    let address = receiver.serve_http().await;
    let settings = OtlpSettings {
        interval: Duration::from_millis(10),
        ..settings(&format!("http://{address}"), OtlpProtocol::HttpProtobuf)
    };
    let (exporter, handle) = exporter(&settings, &registry).unwrap();
    run(exporter);
    receiver.until(1).await;
    // It goes on: further intervals find the receiver in its pause.
    while handle.metrics().collections < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(handle.metrics().all_dropped_items(), 0);
    assert!(handle.metrics().last_error.unwrap().contains("429"));
    let report = handle.flush_and_stop(Instant::now() + Duration::from_millis(50)).await;
    assert_eq!(report.delivered_items, 0);
    assert!(report.dropped_items >= 1, "the receiver wanted to be left alone");
}
