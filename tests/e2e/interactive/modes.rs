//! What each mode and each flag makes of real records.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::UdpSocket,
    path::PathBuf,
    process::Command,
};

use ig_tests::events::{Busy, Probe, own_name};
use serde_json::{Value, json};

use super::{Sleeper, Watch, command, run};

const NAME: &str = "ig-mode-probe";

fn sleeper() -> (tempfile::TempDir, Sleeper) {
    let folder = tempfile::tempdir().unwrap();
    let sleeper = Sleeper::new(&folder.path().join(NAME));
    (folder, sleeper)
}

/// The one process, in a mode, with its number replaced.
fn snapshot(sleeper: &Sleeper, flags: &[&str]) -> String {
    let rule = format!("pid=={}", sleeper.pid());
    let ended = run("snapshot_process", &[&["-F", rule.as_str()], flags].concat());
    assert!(ended.status.success(), "{flags:?}: {}", ended.stderr);
    ended.stdout
}

/// Scenario: one process, printed in each mode.
/// Guarantees: the exact text of columns, json, jsonpretty and yaml; nothing at all for none.
#[test]
fn each_mode_has_its_form() {
    let (_folder, sleeper) = sleeper();
    let pid = sleeper.pid();
    let in_mode =
        |mode: &str| snapshot(&sleeper, &["-o", mode, "--fields", "pid,comm,creds"]).replace(&pid, "PID");
    assert_eq!(
        in_mode("json"),
        "[{\"comm\":\"ig-mode-probe\",\"creds\":{\"gid\":0,\"group\":\"root\",\"uid\":0,\"user\":\"root\"},\"pid\":PID}]\n"
    );
    assert_eq!(
        in_mode("jsonpretty"),
        "[\n  {\n    \"comm\": \"ig-mode-probe\",\n    \"creds\": {\n      \"gid\": 0,\n      \"group\": \"root\",\n      \
         \"uid\": 0,\n      \"user\": \"root\"\n    },\n    \"pid\": PID\n  }\n]\n"
    );
    assert_eq!(
        in_mode("yaml"),
        "---\ncomm: ig-mode-probe\ncreds:\n  gid: 0\n  group: root\n  uid: 0\n  user: root\npid: PID\n"
    );
    assert_eq!(in_mode("none"), "");
    let table = snapshot(&sleeper, &["--fields", "comm,pid"]);
    assert_eq!(table, format!("COMM\tPID\n{NAME}\t{pid}\n"));
}

/// Scenario: `--fields` picks fields, and adds and takes away, in a table and in JSON.
/// Guarantees: exactly these columns in this order; exactly these keys.
#[test]
fn fields_are_picked_added_and_left_out() {
    let (_folder, sleeper) = sleeper();
    let titles = |fields: &str| -> Vec<String> {
        let table = snapshot(&sleeper, &["--fields", fields]);
        table.lines().next().unwrap().split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(titles("tid,comm"), ["TID", "COMM"]);
    assert_eq!(titles("-comm"), ["PID", "TID"]);
    assert_eq!(titles("+creds.uid,-tid"), ["COMM", "PID", "UID"]);
    let keys: Value = serde_json::from_str(&snapshot(&sleeper, &["-o", "json", "--fields", "tid"])).unwrap();
    assert_eq!(keys, json!([{"tid": sleeper.0.id()}]));
}

/// Scenario: three processes, sorted both ways and limited, the usual order reversed by an annotation's width.
/// Guarantees: order and number are as asked; filters by rule and by expression agree.
#[test]
fn sort_limit_and_filters_do_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let sleepers: Vec<Sleeper> =
        (0..3).map(|index| Sleeper::new(&folder.path().join(own_name(&format!("igsrt{index}"))))).collect();
    let own = std::process::id();
    let names = format!("comm~^igsrt[0-9]-{own}$");
    let pids = |flags: &[&str]| -> Vec<u32> {
        let ended = run("snapshot_process", &[&["-o", "json", "--fields", "pid"], flags].concat());
        assert!(ended.status.success(), "{flags:?}: {}", ended.stderr);
        let rows: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
        rows.iter().map(|row| u32::try_from(row["pid"].as_u64().unwrap()).unwrap()).collect()
    };
    let mut expected: Vec<u32> = sleepers.iter().map(|sleeper| sleeper.0.id()).collect();
    expected.sort_unstable();
    assert_eq!(pids(&["-F", &names, "--sort", "pid"]), expected);
    expected.reverse();
    assert_eq!(pids(&["-F", &names, "--sort", "-pid"]), expected);
    assert_eq!(pids(&["-F", &names, "--sort", "-pid", "--max-entries", "2"]), expected[..2]);
    let expression = format!("comm startsWith \"igsrt\" && comm endsWith \"-{own}\" && pid > 0");
    assert_eq!(pids(&["-E", &expression, "--sort", "-pid"]), expected);
    let second = format!("comm=={},pid!=0", own_name("igsrt1"));
    assert_eq!(pids(&["-F", &second]), [sleepers[1].0.id()]);
}

