//! Each gadget of the repository sees the real event, and its record says what happened.
//!
//! Fields are checked through labels: a label is the field's value, formatted as users see it.

mod profile_cpu;
mod trace_capabilities;
mod trace_malloc;

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ig_tests::{
    collector::Collector,
    events::{Probe, own_name},
    exposition::Sample,
    gadgets, root, unique, wait_for,
};
use rustix::net::{AddressFamily, SocketType, ipproto};

/// A collector with one gadget and one counter with these labels. `more` has to keep others' events away where labels
/// are many: a busy machine makes more series than a gadget may have.
fn watch(image: &str, more: &str, labels: &str) -> Collector {
    Collector::start(&format!(
        "gadgets:\n  - name: g\n    image: {image}\n    image-metrics: false\n{more}    \
         metrics: [{{name: seen, type: counter, labels: [{labels}]}}]\n"
    ))
}

/// The samples of the counter with these labels, once there are any.
fn seen(collector: &Collector, labels: &[(&str, &str)]) -> Vec<Sample> {
    wait_for(&format!("a record with {labels:?}"), || {
        let found: Vec<Sample> = collector
            .samples()
            .into_iter()
            .filter(|sample| sample.name == "seen_total" && has(&sample.labels, labels))
            .collect();
        (!found.is_empty()).then_some(found)
    })
}

/// What keeps everybody else's events away from a gadget.
fn own_pid() -> String {
    format!("    filter: proc.pid=={}\n", std::process::id())
}

/// Whether the labels are these; one that is not there is empty.
fn has(known: &BTreeMap<String, String>, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(key, value)| known.get(*key).map_or("", String::as_str) == *value)
}

/// Scenario: a program is started by this process.
/// Guarantees: trace_exec has its name, ids, parent and result.
#[test]
fn trace_exec_sees_an_execution() {
    let collector = watch(
        "trace_exec",
        &format!("    filter: proc.comm=={}\n    params: {{paths: \"true\"}}\n", own_name("ig-exec")),
        "proc.comm, proc.pid, proc.parent.pid, proc.creds.uid, proc.creds.user, error, exepath, args_count",
    );
    let probe = Probe::new(collector.folder(), "ig-exec");
    let mut child = Command::new(probe.path()).arg("one").arg("two").spawn().unwrap();
    let pid = child.id().to_string();
    child.wait().unwrap();
    let me = std::process::id().to_string();
    let samples = seen(
        &collector,
        &[
            ("proc_comm", probe.comm()),
            ("proc_pid", &pid),
            ("proc_parent_pid", &me),
            ("proc_creds_user", "root"),
        ],
    );
    assert_eq!(samples.len(), 1);
    let sample = &samples[0];
    assert_eq!(sample.label("error"), "");
    assert_eq!(sample.label("proc_creds_uid"), "0");
    assert_eq!(sample.label("args_count"), "3");
    assert_eq!(sample.label("exepath"), probe.path().canonicalize().unwrap().display().to_string());
}

/// Scenario: a program that does not exist is started.
/// Guarantees: trace_exec drops the failure by default and shows it when asked to.
#[test]
fn trace_exec_sees_failures_when_asked() {
    let collector = watch("trace_exec", "    params: {ignore-failed: \"false\"}\n", "error");
    assert!(Command::new("/no/such/program").spawn().is_err());
    seen(&collector, &[("error", "ENOENT")]);
}

/// Scenario: a file is opened, and one that does not exist.
/// Guarantees: trace_open has name, flags, descriptor and error of both.
#[test]
fn trace_open_sees_success_and_failure() {
    let collector = watch("trace_open", &own_pid(), "proc.pid, fname, flags, error, fd");
    let file = collector.folder().join("ig-open-probe");
    fs::write(&file, "x").unwrap();
    let mut opened = fs::File::open(&file).unwrap();
    opened.read_to_string(&mut String::new()).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&opened).to_string();
    let missing = collector.folder().join("ig-open-missing");
    assert!(fs::File::open(&missing).is_err());
    let me = std::process::id().to_string();
    let name = file.display().to_string();
    let read = seen(&collector, &[("proc_pid", &me), ("fname", &name), ("flags", "O_RDONLY|O_CLOEXEC")]);
    assert_eq!((read[0].label("error"), read[0].label("fd")), ("", fd.as_str()));
    let failed = seen(&collector, &[("proc_pid", &me), ("fname", &missing.display().to_string())]);
    assert_eq!(failed[0].label("error"), "ENOENT");
}

