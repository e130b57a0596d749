//! The configuration is followed, wholly or not at all, and what did not change is not touched.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use ig_tests::{
    collector::{Collector, document},
    events::Probe,
    free_port, wait_for,
};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(20);

const EXEC: &str = "  - name: exec
    image: trace_exec
    image-metrics: false
    metrics: [{name: executions, type: counter, labels: [proc.comm]}]
";

fn with_signal_metric(name: &str) -> String {
    format!(
        "gadgets:\n{EXEC}  - name: signal\n    image: trace_signal\n    image-metrics: false\n    \
         metrics: [{{name: {name}, type: counter, labels: [sig]}}]\n"
    )
}

/// Scenario: 200 edits, a quarter of them broken, while a program is started over and over.
/// Guarantees: the counter of the gadget that no edit touches equals the truth at the end; broken edits are refused,
/// good ones applied; the last good edit is in force.
#[test]
fn a_reload_storm_loses_nothing() {
    let collector = Collector::start(&with_signal_metric("signals_0"));
    let probe = Probe::new(collector.folder(), "ig-storm-probe");
    let load = probe.run_until_stopped();
    for edit in 1..=200_u32 {
        let sections = match edit % 8 {
            // Broken in three ways: syntax, an unknown key, a metric that does not fit the image.
            1 => "gadgets: [".to_owned(),
            3 => format!("gadgets:\n{EXEC}    imgae: typo\n"),
            5 if edit % 16 == 5 => with_signal_metric("x").replace("[sig]", "[no_such_field]"),
            // New programs for the other gadget.
            2 => with_signal_metric(&format!("signals_{edit}")).replace(
                "image-metrics: false\n    metrics: [{name: signals",
                "params: {failed: \"true\"}\n    image-metrics: false\n    metrics: [{name: signals",
            ),
            // The other gadget goes.
            4 => format!("gadgets:\n{EXEC}"),
            // New sinks for the other gadget.
            _ => with_signal_metric(&format!("signals_{edit}")),
        };
        collector.write_config(&sections);
        // Some edits come while the one before is being applied, others after it settled.
        std::thread::sleep(Duration::from_millis(if edit % 3 == 0 { 5 } else { 150 }));
    }
    collector.write_config(&with_signal_metric("signals_final"));
    wait_for("the last edit", PATIENCE, || {
        collector
            .get("/readyz")
            .text()
            .lines()
            .any(|line| line.starts_with("gadget signal: running"))
            .then_some(())
    });
    wait_for("the last edit to be in force", PATIENCE, || {
        let page = collector.get("/readyz").text();
        (!page.contains("last reload: refused")).then_some(())
    });
    let started = load.stop();
    let counted = collector.sum("executions_total", &[("proc_comm", probe.comm())]);
    let (succeeded, failed) = collector.reloads();
    assert!((counted - started as f64).abs() < 0.5, "counted {counted}, started {started}");
    assert!(started > 500, "the load was no load: {started}");
    assert!(succeeded >= 40.0 && failed >= 20.0, "{succeeded} applied, {failed} refused");
}

/// Scenario: a gadget is replaced by one with other parameters (new programs) under load, again and again.
/// Guarantees: its counter survives and equals the truth: nothing is lost or counted twice in the handover.
#[test]
fn replacing_programs_hands_over_exactly() {
    let exec = |paths: bool| {
        format!(
            "gadgets:\n  - name: exec\n    image: trace_exec\n    params: {{paths: \"{paths}\"}}\n    \
             image-metrics: false\n    metrics: [{{name: executions, type: counter, labels: [proc.comm]}}]\n"
        )
    };
    let collector = Collector::start(&exec(false));
    let probe = Probe::new(collector.folder(), "ig-swap-probe");
    let load = probe.run_until_stopped();
    for round in 1..=6_u32 {
        collector.write_config(&exec(round % 2 == 1));
        wait_for("the reload", PATIENCE, || (collector.reloads().0 >= f64::from(round)).then_some(()));
    }
    let started = load.stop();
    let counted = collector.sum("executions_total", &[("proc_comm", probe.comm())]);
    assert!((counted - started as f64).abs() < 0.5, "counted {counted}, started {started}");
    assert!(
        collector.sum("ig_gadget_events_lost_total", &[("reason", "handover")]) > 0.0,
        "no handover happened"
    );
}

