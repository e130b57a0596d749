//! Gadgets without eBPF: processes, throttled cgroups, and the eBPF programs of the others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use ig_tests::{
    collector::Collector,
    events::{Busy, Probe, own_name},
    ig, store, unique, wait_for,
};
use serde_json::Value;

use crate::interactive::Watch;

/// The name of a collector's process: that of its file, as far as the kernel keeps it.
fn own_comm() -> String {
    ig().file_name().unwrap().to_str().unwrap().chars().take(15).collect()
}

fn run(image: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(ig());
    command.args(["run", image, "--store"]).arg(store()).args(flags).stdin(Stdio::null());
    command.output().unwrap()
}

fn rows(lines: &str) -> Vec<Value> {
    lines.lines().flat_map(|line| serde_json::from_str::<Vec<Value>>(line).unwrap()).collect()
}

/// Scenario: a process with parentheses in its name keeps a CPU busy; a collector with the image's own metrics.
/// Guarantees: its processor time and memory are gauges, and they go when it is gone.
#[test]
fn top_process_shows_who_is_busy() {
    let comm = "busy) R (x";
    let busy = Busy::start(comm, "");
    let pid = busy.pid().to_string();
    let collector = Collector::start(&format!(
        "gadgets:\n  - {{name: top, image: top_process, filter: pid=={pid}, params: {{interval: 500ms}}}}\n"
    ));
    let labels = [("comm", comm), ("pid", pid.as_str())];
    wait_for("a busy process", || {
        (collector.sum("top_process_cpu_usage_ratio", &labels) > 0.0).then_some(())
    });
    assert!(collector.sum("top_process_resident_memory_bytes", &labels) > 100_000.0);
    assert_eq!(collector.sum("top_process_threads", &labels), 1.0);
    drop(busy);
    wait_for("its series to go", || {
        let left = collector.samples().into_iter().any(|sample| sample.name.starts_with("top_process"));
        (!left).then_some(())
    });
}