/// Scenario: a process is killed with SIGUSR1, and kill is called for a process that does not exist.
/// Guarantees: trace_signal has sender, target, signal and error.
#[test]
fn trace_signal_sees_signals() {
    let collector = watch("trace_signal", &own_pid(), "proc.pid, tpid, sig, error");
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let target = child.id().to_string();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap();
    child.wait().unwrap();
    let me = std::process::id().to_string();
    let samples = seen(&collector, &[("proc_pid", &me), ("tpid", &target), ("sig", "SIGUSR1")]);
    assert_eq!(samples[0].label("error"), "");
    drop(collector);
    // Only the system calls know of signals that came to nothing.
    let collector = watch(
        "trace_signal",
        &format!("{}    params: {{kill-only: \"true\"}}\n", own_pid()),
        "proc.pid, tpid, sig, error",
    );
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).unwrap_err();
    seen(&collector, &[("proc_pid", &me), ("tpid", &target), ("error", "ESRCH")]);
}

/// Scenario: a TCP connection over loopback, made, accepted and closed, and one that is refused.
/// Guarantees: trace_tcp has type, endpoints and process of each.
#[test]
fn trace_tcp_sees_the_life_of_a_connection() {
    let collector = watch("trace_tcp", &own_pid(), "proc.pid, type, src.endpoint, dst.endpoint, error");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let client = TcpStream::connect(&server).unwrap();
    let from = client.local_addr().unwrap().to_string();
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"x").unwrap();
    drop(client);
    drop(accepted);
    drop(listener);
    assert!(TcpStream::connect(&server).is_err());
    let me = std::process::id().to_string();
    seen(
        &collector,
        &[
            ("proc_pid", &me),
            ("type", "connect"),
            ("src_endpoint", &from),
            ("dst_endpoint", &server),
            ("error", ""),
        ],
    );
    seen(
        &collector,
        &[("proc_pid", &me), ("type", "accept"), ("src_endpoint", &server), ("dst_endpoint", &from)],
    );
    seen(
        &collector,
        &[("proc_pid", &me), ("type", "close"), ("src_endpoint", &from), ("dst_endpoint", &server)],
    );
    seen(
        &collector,
        &[("proc_pid", &me), ("type", "connect"), ("dst_endpoint", &server), ("error", "ECONNREFUSED")],
    );
}

/// Scenario: an MPTCP listener, which is what servers in Go have, takes a connection by TCP and one by MPTCP.
/// Guarantees: trace_tcp has both sides of each, with the descriptors that the program knows, and its close.
#[test]
fn trace_tcp_sees_mptcp() {
    if fs::read_to_string("/proc/sys/net/mptcp/enabled").ok().as_deref().map(str::trim) != Some("1") {
        eprintln!("SKIPPED: this kernel has no MPTCP");
        return;
    }
    let collector = watch("trace_tcp", &own_pid(), "proc.pid, type, src.endpoint, dst.endpoint, fd, error");
    let socket =
        |protocol| rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(protocol)).unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = socket(ipproto::MPTCP);
    rustix::net::bind(&listener, &loopback).unwrap();
    rustix::net::listen(&listener, 4).unwrap();
    let listener = TcpListener::from(listener);
    let server = listener.local_addr().unwrap();
    for protocol in [ipproto::TCP, ipproto::MPTCP] {
        let client = socket(protocol);
        rustix::net::connect(&client, &server).unwrap();
        let client = TcpStream::from(client);
        let (accepted, _) = listener.accept().unwrap();
        let (server, from) = (server.to_string(), client.local_addr().unwrap().to_string());
        let me = std::process::id().to_string();
        let (made, taken) = (client.as_raw_fd().to_string(), listener.as_raw_fd().to_string());
        let by_me = |kind, src, dst, fd| {
            let labels = [
                ("proc_pid", me.as_str()),
                ("type", kind),
                ("src_endpoint", src),
                ("dst_endpoint", dst),
                ("fd", fd),
            ];
            seen(&collector, &labels);
        };
        by_me("connect", from.as_str(), server.as_str(), made.as_str());
        by_me("accept", &server, &from, &taken);
        drop(client);
        drop(accepted);
        by_me("close", &from, &server, "-1");
    }
}

