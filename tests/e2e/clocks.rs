//! The clocks of the kernel, of this process, and of people.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, SystemTime},
};

use ig_tests::{
    collector::{Collector, document},
    events::Probe,
    free_port, ig, wait_for,
};

/// Scenario: the collector runs in a time namespace that is two days ahead; its programs are replaced by a reload.
/// Guarantees: records have the wall time at which they were made, and none is taken for one of the replaced programs.
#[test]
fn a_time_namespace_moves_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::new(folder.path(), "clock");
    let sections = |paths: &str| {
        format!(
            "gadgets:\n  - name: exec\n    image: trace_exec\n    params: {{paths: \"{paths}\"}}\n    \
             filter: proc.comm=={}\n    image-metrics: false\n    \
             metrics: [{{name: runs, type: counter, labels: [timestamp_raw]}}]\n",
            probe.comm()
        )
    };
    let config = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    std::fs::write(&config, document(address, &sections("false"))).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", "172800", "--kill-child"]).arg(ig());
    let collector = Collector::spawn_by(command, folder, config, address);
    collector.wait_ready();

    let nanoseconds = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    let before = nanoseconds();
    probe.run_times(3);
    collector.wait_for_sum("runs_total", &[], 3.0);
    let leeway = Duration::from_secs(60).as_nanos();
    for sample in collector.samples().iter().filter(|sample| sample.name == "runs_total") {
        let at: u128 = sample.labels["timestamp_raw"].parse().unwrap();
        assert!(at + leeway > before && at < nanoseconds() + leeway, "{at} is far from {before}");
    }

    collector.write_config(&sections("true"));
    wait_for("the reload", || (collector.reloads().0 >= 1.0).then_some(()));
    probe.run_times(5);
    collector.wait_for_sum("runs_total", &[], 8.0);
}