/// Scenario: one report as JSON, of this process, with the names that clients of the reference know.
/// Guarantees: the run ends by itself after the reports asked for; all fields are there with their kinds.
#[test]
fn top_process_reports_as_often_as_asked() {
    let me = std::process::id();
    let rule = format!("pid=={me}");
    let output = run("top_process", &["--count", "2", "--interval", "100ms", "-F", &rule, "-o", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = rows(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(found.len(), 2);
    let row = &found[0];
    assert_eq!((&row["pid"], &row["uid"]), (&Value::from(me), &Value::from(0)));
    let ticks = row["cpuTime"].as_u64().unwrap();
    assert!(row["cpuTimeStr"].as_str().unwrap().starts_with(&format!("{}:", ticks / 6000)), "{row}");
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    assert_eq!(own.to_str().unwrap(), format!("mnt:[{}]", row["mountnsid"]));
    for name in ["memoryRSS_raw", "memoryVirtual_raw", "memoryShared_raw", "threadCount", "startTime", "ppid"]
    {
        assert!(row[name].as_u64().is_some_and(|value| value > 0), "{name}: {row}");
    }
    for name in ["cpuUsage", "cpuUsageRelative", "memoryRelative", "priority", "nice"] {
        assert!(row[name].is_number(), "{name}: {row}");
    }
    for name in ["comm", "state", "memoryRSS", "startTimeStr"] {
        assert!(row[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {row}");
    }
}

/// Scenario: an interval that is no duration, a count that is no number.
/// Guarantees: wrong usage, with the key and what would be right.
#[test]
fn times_that_make_no_sense_are_refused() {
    for (flags, expected) in [
        (["--interval", "soon"], "operator.process.interval: `soon` is no duration; expected one like 3s"),
        (["--count", "-3"], "operator.process.count: `-3` is no whole number"),
    ] {
        let flag = format!("{}={}", flags[0], flags[1]);
        let output = run("top_process", &[&flag]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// A cgroup that may use a fiftieth of a CPU, which it gets on the busiest machine; removed when dropped.
struct Limited(PathBuf);

impl Limited {
    fn new(name: &str) -> Self {
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let limits: &[(&str, &str)] = if v1.exists() {
            &[("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "1000")]
        } else {
            &[("cpu.max", "1000 50000")]
        };
        let root = if v1.exists() { v1 } else { Path::new("/sys/fs/cgroup") };
        let limited = Self(root.join(name));
        fs::create_dir(&limited.0).unwrap();
        for (file, text) in limits {
            fs::write(limited.0.join(file), text).unwrap();
        }
        limited
    }

    fn throttled(&self) -> f64 {
        let text = fs::read_to_string(self.0.join("cpu.stat")).unwrap();
        let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled ")).unwrap();
        count.parse().unwrap()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        wait_for("the cgroup to be empty", || fs::remove_dir(&self.0).ok());
    }
}

/// Scenario: a cgroup is made, a loop in it is throttled for a while and killed.
/// Guarantees: the counter is what the kernel counted, to the last period; the limit is a gauge while it runs.
#[test]
fn top_cpu_throttle_counts_every_period() {
    let collector =
        Collector::start("gadgets:\n  - {name: slow, image: top_cpu_throttle, params: {interval: 200ms}}\n");
    let name = unique("ig-slow");
    let limited = Limited::new(&name);
    let enter = format!("echo $$ > {}/cgroup.procs; ", limited.0.display());
    let busy = Busy::start(&own_name("ig-slow"), &enter);
    let path = format!("/{name}");
    let labels = [("cgroup", path.as_str())];
    let counted = || collector.sum("cgroup_cpu_throttled_periods_total", &labels);
    wait_for("throttled periods", || (counted() >= 10.0).then_some(()));
    assert_eq!(collector.sum("cgroup_cpu_limit", &labels), 0.02);
    drop(busy);
    wait_for("all of them", || (counted() == limited.throttled()).then_some(()));
    assert!(collector.sum("cgroup_cpu_periods_total", &labels) >= counted());
    assert!(collector.sum("cgroup_cpu_throttled_seconds_total", &labels) > 0.0);
}

/// Scenario: trace_exec beside bpfstats in one collector; a program is executed a known number of times.
/// Guarantees: runs, run time and memory are those of that gadget, by its name and image.
#[test]
fn bpfstats_knows_our_own_programs() {
    const TIMES: u64 = 50;
    let collector = Collector::start(
        "gadgets:\n  - {name: execs, image: trace_exec}\n  - \
         {name: bpf, image: bpfstats, params: {statistics-interval: 300ms}}\n  - \
         {name: sums, image: bpfstats, image-metrics: false, params: {gadgets-only: \"true\", statistics-interval: 300ms}, \
         metrics: [{name: sum_runs, type: counter, field: runcount, labels: [gadgetName, progName]}]}\n",
    );
    // A first report, so that the second one has all of the runs.
    let of_gadget = [("gadgetName", "execs"), ("gadgetImage", "trace_exec")];
    let maps = || collector.sum("bpf_maps", &of_gadget);
    wait_for("a report", || (maps() > 0.0).then_some(()));
    let enters = [of_gadget.as_slice(), &[("progName", "ig_execve_e")]].concat();
    Probe::new(collector.folder(), "ig-bpf").run_times(TIMES);
    wait_for("the runs", || (collector.sum("bpf_program_runs_total", &enters) >= TIMES as f64).then_some(()));
    assert!(collector.sum("bpf_program_run_time_seconds_total", &enters) > 0.0);
    assert!(collector.sum("bpf_map_memory_bytes", &enters) > 4096.0);
    wait_for("the sum of the gadget", || {
        (collector.sum("sum_runs_total", &[("gadgetName", "execs"), ("progName", "")]) >= TIMES as f64)
            .then_some(())
    });
}

/// Scenario: two collectors; one shows the programs of the other.
/// Guarantees: programs of others have no gadget, but the process that holds them.
#[test]
fn bpfstats_names_who_holds_a_program() {
    let collector = Collector::start("gadgets:\n  - {name: execs, image: trace_exec}\n");
    let pid = collector.pid().to_string();
    let watch = Watch::start("bpfstats", &["-F", "progName==ig_execve_e", "-o", "json"]);
    watch.wait_for(&format!("\"pids\":\"{pid}\""));
    let ended = watch.interrupt();
    assert!(ended.status.success(), "{}", ended.stderr);
    let found = rows(&ended.stdout);
    let row = found.iter().find(|row| row["pids"] == pid.as_str()).unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!((&row["comms"], &row["gadgetName"]), (&Value::from(own_comm()), &Value::from("")));
    assert_eq!(row["progType"], "TracePoint");
}

/// Scenario: an image shows a variable of the environment, which is allowed or not.
/// Guarantees: it is refused by name, or shown.
#[test]
fn the_environment_is_shown_only_where_allowed() {
    let annotate = ["--annotate", "processes:env.fields.where=PATH", "--count", "1", "--interval", "100ms"];
    let output = run("top_process", &annotate);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("`PATH`, which is not allowed"), "{said}");
    let comm = own_comm();
    let collector = Collector::start(&format!(
        "gadgets:\n  - name: top\n    image: top_process\n    image-metrics: false\n    filter: comm=={comm}\n    \
         annotate: ['processes:env.fields.where=PATH']\n    \
         params: {{operator.env.env-vars: PATH, interval: 200ms}}\n    \
         metrics: [{{name: seen, type: gauge, labels: [comm, where]}}]\n",
    ));
    let path = std::env::var("PATH").unwrap();
    wait_for("the variable", || {
        (collector.sum("seen", &[("comm", &comm), ("where", &path)]) > 0.0).then_some(())
    });
}
