//! Wrong images, flags, fields and values: what the user is told, and with which status.

use std::process::Command;

use ig_tests::{gadgets, ig, store};

use super::run;

/// Scenario: one fault after the other in what follows `ig run`.
/// Guarantees: status 2 for wrong usage; the message names the thing and the nearest one there is; no output at all.
#[test]
fn wrong_usage_is_named_with_the_nearest_right_one() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("trace_exec", &["-o", "jsn"], &["`exec`", "`jsn`", "did you mean `json`?"]),
        ("trace_exec", &["-o", "histogram"], &["`histogram`", "columns, json, jsonpretty, none, yaml"]),
        ("trace_exec", &["-o", "exc:json"], &["`exc`", "exec"]),
        ("trace_exec", &["--filds", "pid"], &["'--filds'", "'--fields'"]),
        ("trace_exec", &["--fields", "proc.com"], &["`proc.com`", "did you mean `proc.comm`?"]),
        ("trace_exec", &["-F", "proc.com==cat"], &["`proc.com==cat`", "did you mean `proc.comm`?"]),
        ("trace_exec", &["-F", "proc.comm~("], &["proc.comm~("]),
        ("trace_exec", &["-F", "proc.pid==x"], &["proc.pid==x"]),
        ("trace_exec", &["-E", "("], &["("]),
        ("trace_exec", &["-E", "proc.comm == cat"], &["text stands in quotes, as \"cat\""]),
        ("trace_exec", &["-F", "proc.comm == \"cat\""], &["write `cat`"]),
        (
            "top_process",
            &["--comm", "cat"],
            &["'--comm'", "hint: this gadget has no such flag", "-F comm==VALUE"],
        ),
        ("trace_exec", &["--sort", "pid"], &["--sort", "read at once"]),
        ("trace_exec", &["--timeout", "1x"], &["'1x'", "1m30s"]),
        ("trace_exec", &["--annotate", "exec"], &["\"exec\"", "data-source:key=value"]),
        ("trace_exec", &["--annotate", "exc:cli.raw.fields=a"], &["`exc`", "did you mean `exec`?"]),
        (
            "trace_exec",
            &["--annotate", "exec.proc.com:columns.width=9"],
            &["`proc.com`", "did you mean `proc.comm`?"],
        ),
        ("trace_exec", &["--ignore-failed=maybe"], &["`maybe`", "ignore-failed", "true or false"]),
        ("trace_exec", &["--uid", "-1x"], &["-1x", "uid"]),
        ("trace_exec", &["-o", "none", "--fields", "proc.com"], &["`proc.com`", "did you mean `proc.comm`?"]),
        (
            "profile_cpu",
            &["-o", "folded", "--fields", "proc.com"],
            &["`proc.com`", "did you mean `proc.comm`?"],
        ),
        ("snapshot_process", &["--sort", "pidd"], &["`pidd`", "did you mean `pid`?"]),
        ("snapshot_process", &["--max-entries", "some"], &["`some`", "-1 for none"]),
        ("top_tcp", &["--family", "5"], &["`5`", "family", "-1, 4, 6"]),
        ("top_tcp", &["--pid", "all"], &["`all`", "pid"]),
        ("Trace_Exec", &[], &["Trace_Exec", "lower-case"]),
        ("trace_exec", &["--verify-image=maybe"], &["'maybe'", "--verify-image"]),
    ];
    for (image, flags, expected) in rows {
        // A fault that is not found must not run for ever.
        let limit: &[&str] = if flags.contains(&"--timeout") { &[] } else { &["--timeout", "5"] };
        let ended = run(image, &[limit, flags].concat());
        assert_eq!(ended.status.code(), Some(2), "{image} {flags:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{image} {flags:?}");
        for piece in *expected {
            assert!(ended.stderr.contains(piece), "{image} {flags:?}: `{piece}` is not in: {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// A program that the verifier refuses on its second instruction, whatever the kernel.
const REFUSED: &str = r#"#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

SEC("raw_tracepoint/sys_enter")
int ig_refused(void *ctx)
{
	return *(int *)(bpf_get_current_task() + 8);
}

char LICENSE[] SEC("license") = "GPL";
"#;

/// Scenario: the verifier refuses a program, with `-v` behind the image and without.
/// Guarantees: the error has the line that matters; with `-v` the whole log is there, without it is not.
#[test]
fn the_verifiers_log_is_shown_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("program.bpf.c"), REFUSED).unwrap();
    std::fs::write(folder.path().join("gadget.yaml"), "name: refused\n").unwrap();
    let name = "verifier_refused";
    ig_tests::build_gadget(store(), folder.path(), name);
    let said = |flags: &[&str]| {
        let output = Command::new(ig())
            .args(["run", "--pull", "never", "--store"])
            .arg(store())
            .arg(name)
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let (whole, short) = (said(&["-v"]), said(&[]));
    for text in [&whole, &short] {
        assert!(text.contains("ig_refused") && text.contains("invalid mem access"), "{text}");
    }
    // The last line of every log.
    assert!(whole.contains("gadget.verifier.log") && whole.contains("\nprocessed "), "{whole}");
    assert!(!short.contains("processed "), "{short}");
}

/// Scenario: an image that the store does not have, and no registry may be asked.
/// Guarantees: status 1, the image and the store are named, and what to do.
#[test]
fn a_missing_image_is_a_failure_with_a_hint() {
    let ended = run("trace_nothing", &[]);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(1), ""));
    for piece in ["trace_nothing:latest` is not in the store", "hint: ", "ig image build", "ig image list"] {
        assert!(ended.stderr.contains(piece), "`{piece}`: {}", ended.stderr);
    }
}

/// Scenario: `--help` behind the name of every gadget, and into a pipe that closes.
/// Guarantees: success; standard output has usage, parameters and fields, none without a word of explanation.
#[test]
fn help_knows_every_gadget() {
    for gadget in gadgets() {
        let output = Command::new(ig())
            .args(["run", &gadget, "--pull", "never", "--help", "--store"])
            .arg(store())
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{gadget}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(help.contains(&format!("Usage: ig run {gadget} [FLAGS]")), "{help}");
        assert!(help.contains("Fields of `"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

/// Scenario: a value is to be read from a file that does not exist.
/// Guarantees: status 2; parameter and file are named.
#[test]
fn a_value_from_a_missing_file_is_named() {
    let ended = run("trace_exec", &["--comm", "@/no/such/file"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("/no/such/file") && ended.stderr.contains("comm"), "{}", ended.stderr);
}
