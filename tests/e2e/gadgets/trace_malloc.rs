//! trace_malloc, by a C program that calls every function and says what it got.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

use ig_tests::{collector::Collector, root, wait_for};

use super::{seen, watch};

/// The name of the program as the kernel shows it.
const PROBE: &str = "ig-malloc-probe";

/// What keeps the events of others away, of the same program in another run among them.
fn own(params: &str) -> String {
    format!("    filter: proc.parent.pid=={}\n    params: {{comm: {PROBE}{params}}}\n", std::process::id())
}

/// The program, compiled into the collector's folder, without optimisation: compilers leave out blocks nobody uses.
fn probe(collector: &Collector) -> Command {
    let path = collector.folder().join(PROBE);
    let built = Command::new("cc")
        .args(["-O0", "-o"])
        .arg(&path)
        .arg(root().join("tests/e2e/gadgets/malloc.c"))
        .status()
        .unwrap();
    assert!(built.success(), "the probe cannot be compiled");
    Command::new(path)
}

/// Records by operation, address and size.
type Counts = BTreeMap<(String, String, String), u64>;

fn recorded(collector: &Collector, wanted: &Counts) -> Counts {
    let mut found = Counts::new();
    for sample in collector.samples().into_iter().filter(|sample| sample.name == "seen_total") {
        let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
        let key = (label("operation"), label("addr"), label("size"));
        if wanted.contains_key(&key) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
            found.insert(key, sample.value as u64);
        }
    }
    found
}

/// Scenario: a program calls each function of the C library that trace_malloc knows, one inside another among them.
/// Guarantees: there is one record for each call, with the address and size that the program saw.
#[test]
fn every_function_is_recorded_once() {
    let collector = watch("trace_malloc", &own(""), "operation, addr, size");
    let output = probe(&collector).output().unwrap();
    assert!(output.status.success());
    let mut wanted = Counts::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let mut words = line.split(' ').map(str::to_owned);
        let key = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        *wanted.entry(key).or_default() += 1;
    }
    let operations: Vec<&String> = wanted.keys().map(|(operation, ..)| operation).collect();
    assert!(operations.iter().any(|operation| *operation == "realloc_free"), "{operations:?}");
    let total = |counts: &Counts| counts.values().sum::<u64>();
    wait_for("all records", || (total(&recorded(&collector, &wanted)) >= total(&wanted)).then_some(()));
    assert_eq!(recorded(&collector, &wanted), wanted);
}

/// Scenario: user stacks are asked for; the kernel need not have one each time.
/// Guarantees: records name the process and the executable that their stack belongs to.
#[test]
fn records_have_user_stacks_when_asked() {
    let collector = watch(
        "trace_malloc",
        &own(", collect-ustack: \"true\""),
        "proc.pid, ustack.tgid_level0, ustack.inode, operation",
    );
    let mut probe = probe(&collector);
    let inode = fs::metadata(probe.get_program()).unwrap().ino().to_string();
    let mut child = probe.stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    assert!(child.wait().unwrap().success());
    seen(
        &collector,
        &[("operation", "free"), ("proc_pid", &pid), ("ustack_tgid_level0", &pid), ("ustack_inode", &inode)],
    );
}
