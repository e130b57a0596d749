//! Start and stop, states and health.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use ig_tests::{
    collector::{Collector, document},
    events::Probe,
    free_port, http, ig, wait_for,
};
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
    assert_eq!(page.lines().next(), Some("1 of 2 running"));
    assert_eq!(collector.get("/readyz?strict").status, 503);
    let line = page.lines().find(|line| line.starts_with("gadget late: ")).unwrap();
    assert!(line.contains("refused") && line.contains(name) && line.contains("ig image build"), "{line}");
    assert_eq!(collector.sum("ig_gadget_state", &[("gadget", "exec"), ("state", "running")]), 1.0);
    assert_eq!(collector.sum("ig_gadget_reason", &[("gadget", "late"), ("reason", "image")]), 1.0);

    build(name);
    wait_for("the gadget to start", || {
        (collector.sum("ig_gadget_state", &[("gadget", "late"), ("state", "running")]) > 0.5).then_some(())
    });
    let page = collector.get("/readyz?strict");
    assert_eq!((page.status, page.text().lines().next()), (200, Some("ready")), "{}", page.text());
}

/// Scenario: nothing but the endpoint is asked.
/// Guarantees: /healthz answers, unknown paths do not, and the collector's own metrics are all documented ones.
#[test]
fn own_metrics_are_documented() {
    let collector = Collector::start("gadgets:\n  - {name: exec, image: trace_exec}\n");
    assert_eq!(collector.get("/healthz").status, 200);
    assert_eq!(collector.get("/nothing").status, 404);
    let documented = fs::read_to_string(ig_tests::root().join("collector/docs/metrics.md")).unwrap();
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
fn limited(limit: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={limit}")).arg(ig());
    command
}

fn spawn_limited(limit: &str, sections: &str) -> Collector {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    fs::write(&config, document(address, sections)).unwrap();
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
    let open = fs::read_dir(format!("/proc/{}/fd", idle.pid())).unwrap().count();
    drop(idle);
    // Each gadget keeps three, so that some of forty cannot run and any three can.
    let gadgets: Vec<String> = (0..40).map(|number| format!("g{number:02}")).collect();
    let limit = open + 40;
    let collector = spawn_limited(&format!("{limit}:{limit}"), &sections(&gadgets));
    let refused = wait_for("some gadgets to be refused", || {
        let page = http::get(collector.address(), "/readyz", &[]).ok()?.text();
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

/// Scenario: the log goes to a pipe that nobody reads, and there is more of it than the pipe holds.
/// Guarantees: pages, health, reloads and the end are as if somebody read it.
#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Open, so that the other end can be opened too, and never read.
    let unread = File::options().read(true).write(true).open(&pipe).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = folder.path().join("runtime-config.yaml");
    fs::write(&config, document(address, "gadgets:\n  - {name: exec, image: trace_exec}\n")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 2> \"$PIPE\""]).arg(ig()).arg("-vv").env("PIPE", &pipe);
    let mut collector = Collector::spawn_by(command, folder, config, address);
    collector.wait_ready();
    let mut reloads = 0.0;
    let mut reload = || {
        reloads += 1.0;
        collector.signal(Signal::HUP);
        wait_for("a reload", || (collector.reloads().0 >= reloads).then_some(()));
    };
    wait_for("the pipe to be full", || {
        reload();
        (rustix::io::ioctl_fionread(&unread).unwrap() > 60_000).then_some(())
    });
    (0..10).for_each(|_| reload());
    assert_eq!(collector.get("/healthz").status, 200);
    assert!(collector.samples().iter().any(|sample| sample.name == "ig_log_lines_lost_total"));
    let status = collector.stop();
    assert_eq!(status.code(), Some(0), "{status:?}");
}

/// Scenario: SIGTERM twice, 10 ms apart, as timeout(1) sends it to its child and to the group that the child is in; and
/// once more after SIGHUP.
/// Guarantees: it is one stop that drains.
#[test]
fn an_echo_of_the_stop_costs_nothing() {
    let mut collector = Collector::start("gadgets:\n  - {name: exec, image: trace_exec}\n");
    collector.signal(Signal::HUP);
    collector.signal(Signal::TERM);
    thread::sleep(Duration::from_millis(10));
    collector.signal(Signal::TERM);
    let status = collector.wait();
    // A machine that is too busy to deliver both within 200 ms makes two stops of them.
    assert!(matches!(status.code(), Some(0 | 1)), "{status:?}");
    assert_eq!(status.success(), !collector.log().contains("stopped at once"), "{}", collector.log());
    assert!(collector.log().contains("stopping: draining"));
}

/// Scenario: SIGTERM while hundreds of gadgets are being started.
/// Guarantees: the start ends there, what runs is drained, and the process ends with success.
#[test]
fn a_stop_ends_a_slow_start() {
    let gadgets: String =
        (0..400).map(|number| format!("  - {{name: g{number}, image: snapshot_process}}\n")).collect();
    let mut collector = Collector::spawn(&format!("gadgets:\n{gadgets}"));
    wait_for("the first gadget to run", || collector.log().contains("gadget.started").then_some(()));
    collector.signal(Signal::TERM);
    assert!(collector.wait().success(), "{}", collector.log());
    let started = collector.log().matches("gadget.started").count();
    assert!(started < 400 && !collector.log().contains("are running"), "{started}");
}

/// Scenario: another process holds the lock of the image store while the collector starts, and lets it go later.
/// Guarantees: health is answered meanwhile, a stop is obeyed, and where none comes the gadget starts by itself.
#[test]
fn a_locked_store_holds_up_nobody() {
    let store = tempfile::tempdir().unwrap();
    ig_tests::build_gadget(store.path(), &ig_tests::root().join("gadgets/trace_exec"), "trace_exec");
    let lock = File::options().write(true).open(store.path().join("index.json.lock")).unwrap();
    lock.lock().unwrap();
    let sections = format!(
        "images: {{store: \"{}\", pull: never}}\ngadgets:\n  - {{name: exec, image: trace_exec}}\n",
        store.path().display()
    );
    let [mut stopped, waiting] = [Collector::spawn(&sections), Collector::spawn(&sections)];
    for collector in [&stopped, &waiting] {
        wait_for("an answer", || http::get(collector.address(), "/healthz", &[]).ok());
        assert_eq!(collector.get("/readyz").status, 503);
    }
    assert!(stopped.stop().success(), "{}", stopped.log());
    lock.unlock().unwrap();
    wait_for("the gadget to run", || {
        (waiting.sum("ig_gadget_state", &[("state", "running")]) > 0.5).then_some(())
    });
}

/// Scenario: a collector reads documents, images and maps.
/// Guarantees: each of its threads has a name that says what it is for.
#[test]
fn threads_have_names() {
    let collector =
        Collector::start("gadgets:\n  - {name: processes, image: snapshot_process, interval: 100ms}\n");
    let tasks = format!("/proc/{}/task", collector.pid());
    let mut names: Vec<String> = fs::read_dir(Path::new(&tasks))
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect();
    names.sort();
    for name in ["ig", "ig-images", "ig-reader", "log", "signals"] {
        assert!(names.iter().any(|known| known == name), "no {name} in {names:?}");
    }
    assert!(names.iter().all(|name| !name.starts_with("tokio")), "{names:?}");
}

/// Scenario: rows of a collector go to a pipe that nobody reads before the collector is told to stop.
/// Guarantees: every row that was counted as delivered comes out of the pipe.
#[test]
fn rows_that_wait_are_written_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut rows = File::options().read(true).write(true).open(&pipe).unwrap();
    // It holds 64 KiB; there is no room for all of the rows.
    rows.write_all(&vec![b'\n'; 60_000]).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let config = folder.path().join("runtime-config.yaml");
    fs::write(&config, document(address, "gadgets:\n  - {name: exec, image: trace_exec}\n")).unwrap();
    let probe = Probe::new(folder.path(), "ig-row");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" -o json > \"$PIPE\""]).arg(ig()).env("PIPE", &pipe);
    let mut collector = Collector::spawn_by(command, folder, config, address);
    collector.wait_ready();
    probe.run_times(400);
    collector.wait_for_sum("trace_exec_executions_total", &[("proc_comm", probe.comm())], 400.0);
    collector.signal(Signal::TERM);
    let mut read = Vec::new();
    wait_for("all rows", || {
        let waiting = rustix::io::ioctl_fionread(&rows).unwrap();
        let mut chunk = vec![0; usize::try_from(waiting).unwrap()];
        rows.read_exact(&mut chunk).unwrap();
        read.extend(chunk);
        let text = String::from_utf8_lossy(&read);
        (text.lines().filter(|row| row.contains(probe.comm())).count() >= 400).then_some(())
    });
    assert!(collector.wait().success(), "{}", collector.log());
}
