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
