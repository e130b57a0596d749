//! The configuration is followed, wholly or not at all, and what did not change is not touched.

use std::{fs, net::SocketAddr, os::unix::fs::symlink, path::Path};

use ig_tests::{
    collector::{Collector, document},
    events::Probe,
    free_port, wait_for,
};
use rustix::process::Signal;

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

/// Scenario: 160 edits, a quarter of them broken, while a program is started over and over. Every other one comes while
/// the one before it may still be under way.
/// Guarantees: the counter of the gadget that no edit touches equals the truth at the end; each broken edit that is
/// waited for is refused, each good one applied; the last good edit is in force.
#[test]
fn a_reload_storm_loses_nothing() {
    let collector = Collector::start(&with_signal_metric("signals_0"));
    let probe = Probe::new(collector.folder(), "ig-strm");
    let load = probe.run_until_stopped();
    for edit in 1..=80_u32 {
        let (succeeded, failed) = collector.reloads();
        let started = load.count();
        // Overtaken by the next one, or not.
        collector.write_config(&with_signal_metric(&format!("overtaken_{edit}")));
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
        let is_broken = edit % 8 == 1 || edit % 8 == 3 || edit % 16 == 5;
        wait_for("the edit to be refused or applied", || {
            let now = collector.reloads();
            (if is_broken { now.1 > failed } else { now.0 > succeeded }).then_some(())
        });
        wait_for("the load to go on", || (load.count() > started).then_some(()));
    }
    collector.write_config(&with_signal_metric("signals_final"));
    wait_for("the last edit", || {
        collector
            .get("/readyz")
            .text()
            .lines()
            .any(|line| line.starts_with("gadget signal: running"))
            .then_some(())
    });
    wait_for("the last edit to be in force", || {
        let page = collector.get("/readyz").text();
        (!page.contains("last reload: refused")).then_some(())
    });
    collector.wait_for_sum("executions_total", &[("proc_comm", probe.comm())], load.stop() as f64);
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
    let probe = Probe::new(collector.folder(), "ig-swap");
    let load = probe.run_until_stopped();
    // Until events fell into the moment in which both run, and six times at least.
    let both_saw = || collector.sum("ig_gadget_events_lost_total", &[("reason", "handover")]) > 0.0;
    let mut round = 0;
    wait_for("a handover under load", || {
        round += 1;
        collector.write_config(&exec(round % 2 == 1));
        wait_for("the reload", || (collector.reloads().0 >= f64::from(round)).then_some(()));
        (round >= 6 && both_saw()).then_some(())
    });
    collector.wait_for_sum("executions_total", &[("proc_comm", probe.comm())], load.stop() as f64);
}

/// Scenario: the file is saved in place, replaced by rename, and read again on SIGHUP.
/// Guarantees: each way applies the new content.
#[test]
fn save_rename_and_sighup_reload() {
    let collector = Collector::start(&with_signal_metric("first"));
    let wait_for_metric = |name: &str| {
        wait_for(name, || collector.get("/metrics").text().contains(name).then_some(()));
    };
    let signal_myself = || {
        // A record of the gadget under the new name shows that the new sinks are in place.
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    };
    collector.write_config(&with_signal_metric("saved"));
    wait_for("the save", || (collector.reloads().0 >= 1.0).then_some(()));
    signal_myself();
    wait_for_metric("saved_total");

    let next = collector.folder().join("next.yaml");
    fs::write(&next, document(collector.address(), &with_signal_metric("renamed"))).unwrap();
    fs::rename(&next, collector.config()).unwrap();
    wait_for("the rename", || (collector.reloads().0 >= 2.0).then_some(()));
    signal_myself();
    wait_for_metric("renamed_total");

    collector.signal(Signal::HUP);
    wait_for("the signal", || (collector.reloads().0 >= 3.0).then_some(()));
    assert_eq!(collector.reloads().1, 0.0);
}

/// Scenario: only the address of the endpoint changes, not its port: from the loopback to all addresses and back.
/// Guarantees: each change is carried out, and the endpoint answers where it should and nowhere else.
#[test]
fn an_endpoint_changes_its_address_on_the_same_port() {
    let collector = Collector::start("gadgets: []\n");
    let port = collector.address().port();
    let get = |address: [u8; 4], path| ig_tests::http::get(SocketAddr::from((address, port)), path, &[]).ok();
    for address in [[0, 0, 0, 0], [127, 0, 0, 1], [0, 0, 0, 0]] {
        let is_wide = address == [0, 0, 0, 0];
        fs::write(collector.config(), document(SocketAddr::from((address, port)), "gadgets: []\n")).unwrap();
        wait_for("the other address", || {
            (get([127, 0, 0, 2], "/healthz").is_some() == is_wide).then_some(())
        });
    }
    // A connection that the old listener has not accepted ends with it.
    let page = wait_for("a page", || get([127, 0, 0, 1], "/metrics")).text();
    assert!(page.contains("ig_config_reloads_total{result=\"failure\"} 0"), "{}", collector.log());
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
    wait_for("the swap", || (collector.reloads().0 >= 1.0).then_some(()));
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
    wait_for("the refusal", || (collector.reloads().1 >= 1.0).then_some(()));
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
    wait_for("all to be well", || (collector.sum("ig_config_reload_last_success", &[]) > 0.5).then_some(()));
    assert_eq!(collector.sum("ig_config_reload_faults", &[]), 0.0);
}

/// Scenario: the Prometheus endpoint moves to another port by an edit, then an edit asks for a port in use.
/// Guarantees: the move happens without a restart of gadgets; the impossible one is refused and the endpoint stays.
#[test]
fn the_endpoint_moves() {
    let collector = Collector::start(&format!("gadgets:\n{EXEC}"));
    let probe = Probe::new(collector.folder(), "ig-move");
    probe.run_times(7);
    let next = SocketAddr::from(([127, 0, 0, 1], free_port()));
    fs::write(collector.config(), document(next, &format!("gadgets:\n{EXEC}"))).unwrap();
    let page = wait_for("the new endpoint", || {
        ig_tests::http::get(next, "/metrics", &[]).ok().filter(|page| page.status == 200)
    });
    let samples = ig_tests::exposition::parse(&page.text());
    let counted = ig_tests::exposition::sum(&samples, "executions_total", &[("proc_comm", probe.comm())]);
    assert_eq!(counted, Some(7.0));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(collector.config(), document(taken.local_addr().unwrap(), &format!("gadgets:\n{EXEC}")))
        .unwrap();
    wait_for("the refusal", || {
        let page = ig_tests::http::get(next, "/readyz", &[]).ok()?.text();
        page.contains("last reload: refused").then_some(())
    });
}
