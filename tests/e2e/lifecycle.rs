//! Start and stop, states and health.

use std::time::{Duration, Instant};

use ig_tests::{collector::Collector, wait_for};
use rustix::process::Signal;

/// What systemd gives a service to stop before it kills it.
const SUPERVISOR: Duration = Duration::from_secs(90);

/// Scenario: a collector with several gadgets gets SIGTERM.
/// Guarantees: it says so, ends with success, and within the time a supervisor would give it.
#[test]
fn sigterm_ends_with_success() {
    let mut collector = Collector::start(
        "gadgets:
  - {name: exec, image: trace_exec}
  - {name: open, image: trace_open}
  - {name: signal, image: trace_signal}
",
    );
    let started = Instant::now();
    assert!(collector.stop().success(), "{}", collector.log());
    assert!(started.elapsed() < SUPERVISOR, "{:?}", started.elapsed());
    assert!(collector.log().contains("stopped"));
}

/// Scenario: SIGINT twice in a row.
/// Guarantees: the process is gone at once.
#[test]
fn a_second_signal_ends_at_once() {
    let mut collector = Collector::start("gadgets:\n  - {name: exec, image: trace_exec}\n");
    collector.signal(Signal::INT);
    collector.signal(Signal::INT);
    // Either the first was carried out before the second came, or the second cut it short.
    let status = collector.wait();
    assert!(matches!(status.code(), Some(0 | 1)), "{status:?}");
}

/// Scenario: an image that is not in the store when the collector starts, and is built later.
/// Guarantees: the gadget is refused with reason and remedy while others run, and starts by itself once it can.
#[test]
fn a_missing_image_is_tried_again() {
    let store = tempfile::tempdir().unwrap();
    let build = |gadget: &str| {
        ig_tests::build_gadget(store.path(), &ig_tests::root().join("gadgets").join(gadget), gadget);
    };
    build("trace_exec");
    let name = "trace_signal";
    let collector = Collector::start(&format!(
        "images: {{store: \"{}\", pull: never}}\n\
         gadgets:\n  - {{name: late, image: {name}}}\n  - {{name: exec, image: trace_exec}}\n",
        store.path().display()
    ));
    let page = collector.get("/readyz").text();
    let line = page.lines().find(|line| line.starts_with("gadget late: ")).unwrap();
    assert!(line.contains("refused") && line.contains(name) && line.contains("ig image build"), "{line}");
    assert_eq!(collector.sum("ig_gadget_state", &[("gadget", "exec"), ("state", "running")]), 1.0);
    assert_eq!(collector.sum("ig_gadget_reason", &[("gadget", "late"), ("reason", "image")]), 1.0);

    build(name);
    wait_for("the gadget to start", || {
        (collector.sum("ig_gadget_state", &[("gadget", "late"), ("state", "running")]) > 0.5).then_some(())
    });
}

/// Scenario: nothing but the endpoint is asked.
/// Guarantees: /healthz answers, unknown paths do not, and the collector's own metrics are all documented ones.
#[test]
fn own_metrics_are_documented() {
    let collector = Collector::start("gadgets:\n  - {name: exec, image: trace_exec}\n");
    assert_eq!(collector.get("/healthz").status, 200);
    assert_eq!(collector.get("/nothing").status, 404);
    let documented = std::fs::read_to_string(ig_tests::root().join("collector/docs/metrics.md")).unwrap();
    for sample in collector.samples() {
        let own = sample.name.starts_with("ig_") || sample.name.starts_with("process_");
        if own && !sample.labels.contains_key("otel_scope_name") {
            assert!(
                documented.contains(&format!("| `{}` |", sample.name)),
                "{} is not documented",
                sample.name
            );
        }
    }
    assert!(collector.sum("process_resident_memory_bytes", &[]) > 1e6);
    assert_eq!(collector.sum("ig_build_info", &[]), 1.0);
}

/// Scenario: two gadgets export a metric of one name with different types.
/// Guarantees: the scrape works, the first keeps the metric, and the second is degraded with a reason that names both.
#[test]
fn conflicting_metrics_never_break_the_scrape() {
    let collector = Collector::start(
        "gadgets:
  - {name: exec, image: trace_exec}
  - {name: alive, image: snapshot_process, interval: 1s, metrics: [{name: executions_total, type: gauge, labels: [comm]}]}
",
    );
    let page = collector.get("/readyz").text();
    let degraded: Vec<&str> = page.lines().filter(|line| line.contains("degraded")).collect();
    assert_eq!(degraded.len(), 1, "{page}");
    assert!(degraded[0].contains("executions_total") && degraded[0].contains("exec"), "{page}");
    let samples = collector.samples();
    assert!(samples.iter().any(|sample| sample.name == "process_open_fds"));
}
