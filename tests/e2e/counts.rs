//! What happened is what Prometheus says happened.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use ig_tests::{
    collector::Collector,
    events::{Probe, own_name},
    exposition, http,
    prometheus::Prometheus,
    wait_for,
};

const EXEC: &str = "gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    metrics:
      - {name: process_executions, type: counter, labels: [proc.comm], description: Programs started}
      - {name: process_executions_by_uid, type: counter, labels: [{name: user, field: proc.creds.user}]}
";

/// Scenario: Prometheus scrapes every second while a program is run 500 times.
/// Guarantees: its API answers with a counter that grew by exactly 500, the scrape has no error, and the ledger of
/// the data source balances.
#[test]
fn prometheus_counts_every_execution() {
    let collector = Collector::start(EXEC);
    let prometheus = Prometheus::start(collector.address());
    let probe = Probe::new(collector.folder(), "ig-cnt");
    probe.run_times(500);
    let query = format!("process_executions_total{{proc_comm=\"{}\"}}", probe.comm());
    prometheus.wait_for_value(&query, 500.0);
    assert_eq!(prometheus.scrape_error(), "");

    // Other programs start while a page is written, and its parts are not of one moment: a page on which it balances
    // comes, unless something is lost or counted twice, which no later page mends.
    wait_for("a page that balances", || {
        let samples = collector.samples();
        let sum =
            |name: &str, labels: &[(&str, &str)]| exposition::sum(&samples, name, labels).unwrap_or(0.0);
        let received = sum("ig_gadget_events_received_total", &[]);
        let delivered = sum("ig_gadget_events_delivered_total", &[]);
        let dropped: f64 = ["filter", "decode", "handover"]
            .iter()
            .map(|reason| sum("ig_gadget_events_lost_total", &[("reason", reason)]))
            .sum();
        assert!(received >= 500.0, "{received}");
        assert_eq!(sum("ig_gadget_events_lost_total", &[("reason", "ringbuf")]), 0.0);
        // Both metrics see every record.
        let executions = sum("process_executions_total", &[]);
        let by_uid = sum("process_executions_by_uid_total", &[]);
        (received == delivered + dropped && executions == by_uid && executions == delivered).then_some(())
    });
}

/// Scenario: a scrape comes right after the last event, long before the reader's next timer.
/// Guarantees: the scrape shows it: rings are drained before a page is written.
#[test]
fn a_scrape_sees_what_happened_before_it() {
    let collector = Collector::start(EXEC);
    let probe = Probe::new(collector.folder(), "ig-frsh");
    for round in 1..=20_u32 {
        probe.run();
        let seen = collector.sum("process_executions_total", &[("proc_comm", probe.comm())]);
        assert!((seen - f64::from(round)).abs() < 0.5, "round {round}: {seen}");
    }
}

/// Scenario: a page with metrics of several gadgets and of the collector itself.
/// Guarantees: promtool has nothing to say about either format, and compression changes nothing but size.
#[test]
fn pages_please_promtool() {
    let collector = Collector::start(
        "gadgets:
  - {name: exec, image: trace_exec, metrics: [{name: executions_by_command, type: counter, labels: [proc.comm], description: Programs started by command}]}
  - {name: open, image: trace_open, metrics: [{name: file_opens, type: counter, labels: [proc.comm, error], description: Files opened}]}
  - {name: processes, image: snapshot_process, interval: 1s, metrics: [{name: processes_alive, type: gauge, labels: [comm], description: Processes alive}]}
",
    );
    wait_for("the first snapshot", || (collector.sum("processes_alive", &[]) > 1.0).then_some(()));
    let page = collector.get("/metrics");
    assert_eq!(page.header("content-type").unwrap().split(';').next(), Some("text/plain"));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(&page.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", page.text());
    assert_eq!(said.trim(), "");

    let accept = [("Accept", "application/openmetrics-text; version=1.0.0")];
    let page = http::get(collector.address(), "/metrics", &accept).unwrap();
    assert!(page.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(page.text().ends_with("# EOF\n"));
    let zipped = http::get(collector.address(), "/metrics", &[("Accept-Encoding", "gzip")]).unwrap();
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    assert_eq!(&zipped.body[..2], &[0x1f, 0x8b]);
    assert!(zipped.body.len() < page.body.len() / 2);
}

/// Scenario: a filter keeps one program's events and drops all others.
/// Guarantees: only kept records are measured, and the dropped ones are in the ledger.
#[test]
fn filters_drop_and_count() {
    let collector = Collector::start(&format!(
        "gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    filter: proc.comm=={}
    metrics: [{{name: kept, type: counter, labels: [proc.comm]}}]
",
        own_name("ig-kept")
    ));
    let dropped = Probe::new(collector.folder(), "ig-drop");
    let kept = Probe::new(collector.folder(), "ig-kept");
    dropped.run_times(20);
    kept.run_times(30);
    collector.wait_for_sum("kept_total", &[("proc_comm", kept.comm())], 30.0);
    let samples = collector.samples();
    assert_eq!(exposition::sum(&samples, "kept_total", &[("proc_comm", dropped.comm())]), None);
    let filtered = exposition::sum(&samples, "ig_gadget_events_lost_total", &[("reason", "filter")]).unwrap();
    assert!(filtered >= 20.0, "{filtered}");
}

/// Scenario: more label sets than the gadget may have series.
/// Guarantees: the limit holds, the remainder is in the overflow series, the sum stays exact and refusals count.
#[test]
fn past_the_limit_sums_stay_exact() {
    let collector = Collector::start(&format!(
        "gadgets:
  - name: exec
    image: trace_exec
    image-metrics: false
    filter: proc.comm~^igs[0-9]+-{}$
    limits: {{series: 10}}
    metrics: [{{name: started, type: counter, labels: [proc.comm]}}]
",
        std::process::id()
    ));
    for probe in 0..25 {
        Probe::new(collector.folder(), &format!("igs{probe}")).run_times(2);
    }
    collector.wait_for_sum("started_total", &[], 50.0);
    let samples = collector.samples();
    let overflow = exposition::sum(&samples, "started_total", &[("otel_metric_overflow", "true")]);
    assert_eq!(overflow, Some(30.0));
    assert_eq!(
        exposition::sum(&samples, "ig_series_overflow_events_total", &[("gadget", "exec")]),
        Some(30.0)
    );
    // How many different ones were refused is an estimate: two may fall on the same bit.
    let refused = exposition::sum(&samples, "ig_series_refused_total", &[("gadget", "exec")]).unwrap();
    assert!((14.0..=15.0).contains(&refused), "{refused}");
}
