//! The command line as scripts use it.

use std::{
    net::SocketAddr,
    process::{Command, Output, Stdio},
};

use ig_tests::{ig, root, store, wait_for};
use rustix::process::{Pid, Signal, kill_process};

fn run(arguments: &[&str]) -> Output {
    Command::new(ig()).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Scenario: every example of the repository is checked.
/// Guarantees: each is valid; the command says so on standard output and needs no root for it.
#[test]
fn examples_pass_the_check() {
    for entry in std::fs::read_dir(root().join("config/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue; // files that an example refers to
        }
        let output = Command::new(ig())
            .args(["config", "check"])
            .arg(&path)
            .current_dir(root())
            .env("OTLP_TOKEN", "secret")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), stderr(&output));
    }
}

/// Scenario: a file with several faults.
/// Guarantees: exit status 2, every fault with its place, a suggestion for the typo; as JSON too.
#[test]
fn check_reports_every_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    std::fs::write(
        &file,
        "apiVersion: 1\nkind: runtime-config\ngadgets:\n  - name: a\n    imgae: trace_exec\n  - {name: a, image: x, metrics: [{name: m, type: conter}]}\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let output = run(&["config", "check", path]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(
        text.contains("bad.yaml:5:5") && text.contains("did you mean") && text.contains("image"),
        "{text}"
    );
    assert!(text.contains("conter"), "{text}");
    assert_eq!(stdout(&output), "");

    let output = run(&["config", "check", path, "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["faults"].as_array().unwrap().len() >= 3, "{report}");
}

/// Scenario: the schema and the default are printed.
/// Guarantees: the schema is JSON; the default is a valid configuration.
#[test]
fn schema_and_default_are_usable() {
    let schema: serde_json::Value = serde_json::from_slice(&run(&["config", "schema"]).stdout).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("default.yaml");
    std::fs::write(&file, run(&["config", "default"]).stdout).unwrap();
    assert!(run(&["config", "check", file.to_str().unwrap()]).status.success());
}

/// Scenario: the images of the store are listed for people and for scripts.
/// Guarantees: every gadget of the repository is there, by its short name.
#[test]
fn images_are_listed() {
    let store = store().to_str().unwrap().to_owned();
    let output = run(&["image", "list", "--store", &store]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("REPOSITORY"));
    let output = run(&["image", "list", "--store", &store, "-o", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for gadget in ig_tests::gadgets() {
        assert!(text.contains(&gadget), "{text}");
        assert!(
            list.as_array().unwrap().iter().any(|image| image["Repository"] == gadget.as_str()),
            "{list}"
        );
    }
}

/// Scenario: wrong usage.
/// Guarantees: exit status 2 and a message on standard error.
#[test]
fn wrong_usage_is_exit_2() {
    for arguments in [&["run"][..], &["nonsense"], &["config", "check"], &["run", "-f", "/nonexistent.yaml"]]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty());
    }
}

/// The fenced blocks of a page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    page.split(&format!("```{language}\n"))
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

/// Scenario: a newcomer copies the configuration of the README, and then makes the mistake it shows.
/// Guarantees: the configuration is valid, and the fault is reported in the words of the README.
#[test]
fn the_readme_speaks_the_truth() {
    let page = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.yaml");
    let configuration = blocks(&page, "yaml").remove(0);
    std::fs::write(&file, &configuration).unwrap();
    let check = || {
        Command::new(ig()).args(["config", "check", "mine.yaml"]).current_dir(folder.path()).output().unwrap()
    };
    let output = check();
    assert!(output.status.success(), "{}", stderr(&output));
    std::fs::write(&file, configuration.replacen("image: trace_exec", "imgae: trace_exec", 1)).unwrap();
    let shown = blocks(&page, "console");
    let shown = shown.iter().find_map(|block| block.strip_prefix("$ ig config check mine.yaml\n")).unwrap();
    assert_eq!(stderr(&check()), shown);
}

/// Scenario: a gadget author copies the example of the authors' page, builds it and runs it.
/// Guarantees: it builds without a diagnostic, and counts directories being made.
#[test]
fn the_authors_example_works() {
    let page = std::fs::read_to_string(root().join("gadgets/README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = blocks(&page, "c").into_iter().find(|block| block.contains("LICENSE")).unwrap();
    let metadata = blocks(&page, "yaml").into_iter().find(|block| block.starts_with("name: ")).unwrap();
    std::fs::write(folder.path().join("program.bpf.c"), program).unwrap();
    std::fs::write(folder.path().join("gadget.yaml"), metadata).unwrap();
    ig_tests::build_gadget(store(), folder.path(), "trace_mkdir");
    let collector =
        ig_tests::collector::Collector::start("gadgets:\n  - {name: mkdir, image: trace_mkdir}\n");
    let before = collector.sum("mkdirs_total", &[]);
    std::fs::create_dir(folder.path().join("made")).unwrap();
    // libc's mkdir may be the system call mkdirat on some machines; the shell's is the plain one here.
    assert!(Command::new("mkdir").arg(folder.path().join("made-too")).status().unwrap().success());
    assert!(collector.sum("mkdirs_total", &[]) > before);
}

/// Scenario: whoever reads the rows and the log of a collector goes away, as `tee` does at Ctrl-C; then it is told to
/// reload, which it logs, and to stop.
/// Guarantees: it goes on serving, drains, and ends with status 0.
#[test]
fn a_collector_outlives_the_readers_of_its_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], ig_tests::free_port()));
    let text = format!(
        "apiVersion: 1\nkind: runtime-config\nexporters:\n  prometheus: {{listen: \"{address}\"}}\ngadgets:\n  \
         - {{name: open, image: trace_open}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut child = Command::new(ig())
        .args(["run", "-o", "json", "--store", store().to_str().unwrap(), "-f"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let get = |path: &str| ig_tests::http::get(address, path, &[]).ok();
    wait_for("the collector to be ready", || {
        assert_eq!(child.try_wait().unwrap(), None);
        get("/readyz").filter(|answer| answer.status == 200)
    });
    drop((child.stdout.take(), child.stderr.take()));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
    wait_for("the reload", || {
        assert_eq!(child.try_wait().unwrap(), None);
        let page = get("/metrics")?;
        page.text().contains("ig_config_reloads_total{result=\"success\"} 1").then_some(())
    });
    kill_process(pid, Signal::TERM).unwrap();
    let status = wait_for("the collector to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
