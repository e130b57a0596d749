//! What the figures were taken on.

use std::{fs, process::Command};

use serde_json::{Value, json};

/// Names machine, kernel and binary.
pub(crate) fn describe() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .unwrap_or(0)
        / 1024;
    let hypervisor = if cpuinfo.contains(" hypervisor ") { ", virtual machine" } else { "" };
    let version = Command::new(ig_tests::ig())
        .arg("version")
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    let load = load_average();
    let arch = std::env::consts::ARCH;
    json!({
        "summary": format!(
            "Linux {kernel} {arch}, {cpus} x {model}, {memory} MiB{hypervisor}; ig {version}; load average {load}"
        ),
        "kernel": kernel,
        "arch": arch,
        "cpu": model,
        "cpus": cpus,
        "memory_mib": memory,
        "ig": version,
        "binary": ig_tests::ig().display().to_string(),
        "load_at_start": load,
    })
}

/// The three load averages.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
