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
  - {name: alive, image: snapshot_process, interval: 1s, metrics: [{name: trace_exec_executions_total, type: gauge, labels: [comm]}]}
",
    );
    let page = collector.get("/readyz").text();
    let degraded: Vec<&str> = page.lines().filter(|line| line.contains("degraded")).collect();
    assert_eq!(degraded.len(), 1, "{page}");
    assert!(degraded[0].contains("trace_exec_executions_total") && degraded[0].contains("exec"), "{page}");
    let samples = collector.samples();
    assert!(samples.iter().any(|sample| sample.name == "process_open_fds"));
}

/// A command that runs `ig` with a limit of open descriptors, `SOFT:HARD`.
fn limited(limit: &str) -> std::process::Command {
    let mut command = std::process::Command::new("prlimit");
    command.arg(format!("--nofile={limit}")).arg(ig_tests::ig());
    command
}

fn spawn_limited(limit: &str, sections: &str) -> Collector {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.yaml");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], ig_tests::free_port()));
    std::fs::write(&config, ig_tests::collector::document(address, sections)).unwrap();
    Collector::spawn_by(limited(limit), folder, config, address)
}

/// Scenario: a collector with more gadgets than its descriptors suffice for; those that run are then taken away.
/// Guarantees: the others are refused for a reason that passes, which is named with its remedy, and run once they can.
#[test]
fn want_of_descriptors_is_told_and_passes() {
    let sections = |gadgets: &[String]| {
        let entries = gadgets.iter().map(|gadget| format!("{{name: {gadget}, image: trace_oomkill}}"));
        format!("gadgets: [{}]\n", entries.collect::<Vec<_>>().join(", "))
    };
    let idle = Collector::start(&sections(&[]));
    let open = std::fs::read_dir(format!("/proc/{}/fd", idle.pid())).unwrap().count();
    drop(idle);
    // Each gadget keeps three, so that some of forty cannot run and any three can.
    let gadgets: Vec<String> = (0..40).map(|number| format!("g{number:02}")).collect();
    let limit = open + 40;
    let collector = spawn_limited(&format!("{limit}:{limit}"), &sections(&gadgets));
    let refused = wait_for("some gadgets to be refused", || {
        let page = ig_tests::http::get(collector.address(), "/readyz", &[]).ok()?.text();
        let lines = page.lines().filter(|line| line.contains(": refused")).map(str::to_owned);
        Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() >= 3)
    });
    for line in &refused {
        assert!(line.contains("Too many open files") && line.contains("LimitNOFILE"), "{line}");
        assert!(!line.contains("the verifier refused") && !line.contains("not mounted"), "{line}");
    }
    assert!(collector.sum("ig_gadget_reason", &[("reason", "transient")]) >= 3.0);
    assert_eq!(collector.sum("ig_gadget_reason", &[("reason", "verifier")]), 0.0);

    let names =
        refused.iter().filter_map(|line| Some(line.strip_prefix("gadget ")?.split_once(':')?.0.to_owned()));
    collector.write_config(&sections(&names.take(3).collect::<Vec<_>>()));
    wait_for("the others to run", || {
        (collector.sum("ig_gadget_state", &[("state", "running")]) == 3.0).then_some(())
    });
}

/// Scenario: a soft limit that is far below the hard one, as shells and services have it.
/// Guarantees: the collector uses all it may have.
#[test]
fn the_soft_limit_of_descriptors_is_raised() {
    let collector = spawn_limited("64:4096", "gadgets: []\n");
    collector.wait_ready();
    assert_eq!(collector.sum("process_max_fds", &[]), 4096.0);
}
