//! What somebody learns who does not know the command yet.

#![cfg(test)]

use std::process::{Command, Output};

fn ig(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(arguments)
        .env("IG_STORE", "/nonexistent/ig-store")
        .output()
        .unwrap()
}

/// Guarantees: `ig help` and `ig help COMMAND` are what `--help` is, on standard output, with status 0.
#[test]
fn help_is_a_command() {
    for (command, flag) in [(&["help"][..], &["--help"][..]), (&["help", "config"], &["config", "--help"])] {
        let (command, flag) = (ig(command), ig(flag));
        assert!(command.status.success(), "{command:?}");
        assert_eq!(String::from_utf8_lossy(&command.stdout), String::from_utf8_lossy(&flag.stdout));
    }
}

/// Scenario: `ig run` and `ig` with nothing behind them.
/// Guarantees: wrong usage, in words that say how to go on: by example, and with the gadgets that are there.
#[test]
fn a_command_without_arguments_teaches() {
    let run = ig(&["run"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{said}");
    for line in [
        "error: neither a gadget nor a configuration is named",
        "ig run trace_exec --help",
        "ig run -f runtime-config.yaml",
        "The store /nonexistent/ig-store has no gadget yet",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let bare = ig(&[]);
    let said = String::from_utf8_lossy(&bare.stderr).into_owned();
    assert_eq!(bare.status.code(), Some(2), "{said}");
    assert!(said.contains("Examples:") && said.contains("ig run trace_exec"), "{said}");
}