/// Scenario: an annotation hides a column, and another shows one that the image hides.
/// Guarantees: the table follows them.
#[test]
fn annotations_change_the_table() {
    let (_folder, sleeper) = sleeper();
    let table = snapshot(
        &sleeper,
        &[
            "--annotate",
            "processes.comm:columns.hidden=true",
            "--annotate",
            "processes.creds.uid:columns.hidden=false",
        ],
    );
    let titles: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(titles, ["PID", "TID", "UID"], "{table}");
}

/// Scenario: programs run while a gadget prints events as JSON, and SIGINT right behind the last of them.
/// Guarantees: status 0; one document a line for each execution, none missing, with all that was pending.
#[test]
fn an_interrupt_prints_what_is_left() {
    let comm = own_name("ig-bst");
    let watch = Watch::start("trace_exec", &["-o", "json", "-F", &format!("proc.comm=={comm}")]);
    Probe::new(watch.folder(), "ig-bst").run_times(200);
    let ended = watch.interrupt();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let rows: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().all(|row| row["proc"]["comm"] == comm.as_str() && row["error_raw"] == 0));
}

/// Forces some data to the disk that the project is on.
fn write_to_disk() {
    let path = ig_tests::root().join("target").join(ig_tests::unique("ig-histogram"));
    let mut file = fs::File::create(&path).unwrap();
    for _ in 0..10 {
        file.write_all(&[7; 4096]).unwrap();
        file.sync_all().unwrap();
    }
    fs::remove_file(&path).unwrap();
}

/// Scenario: data is forced to the disk while block devices are watched.
/// Guarantees: the gadget's own mode, histograms, is the default, with bars; other modes have the slots as numbers.
#[test]
fn histograms_are_drawn() {
    for (flags, sign) in [(&[][..], "|*"), (&["-o", "histogram"], "|*"), (&["-o", "json"], "\"latency\":[")] {
        let watch = Watch::start("profile_blockio", flags);
        write_to_disk();
        watch.wait_for(sign);
        let ended = watch.interrupt();
        assert!(ended.status.success(), "{}", ended.stderr);
    }
}

/// Scenario: block devices are watched with a reading that never comes, and the run is interrupted.
/// Guarantees: the one picture that is drawn, at the end, has what happened since the start.
#[test]
fn the_last_histogram_is_the_whole_run() {
    let watch = Watch::start("profile_blockio", &["--map-fetch-interval", "1h"]);
    write_to_disk();
    let ended = watch.interrupt();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("|*"), "{}", ended.stdout);
}

