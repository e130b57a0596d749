//! `ig config check` as people pipe into it.

#![cfg(test)]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

fn check(input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["config", "check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Scenario: a configuration comes from a pipe, whole and with a wrong key.
/// Guarantees: it is checked as a file is, and a fault names its line.
#[test]
fn standard_input_is_checked() {
    let good = check("apiVersion: 1\nkind: runtime-config\ngadgets: [{name: exec, image: trace_exec}]\n");
    assert!(good.status.success(), "{good:?}");
    assert!(String::from_utf8_lossy(&good.stdout).contains("ok, 1 gadget(s)"), "{good:?}");
    let bad = check("apiVersion: 1\nkind: runtime-config\ngadget: []\n");
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    assert!(String::from_utf8_lossy(&bad.stderr).contains("(standard input):3:1"), "{bad:?}");
}

/// A store with a gadget `seconds` whose one data source an operator feeds, so that no compiler is needed.
fn store_with_a_gadget() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("gadget");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(
        source.join("gadget.yaml"),
        "name: processes\noperator:\n  process:\n    emitstats: true\ndatasources:\n  processes: {}\n",
    )
    .unwrap();
    let built = Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["image", "--store"])
        .arg(folder.path().join("store"))
        .arg("build")
        .arg(&source)
        .args(["-t", "processes"])
        .output()
        .unwrap();
    assert!(built.status.success(), "{built:?}");
    folder
}

fn check_with_store(gadget: &str, store: &std::path::Path, flags: &[&str]) -> Output {
    let file = store.join("run.yaml");
    std::fs::write(&file, format!("apiVersion: 1\nkind: runtime-config\ngadgets:\n{gadget}")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["config", "check"])
        .arg(&file)
        .arg("--store")
        .arg(store.join("store"))
        .args(flags)
        .output()
        .unwrap()
}

/// Scenario: a parameter, a field of a filter, of a metric and of a label that the gadget of the store does not have.
/// Guarantees: the check refuses each, with its gadget, its place and the nearest name, as the run would; one fault
/// each, and none that follows from another.
#[test]
fn what_a_run_would_refuse_the_check_refuses() {
    let folder = store_with_a_gadget();
    for (section, line, expected) in [
        ("params: {intervall: 1s}", 4, "intervall"),
        ("filter: com==cat", 4, "did you mean `comm`?"),
        ("metrics: [{name: m, type: counter, field: memoryRs}]", 6, "memoryRs"),
        ("metrics: [{name: m, type: counter, labels: [{field: com, name: c}]}]", 6, "did you mean `comm`?"),
    ] {
        let gadget = format!("  - name: top\n    image: processes\n    {section}\n");
        let output = check_with_store(&gadget, folder.path(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{section}: {said}");
        assert!(said.contains(expected) && said.contains("gadget `top`"), "{section}: {said}");
        assert!(said.contains(&format!("run.yaml:{line}:")), "{section}: {said}");
        assert_eq!(said.lines().count(), 2, "{section}: {said}");
        let report = check_with_store(&gadget, folder.path(), &["-o", "json"]);
        let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
        assert_eq!(
            (&report["ok"], report["faults"].as_array().unwrap().len()),
            (&false.into(), 1),
            "{report}"
        );
    }
}

/// Scenario: one gadget of a configuration is in the store, another is not.
/// Guarantees: the configuration is valid, and the check says which gadget it could not look at, and why.
#[test]
fn what_could_not_be_checked_is_said() {
    let folder = store_with_a_gadget();
    let gadgets = "  - {name: top, image: processes}\n  - {name: exec, image: trace_exec}\n";
    let output = check_with_store(gadgets, folder.path(), &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("note: not checked against their images: exec: not in the store "), "{said}");
    let report = check_with_store(gadgets, folder.path(), &["-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    let unchecked: Vec<_> = report["unchecked"].as_object().unwrap().values().collect();
    assert_eq!((&report["ok"], unchecked), (&true.into(), vec![&serde_json::json!(["exec"])]), "{report}");
}
