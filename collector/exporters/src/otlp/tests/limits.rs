//! Receivers that take small messages only.

use super::receiver::{Receiver, points, sums};
use super::*;
use ig_model::Temporality;
use ig_series::testing::{counter, gauge, key, labeler, registry, spec};

/// Scenario: a receiver takes 700 points in a message; a round has 3,000, of counters and gauges; both temporalities, both
/// protocols.
/// Guarantees: everything arrives, nothing counts as lost, no message is larger, and later rounds are made to fit.
#[tokio::test]
async fn a_receiver_of_small_messages_gets_everything() {
    for temporality in [Temporality::Cumulative, Temporality::Delta] {
        for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
            let (registry, _) = registry(10_000);
            let table =
                registry.register(spec("a", vec![counter("c"), gauge("g")], 5000), labeler()).unwrap().table;
            let mut writer = table.write();
            for n in 0..1500 {
                let row = writer.row(&key(n));
                writer.add_int(row, 0, u64::from(n) + 1);
                writer.set_int(row, 1, 1);
            }
            drop(writer);
            let receiver = Receiver::taking(700);
            let address = match protocol {
                OtlpProtocol::Grpc => receiver.serve_grpc().await,
                OtlpProtocol::HttpProtobuf => receiver.serve_http().await,
            };
            let settings = OtlpSettings {
                temporality,
                interval: Duration::from_hours(1),
                ..settings(&format!("http://{address}"), protocol)
            };
            let (exporter, handle) = exporter(&settings, &registry).unwrap();
            run(exporter);
            let report = handle.flush_and_hand_over(in_a_minute()).await;
            assert_eq!(report.dropped_items, 0);
            let received = receiver.received();
            assert!(received.iter().all(|received| points(&received.request) <= 700));
            let mut values: Vec<i64> = sums(&received, "c").iter().map(|sum| sum.2).collect();
            values.sort_unstable();
            assert_eq!(values, (1..=1500).collect::<Vec<_>>(), "{temporality:?} over {protocol:?}");
            // 3,000 points, twice 1,500, four times 750; 375 fit.
            assert!(handle.metrics().failed_attempts <= 7, "{:?}", handle.metrics());
        }
    }
}