/// Scenario: processes are shown as the image orders them.
/// Guarantees: those that take most processor time come first, without `--sort`; `--sort` wins.
#[test]
fn top_gadgets_sort_by_what_matters() {
    let rows = |flags: &[&str]| -> Vec<Value> {
        let ended = run("top_process", &[&["-o", "json", "--count", "1"], flags].concat());
        assert!(ended.status.success(), "{}", ended.stderr);
        serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap()
    };
    let usage: Vec<f64> = rows(&[]).iter().map(|row| row["cpuUsage"].as_f64().unwrap()).collect();
    assert!(usage.is_sorted_by(|left, right| left >= right), "{usage:?}");
    let pids: Vec<u64> = rows(&["--sort", "pid"]).iter().map(|row| row["pid"].as_u64().unwrap()).collect();
    assert!(pids.is_sorted(), "{pids:?}");
}

/// Scenario: `--timeout` as seconds and as a duration.
/// Guarantees: the run ends by itself, with status 0.
#[test]
fn a_timeout_ends_the_run() {
    for time in ["1", "300ms"] {
        let ended = run("trace_open", &["-o", "none", "--timeout", time]);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    }
}

/// Scenario: the reader of the pipe goes away after one line, as `head -1` does, with and without further events.
/// Guarantees: the run ends by itself with status 0 and complains of nothing.
#[test]
fn a_broken_pipe_is_success() {
    let folder = tempfile::tempdir().unwrap();
    let log: PathBuf = folder.path().join("log");
    for image in ["snapshot_process", "trace_open"] {
        let ig = command(image, &["-o", "json"]);
        let mut shell = Command::new("bash");
        shell.args(["-c", "log=$1; shift; \"$@\" 2> \"$log\" | head -n 1; exit ${PIPESTATUS[0]}", "pipe"]);
        let output = shell.arg(&log).arg(ig.get_program()).args(ig.get_args()).output().unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert_eq!(output.status.code(), Some(0), "{image}: {said}");
        assert!(serde_json::from_slice::<Value>(&output.stdout).is_ok(), "{image}");
        assert!(!said.to_lowercase().contains("error"), "{image}: {said}");
    }
}

/// Scenario: a program that never rests is sampled, as folded stacks and as a pprof profile.
/// Guarantees: each line is a stack that begins with its name, and a count; the profile is what `gunzip` unpacks.
#[test]
fn profiles_have_their_own_modes() {
    let comm = own_name("ig-busy");
    let busy = Busy::start(&comm, "");
    let rule = format!("proc.comm=={comm}");
    let sampled = ["folded", "pprof"].map(|mode| {
        let watch = Watch::start("profile_cpu", &["-o", mode, "-F", &rule]);
        busy.wait_for_work(1.0);
        watch.interrupt()
    });
    let [folded, pprof] = sampled;
    assert!(folded.status.success() && pprof.status.success(), "{}{}", folded.stderr, pprof.stderr);
    assert!(!folded.stdout.is_empty(), "{}", folded.stderr);
    for line in folded.stdout.lines() {
        let (stack, count) = line.rsplit_once(' ').unwrap();
        assert!(stack.starts_with(&format!("{comm};")) && count.parse::<u64>().unwrap() > 0, "{line}");
    }
    let mut profile = Vec::new();
    flate2::read::GzDecoder::new(pprof.raw.as_slice()).read_to_end(&mut profile).unwrap();
    assert!(profile.windows(comm.len()).any(|window| window == comm.as_bytes()));
}

/// Scenario: datagrams over loopback while packets to their port are captured as pcap-ng.
/// Guarantees: the real tcpdump reads each of them, once although it goes out and comes in, and nothing else.
#[test]
fn packets_are_read_by_tcpdump() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let watch =
        Watch::start("tcpdump", &["--iface", "lo", "--pf", &format!("udp dst port {port}"), "-o", "pcap-ng"]);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        sender.send_to(b"hello", ("127.0.0.1", port)).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 5);
    }
    let ended = watch.interrupt();
    assert!(ended.status.success(), "{}", ended.stderr);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("packets.pcapng");
    fs::write(&file, &ended.raw).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let output = Command::new("tcpdump").arg("-nr").arg(&file).env("PATH", path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().all(|line| line.contains(&format!("127.0.0.1.{port}: UDP, length 5"))), "{text}");
}