/// Scenario: the file is saved in place, replaced by rename, and read again on SIGHUP.
/// Guarantees: each way applies the new content.
#[test]
fn save_rename_and_sighup_reload() {
    let collector = Collector::start(&with_signal_metric("first"));
    let wait_for_metric = |name: &str| {
        wait_for(name, PATIENCE, || collector.get("/metrics").text().contains(name).then_some(()));
    };
    let signal_myself = || {
        // A record of the gadget under the new name shows that the new sinks are in place.
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    };
    collector.write_config(&with_signal_metric("saved"));
    wait_for("the save", PATIENCE, || (collector.reloads().0 >= 1.0).then_some(()));
    signal_myself();
    wait_for_metric("saved_total");

    let next = collector.folder().join("next.yaml");
    fs::write(&next, document(collector.address(), &with_signal_metric("renamed"))).unwrap();
    fs::rename(&next, collector.config()).unwrap();
    wait_for("the rename", PATIENCE, || (collector.reloads().0 >= 2.0).then_some(()));
    signal_myself();
    wait_for_metric("renamed_total");

    collector.signal(Signal::HUP);
    wait_for("the signal", PATIENCE, || (collector.reloads().0 >= 3.0).then_some(()));
    assert_eq!(collector.reloads().1, 0.0);
}

/// Scenario: the file is a ConfigMap of Kubernetes: a link to a file behind a link to a folder, which is swapped.
/// Guarantees: the swap is noticed and applied.
#[test]
fn a_swapped_configmap_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let write = |version: &str, metric: &str| {
        let data = folder.path().join(version);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("runtime-config.yaml"), document(address, &with_signal_metric(metric))).unwrap();
        let link = folder.path().join("..data_tmp");
        symlink(version, &link).unwrap();
        fs::rename(&link, folder.path().join("..data")).unwrap();
    };
    write("..v1", "before");
    let config = folder.path().join("runtime-config.yaml");
    symlink(Path::new("..data/runtime-config.yaml"), &config).unwrap();
    let folder_path = folder.path().to_owned();
    let collector = Collector::spawn_with(folder, config, address);
    collector.wait_ready();
    let data = folder_path.join("..v2");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("runtime-config.yaml"), document(address, &with_signal_metric("after"))).unwrap();
    symlink("..v2", folder_path.join("..data_tmp")).unwrap();
    fs::rename(folder_path.join("..data_tmp"), folder_path.join("..data")).unwrap();
    wait_for("the swap", PATIENCE, || (collector.reloads().0 >= 1.0).then_some(()));
}

/// Scenario: a broken edit, then the file as it was.
/// Guarantees: while broken, everything runs as before, and log, metrics and /readyz say what is wrong with its place;
/// afterwards they say that all is well.
#[test]
fn a_broken_edit_changes_nothing_and_is_reported() {
    let collector = Collector::start(&with_signal_metric("signals"));
    let hash =
        |page: String| page.lines().find(|line| line.starts_with("config: ")).unwrap()[8..20].to_owned();
    let before = hash(collector.get("/readyz").text());
    collector.write_config(&with_signal_metric("signals").replace("type: counter", "type: conter"));
    wait_for("the refusal", PATIENCE, || (collector.reloads().1 >= 1.0).then_some(()));
    let ready = collector.get("/readyz");
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("conter"), "{}", ready.text());
    assert!(ready.text().contains("runtime-config.yaml:"), "{}", ready.text());
    assert_eq!(hash(ready.text()), before);
    assert!(collector.log().contains("conter"));
    assert_eq!(collector.sum("ig_config_reload_last_success", &[]), 0.0);
    assert!(collector.sum("ig_config_reload_faults", &[]) >= 1.0);
    assert_eq!(collector.sum("ig_gadget_state", &[("state", "running")]), 2.0);

    collector.write_config(&with_signal_metric("signals"));
    wait_for("all to be well", PATIENCE, || {
        (collector.sum("ig_config_reload_last_success", &[]) > 0.5).then_some(())
    });
    assert_eq!(collector.sum("ig_config_reload_faults", &[]), 0.0);
}

/// Scenario: the Prometheus endpoint moves to another port by an edit, then an edit asks for a port in use.
/// Guarantees: the move happens without a restart of gadgets; the impossible one is refused and the endpoint stays.
#[test]
fn the_endpoint_moves() {
    let collector = Collector::start(&format!("gadgets:\n{EXEC}"));
    let probe = Probe::new(collector.folder(), "ig-move-probe");
    probe.run_times(7);
    let next = SocketAddr::from(([127, 0, 0, 1], free_port()));
    fs::write(collector.config(), document(next, &format!("gadgets:\n{EXEC}"))).unwrap();
    let started = Instant::now();
    let page = wait_for("the new endpoint", PATIENCE, || {
        ig_tests::http::get(next, "/metrics", &[]).ok().filter(|page| page.status == 200)
    });
    assert!(started.elapsed() < PATIENCE);
    let samples = ig_tests::exposition::parse(&page.text());
    let counted = ig_tests::exposition::sum(&samples, "executions_total", &[("proc_comm", probe.comm())]);
    assert_eq!(counted, Some(7.0));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(collector.config(), document(taken.local_addr().unwrap(), &format!("gadgets:\n{EXEC}")))
        .unwrap();
    wait_for("the refusal", PATIENCE, || {
        let page = ig_tests::http::get(next, "/readyz", &[]).ok()?.text();
        page.contains("last reload: refused").then_some(())
    });
}