/// Scenario: a listener on an IPv6 socket takes an IPv4 connection, another an IPv6 one.
/// Guarantees: the first is IPv4 at both ends, and the second has brackets around its addresses.
#[test]
fn endpoints_are_what_is_on_the_wire() {
    let collector = watch("trace_tcp", &own_pid(), "type, src.endpoint, src.version, dst.endpoint");
    let listener = TcpListener::bind("[::]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for (host, version) in [("127.0.0.1", "4"), ("[::1]", "6")] {
        let server = format!("{host}:{port}");
        let client = TcpStream::connect(&server).unwrap();
        let from = client.local_addr().unwrap().to_string();
        drop(listener.accept().unwrap());
        let labels = [
            ("type", "accept"),
            ("src_endpoint", server.as_str()),
            ("dst_endpoint", &from),
            ("src_version", version),
        ];
        seen(&collector, &labels);
    }
}

/// A memory cgroup with a limit; removed when dropped.
struct MemoryLimit(PathBuf);

impl MemoryLimit {
    fn new(bytes: u64) -> Self {
        let name = unique("ig-oom");
        let v1 = PathBuf::from("/sys/fs/cgroup/memory");
        let (folder, limit) = if v1.exists() {
            (v1.join(name), "memory.limit_in_bytes")
        } else {
            (PathBuf::from("/sys/fs/cgroup").join(name), "memory.max")
        };
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(limit), bytes.to_string()).unwrap();
        Self(folder)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        wait_for("the cgroup to be empty", || fs::remove_dir(&self.0).ok());
    }
}

/// Scenario: a process outgrows the limit of its memory cgroup.
/// Guarantees: trace_oomkill names the victim.
#[test]
fn trace_oomkill_names_the_victim() {
    let collector = watch("trace_oomkill", "", "tcomm, tpid");
    let limit = MemoryLimit::new(32 << 20);
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("echo $$ > {}/cgroup.procs && exec tail /dev/zero", limit.0.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    assert!(!child.wait().unwrap().success(), "the limit did not bite");
    seen(&collector, &[("tcomm", "tail"), ("tpid", &pid)]);
}

/// Scenario: data is written to a file and forced to the disk.
/// Guarantees: profile_blockio's histogram of the disk grows, and its buckets add up.
#[test]
fn profile_blockio_measures_writes() {
    let collector = Collector::start(
        "gadgets:
  - name: g
    image: profile_blockio
    image-metrics: false
    interval: 200ms
    metrics: [{name: latency, type: histogram, field: latency, unit: s, scale: 1e-6, labels: [op]}]
",
    );
    let file = root().join("target").join(unique("ig-blockio"));
    let mut written = fs::File::create(&file).unwrap();
    for _ in 0..20 {
        written.write_all(&vec![7; 65536]).unwrap();
        written.sync_all().unwrap();
    }
    drop(written);
    fs::remove_file(&file).unwrap();
    let count = |collector: &Collector| collector.sum("latency_seconds_count", &[("op", "write")]);
    wait_for("writes", || (count(&collector) >= 20.0).then_some(()));
    let samples = collector.samples();
    for op in ["write", "read"] {
        let of = |name: &str| -> Vec<&Sample> {
            samples
                .iter()
                .filter(|sample| {
                    sample.name == name && sample.labels.get("op").is_some_and(|known| known == op)
                })
                .collect()
        };
        let buckets: Vec<f64> = of("latency_seconds_bucket").iter().map(|sample| sample.value).collect();
        assert!(buckets.is_sorted(), "{buckets:?}");
        let total: f64 = of("latency_seconds_count").iter().map(|sample| sample.value).sum();
        assert_eq!(buckets.last().copied().unwrap_or(0.0), total);
    }
    assert!(collector.sum("latency_seconds_sum", &[("op", "write")]) > 0.0);
}

/// Scenario: three processes of a name exist, then none.
/// Guarantees: snapshot_process shows three, and the series goes when they are gone.
#[test]
fn snapshot_process_counts_what_exists() {
    let collector = Collector::start(
        "gadgets:
  - name: g
    image: snapshot_process
    interval: 200ms
    metrics: [{name: alive, type: gauge, labels: [comm]}]
",
    );
    let comm = own_name("ig-liv");
    let path = collector.folder().join(&comm);
    ig_test_kit::executable::copy(Path::new("/bin/sleep"), &path);
    let mut children: Vec<_> = (0..3).map(|_| Command::new(&path).arg("60").spawn().unwrap()).collect();
    let alive = |count: f64| {
        wait_for(&format!("{count} processes"), || {
            (collector.sum("alive", &[("comm", &comm)]) == count).then_some(())
        });
    };
    alive(3.0);
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    wait_for("the series to go", || {
        collector
            .samples()
            .iter()
            .all(|sample| sample.labels.get("comm").is_none_or(|known| *known != comm))
            .then_some(())
    });
    let me = fs::read_to_string("/proc/self/comm").unwrap();
    assert!(collector.sum("alive", &[("comm", me.trim())]) >= 1.0);
}

/// Scenario: a TCP listener, an established connection and a bound UDP socket.
/// Guarantees: snapshot_socket has their endpoints and states.
#[test]
fn snapshot_socket_has_endpoints_and_states() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let client = TcpStream::connect(&server).unwrap();
    let from = client.local_addr().unwrap().to_string();
    let (accepted, _) = listener.accept().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = udp.local_addr().unwrap().to_string();
    let collector = Collector::start(&format!(
        "gadgets:
  - name: g
    image: snapshot_socket
    filter: src.endpoint~^({server}|{from}|{datagrams})$
    interval: 300ms
    metrics: [{{name: sockets, type: gauge, labels: [src.endpoint, dst.endpoint, src.proto, state]}}]
"
    ));
    for labels in [
        &[("src_endpoint", server.as_str()), ("src_proto", "TCP"), ("state", "LISTEN")][..],
        &[("src_endpoint", &from), ("dst_endpoint", &server), ("state", "ESTABLISHED")],
        &[("src_endpoint", &datagrams), ("src_proto", "UDP"), ("state", "CLOSE")],
    ] {
        wait_for(&format!("{labels:?}"), || (collector.sum("sockets", labels) == 1.0).then_some(()));
    }
    drop((accepted, client, udp));
}

