//! Standard output and standard error that are full, or that nobody reads any more.

#![cfg(test)]

use std::{
    fs::File,
    io::{self, Write as _},
    process::{Command, ExitStatus, Output, Stdio},
};

/// Every way in which the command writes to standard output without root.
const WRITERS: &[&[&str]] = &[
    &["config", "schema"],
    &["config", "default"],
    &["config", "check", "-"],
    &["config", "check", "-", "-o", "json"],
    &["version"],
    &["--version"],
    &["--help"],
    &["help", "run"],
    &["image", "list", "--help"],
    &["completion", "bash"],
    &["man"],
];

const FAULTY: &str = "apiVersion: 1\nkind: runtime-config\ngadget: []\n";
const SOUND: &str = "apiVersion: 1\nkind: runtime-config\ngadgets: [{name: exec, image: trace_exec}]\n";

fn ig(arguments: &[&str], input: &str, stdout: Stdio, stderr: Stdio) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// The end to write to of a pipe that nobody reads.
fn unread() -> Stdio {
    io::pipe().unwrap().1.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn code(status: ExitStatus) -> i32 {
    status.code().expect("the command ends by itself")
}

/// Scenario: standard output is a full disk.
/// Guarantees: each command fails with status 1 and says on standard error that its output could not be written.
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    for arguments in WRITERS {
        let output = ig(arguments, SOUND, full(), Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(output.status), 1, "{arguments:?}: {said}");
        assert!(
            said.starts_with("error: failed to write to standard output: No space left"),
            "{arguments:?}: {said}"
        );
    }
}

/// Scenario: the reader of standard output has gone away, as `head` does.
/// Guarantees: each command ends quietly with the status it would have had: 0, and 2 for a configuration with faults.
#[test]
fn a_reader_that_has_gone_away_is_no_failure() {
    for arguments in WRITERS {
        let output = ig(arguments, SOUND, unread(), Stdio::piped());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((code(output.status), said.as_ref()), (0, ""), "{arguments:?}");
    }
    let output = ig(&["config", "check", "-", "-o", "json"], FAULTY, unread(), Stdio::piped());
    assert_eq!(code(output.status), 2);
}

/// Scenario: standard error is a full disk, or a pipe that nobody reads, and the command has an error to report.
/// Guarantees: the status is that of the error; nothing panics.
#[test]
fn errors_that_nobody_can_read_keep_their_status() {
    for stream in [full, unread] {
        for (arguments, expected) in [
            (&["config", "check", "-"][..], 2),
            (&["config", "check", "-", "--log-format", "json"], 2),
            (&["nonsense"], 2),
            (&["image", "inspect", "--store", "/nonexistent/store", "x"], 1),
        ] {
            let output = ig(arguments, FAULTY, Stdio::piped(), stream());
            assert_eq!(code(output.status), expected, "{arguments:?}");
        }
        let both = ig(&["--help"], "", full(), stream());
        assert_eq!(code(both.status), 1);
    }
}

/// Scenario: `--log-format json`, and a configuration with several faults.
/// Guarantees: every line on standard error is a JSON object with level, name and message.
#[test]
fn json_logs_hold_nothing_else() {
    let output =
        ig(&["--log-format", "json", "config", "check", "-"], FAULTY, Stdio::piped(), Stdio::piped());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() >= 2, "{said}");
    for line in said.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for member in ["time", "level", "name", "message"] {
            assert!(line[member].is_string(), "{line}");
        }
    }
}
