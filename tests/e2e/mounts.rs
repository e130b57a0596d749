//! A machine on which bpffs, tracefs and debugfs are not mounted, as in a container or a minimal virtual machine.

use std::{fs, net::SocketAddr, process::Command};

use ig_tests::{
    collector::{Collector, document},
    free_port, gadgets, ig,
};

/// Hides what may be mounted where these belong.
const NOTHING: &str =
    "for place in /sys/fs/bpf /sys/kernel/tracing /sys/kernel/debug; do mount -t tmpfs none $place; done";
/// A bpffs that no other process sees.
const BPFFS: &str = "mount -t bpf none /sys/fs/bpf";

/// Starts a collector in a mount namespace of its own, after a script has changed it.
fn collector(script: &str, sections: &str) -> Collector {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    fs::write(&config, document(address, sections)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-e", "-c", &format!("{script}\nexec \"$0\" \"$@\"")]).arg(ig());
    let collector = Collector::spawn_by(command, folder, config, address);
    collector.wait_ready();
    collector
}

/// Which maps of GPU data are pinned in the namespace of a collector; some kernels put things of their own there.
fn pins(collector: &Collector) -> Vec<String> {
    let folder = format!("/proc/{}/root/sys/fs/bpf", collector.pid());
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect();
    names.retain(|name| name.starts_with("gpu_"));
    names.sort();
    names
}

fn assert_running(collector: &Collector, gadget: &str) {
    let page = collector.get("/readyz").text();
    assert!(page.contains(&format!("gadget {gadget}: running")), "{page}\n{}", collector.log());
}

/// Scenario: nothing is mounted; all gadgets of the repository.
/// Guarantees: all run, and none has to do without anything.
#[test]
fn every_gadget_runs_with_nothing_mounted() {
    let sections: String = gadgets()
        .iter()
        .map(|gadget| format!("  - {{name: {}, image: {gadget}}}\n", gadget.replace('_', "-")))
        .collect();
    let collector = collector(NOTHING, &format!("gadgets:\n{sections}"));
    for gadget in gadgets() {
        assert_running(&collector, &gadget.replace('_', "-"));
    }
    assert!(!collector.log().contains("map.pin.impossible"), "{}", collector.log());
}

const GPU: &str = "gadgets:\n  - {name: g, image: profile_cpu, params: {gpu-idle-only: \"true\"}}\n";

/// Scenario: the option of profile_cpu that needs the maps of another process, with nothing mounted.
/// Guarantees: it runs, and the log says which maps are not shared, and what mends that.
#[test]
fn maps_that_cannot_be_shared_are_named() {
    let collector = collector(NOTHING, GPU);
    assert_running(&collector, "g");
    let log = collector.log();
    for map in ["gpu_meta", "gpu_device", "gpu_per_pid"] {
        let line = log.lines().find(|line| line.contains("map.pin.impossible") && line.contains(map));
        assert!(line.is_some_and(|line| line.contains("mount -t bpf bpf /sys/fs/bpf")), "{map}: {log}");
    }
    assert!(pins(&collector).is_empty());
}

/// Scenario: bpffs is mounted; the same gadget without the option and with it.
/// Guarantees: its maps are pinned where others look for them, and only where it looks at them itself.
#[test]
fn maps_are_pinned_where_the_option_needs_them() {
    let plain = collector(BPFFS, "gadgets:\n  - {name: g, image: profile_cpu}\n");
    assert_running(&plain, "g");
    assert!(pins(&plain).is_empty(), "{:?}", pins(&plain));
    let gpu = collector(BPFFS, GPU);
    assert_running(&gpu, "g");
    assert_eq!(pins(&gpu), ["gpu_device", "gpu_meta", "gpu_per_pid"]);
}