/// Scenario: every gadget of the repository in one collector, with the image's own metrics only.
/// Guarantees: all run, and each has a page that names its parameters.
#[test]
fn all_gadgets_run_together() {
    let sections: String = gadgets()
        .iter()
        .map(|gadget| format!("  - {{name: {}, image: {gadget}}}\n", gadget.replace('_', "-")))
        .collect();
    let collector = Collector::start(&format!("gadgets:\n{sections}"));
    let page = collector.get("/readyz").text();
    for gadget in gadgets() {
        assert!(page.contains(&format!("gadget {}: running", gadget.replace('_', "-"))), "{page}");
        let readme = fs::read_to_string(root().join("gadgets").join(&gadget).join("README.md")).unwrap();
        assert!(readme.contains("## "), "{gadget} has no page");
    }
}

/// Scenario: the configuration on each gadget's page is run as it stands there.
/// Guarantees: it works.
#[test]
fn configurations_of_the_pages_run() {
    for gadget in gadgets() {
        let page = fs::read_to_string(root().join("gadgets").join(&gadget).join("README.md")).unwrap();
        let snippets: Vec<&str> = page
            .split("```yaml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .filter(|snippet| snippet.starts_with("apiVersion: 1"))
            .collect();
        assert!(!snippets.is_empty(), "the page of {gadget} has no configuration");
        for snippet in snippets {
            let folder = tempfile::tempdir().unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], ig_tests::free_port()));
            let config = folder.path().join("runtime-config.yaml");
            fs::write(&config, snippet.replace("127.0.0.1:2224", &address.to_string())).unwrap();
            let collector = Collector::spawn_with(folder, config, address);
            collector.wait_ready();
            let page = collector.get("/readyz").text();
            let running = page
                .lines()
                .filter(|line| line.starts_with("gadget ") && line.ends_with(": running"))
                .count();
            let all = page.lines().filter(|line| line.starts_with("gadget ")).count();
            assert!(all > 0 && running == all, "{gadget}: {page}");
        }
    }
}

/// Scenario: the examples of the configuration are run as they stand, on an endpoint of their own.
/// Guarantees: every gadget of quickstart.yaml and metrics.yaml runs.
#[test]
fn example_configurations_run() {
    for example in ["quickstart", "metrics"] {
        let text = fs::read_to_string(root().join(format!("config/examples/{example}.yaml"))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], ig_tests::free_port()));
        let config = folder.path().join("runtime-config.yaml");
        let text = if text.contains("127.0.0.1:2224") {
            text.replace("127.0.0.1:2224", &address.to_string())
        } else {
            format!("{text}\nexporters: {{prometheus: {{listen: \"{address}\"}}}}\n")
        };
        fs::write(&config, text.replace("http://127.0.0.1:2224", "")).unwrap();
        let collector = Collector::spawn_with(folder, config, address);
        collector.wait_ready();
        let page = collector.get("/readyz").text();
        assert!(!page.contains("refused") && !page.contains("degraded"), "{example}: {page}");
    }
}
