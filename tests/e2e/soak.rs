//! What only shows after a while. Not in `make test`: `make test-long` runs these.

use std::{fs, path::Path};

use ig_tests::{collector::Collector, events::Probe, wait_for};

/// Descriptors that a collector has open, and its resident memory in bytes.
fn held(collector: &Collector) -> (usize, f64) {
    let folder = format!("/proc/{}/fd", collector.pid());
    let open = fs::read_dir(Path::new(&folder)).unwrap().count();
    (open, collector.sum("process_resident_memory_bytes", &[]))
}

/// Scenario: gadgets are replaced, added and removed 300 times under load.
/// Guarantees: no event is lost or counted twice; descriptors are as many as after the first rounds; memory has grown by
/// less than 24 MiB since then.
#[test]
#[ignore = "long: 300 reloads; tests/long.sh runs it"]
fn long_churn_leaks_nothing() {
    let gadgets = |round: u32| {
        let paths = round % 2 == 1;
        let other = if round.is_multiple_of(3) { "" } else { "  - {name: open, image: trace_open}\n" };
        format!(
            "gadgets:\n  - name: exec\n    image: trace_exec\n    params: {{paths: \"{paths}\"}}\n    \
             image-metrics: false\n    metrics: [{{name: executions, type: counter, labels: [proc.comm]}}]\n{other}"
        )
    };
    let collector = Collector::start(&gadgets(0));
    let probe = Probe::new(collector.folder(), "ig-soak");
    let load = probe.run_until_stopped();
    let mut early = None;
    for round in 1..=300 {
        collector.write_config(&gadgets(round));
        wait_for("the reload", || (collector.reloads().0 >= f64::from(round)).then_some(()));
        // The same set of gadgets as at the end.
        if round == 60 {
            early = Some(held(&collector));
        }
    }
    collector.wait_for_sum("executions_total", &[("proc_comm", probe.comm())], load.stop() as f64);
    let (early_open, early_bytes) = early.unwrap();
    // Links are closed behind the reload's back.
    wait_for("descriptors to be as many as before", || (held(&collector).0 <= early_open).then_some(()));
    let grown = held(&collector).1 - early_bytes;
    assert!(grown < f64::from(24 << 20), "{grown} bytes more than after 60 rounds");
}
