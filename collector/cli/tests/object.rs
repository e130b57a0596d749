//! `ig object check` as scripts use it, on objects compiled here and now.
//!
//! Loading needs root; what is missing fails the test by its name.
#![cfg(test)]

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What every program below begins with; no headers, so that nothing but clang is needed.
const HEAD: &str = r#"
#define SEC(name) __attribute__((section(name), used))
char _license[] SEC("license") = "GPL";
struct raw_args { unsigned long long args[2]; };
"#;
const FINE: &str = r#"
unsigned long long hits;
SEC("raw_tp/sys_enter") int first(struct raw_args *ctx) { hits++; return 0; }
SEC("socket1") int second(void *ctx) { return 0; }
SEC("tracepoint/syscalls/sys_enter_nothing") int third(void *ctx) { return 0; }
SEC("?tp_btf/no_such_tracepoint") int fourth(void *ctx) { return 0; }
"#;
const REFUSED: &str = r#"
SEC("raw_tp/sys_enter") int before(struct raw_args *ctx) { return 0; }
SEC("raw_tp/sys_enter") int bad(struct raw_args *ctx) { return *(int *)ctx->args[0]; }
SEC("raw_tp/sys_enter") int after(struct raw_args *ctx) { return 0; }
"#;
const MISSING_HOOK: &str = r#"SEC("tp_btf/no_such_tracepoint") int nowhere(void *ctx) { return 0; }"#;
const RELOCATED: &str = r#"
struct task_struct { int tgid; } __attribute__((preserve_access_index));
static void *(*current)(void) = (void *)35;
static long (*probe_read_kernel)(void *, unsigned, const void *) = (void *)113;
int seen;
SEC("raw_tp/sys_enter") int reads(void *ctx) {
    struct task_struct *task = current();
    probe_read_kernel(&seen, sizeof(seen), &task->tgid);
    return 0;
}
"#;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn compile(&self, name: &str, code: &str) -> PathBuf {
        let source = self.write(&format!("{name}.bpf.c"), format!("{HEAD}{code}").as_bytes());
        let object = self.path(&format!("{name}.o"));
        let run = Command::new("clang-19")
            .args(["-g", "-O2", "-target", "bpf", "-c"])
            .arg(source)
            .arg("-o")
            .arg(&object)
            .output()
            .expect("clang-19 must be installed for this test");
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        object
    }
}

fn check(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ig"));
    command.args(["object", "check"]).args(arguments).args(files).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn documents(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

fn program<'a>(object: &'a Value, name: &str) -> &'a Value {
    object["programs"].as_array().unwrap().iter().find(|program| program["name"] == name).unwrap()
}

/// Scenario: an object whose programs load, one of them optional and without a hook here.
/// Guarantees: exit status 0; statistics of the verifier, capabilities and the hook of each program are in the
/// document, and nothing was attached.
#[test]
fn an_object_that_loads_passes() {
    let folder = Folder::new();
    let output = check(&["-o", "json"], &[&folder.compile("fine", FINE)]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let list = documents(&output);
    let object = &list[0];
    assert_eq!((list.len(), &object["result"], &object["stage"]), (1, &"ok".into(), &"loaded".into()));
    assert_eq!(object["capabilities"], serde_json::json!(["CAP_BPF", "CAP_PERFMON"]));
    assert_eq!(object["maps"][0]["name"], ".bss");
    assert!(object["sections"].as_array().unwrap().contains(&"socket1".into()));
    let first = program(object, "first");
    assert_eq!((&first["result"], &first["kind"]), (&"loaded".into(), &"raw_tracepoint".into()));
    assert_eq!(first["hook"]["verdict"], "there");
    assert!(first["verifier"]["verifiedInstructions"].as_u64().unwrap() >= 3, "{first}");
    assert!(first["verifier"]["translatedBytes"].as_u64().unwrap() >= 24);
    assert_eq!(program(object, "second")["hook"]["verdict"], "unknown");
    assert_eq!(program(object, "third")["hook"]["verdict"], "missing");
    let optional = program(object, "fourth");
    assert_eq!((&optional["result"], &optional["optional"]), (&"skipped".into(), &true.into()));
    assert_eq!(optional["reason"], "this kernel has no tracepoint `no_such_tracepoint`");
}

/// Scenario: the verifier refuses the second of three programs.
/// Guarantees: exit status 1; the line that matters and its source line are given, the whole log only with -v, and
/// each program has a verdict of its own.
#[test]
fn a_refusal_of_the_verifier_is_explained() {
    let folder = Folder::new();
    let file = folder.compile("refused", REFUSED);
    let output = check(&[], &[&file]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("invalid mem access 'scalar'") && text.contains("*(int *)ctx->args[0]"), "{text}");
    assert!(text.contains("hint:") && !text.contains("processed "), "{text}");
    assert!(stderr(&output).contains("1 of 1 object(s) did not pass"), "{}", stderr(&output));

    let text = stdout(&check(&["-v"], &[&file]));
    assert!(text.contains("processed "), "{text}");

    let list = documents(&check(&["-o", "json"], &[&file]));
    let results: Vec<&str> = ["before", "bad", "after"]
        .iter()
        .map(|name| program(&list[0], name)["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["loaded", "failed", "loaded"]);
    assert!(program(&list[0], "after")["verifier"]["verifiedInstructions"].as_u64().unwrap() >= 2);
    assert!(program(&list[0], "bad")["log"].is_null());
}

/// Scenario: bytes that are no object, objects cut short, a file that is not there, a hook no kernel has; one good one.
/// Guarantees: exit status 1, a reason for each, never a crash, and the good one is still judged.
#[test]
fn each_bad_object_has_its_reason() {
    let folder = Folder::new();
    let good = folder.compile("fine", FINE);
    let bytes = std::fs::read(&good).unwrap();
    let noise: Vec<u8> = (0..5000u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
    let files = [
        folder.write("cut.o", &bytes[..bytes.len() / 2]),
        folder.write("noise.o", &noise),
        folder.write("empty.o", b""),
        folder.path("absent.o"),
        folder.compile("nowhere", MISSING_HOOK),
        good,
    ];
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let output = check(&["-o", "json"], &paths);
    assert_eq!(output.status.code(), Some(1));
    let list = documents(&output);
    let stages: Vec<&str> = list.iter().map(|object| object["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["not opened", "not opened", "not opened", "not read", "not loaded", "loaded"]);
    for object in &list[..4] {
        assert!(object["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{object}");
    }
    let nowhere = program(&list[4], "nowhere");
    assert!(nowhere["reason"].as_str().unwrap().contains("no_such_tracepoint"), "{nowhere}");
    assert_eq!(nowhere["hook"]["verdict"], "missing");
    assert_eq!(list[5]["result"], "ok");
}

/// Scenario: a user without any privilege checks an object, with and without `--no-load`.
/// Guarantees: opening and relocating works; loading is refused with a hint at `--no-load`.
#[test]
fn opening_and_relocating_needs_no_privilege() {
    let folder = Folder::new();
    let file = folder.compile("relocated", RELOCATED);
    // Others have to get at the object and at the binary.
    let binary = folder.path("ig");
    ig_test_kit::executable::copy(Path::new(env!("CARGO_BIN_EXE_ig")), &binary);
    for path in [folder.0.path(), &file] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let run = |more: &[&str]| {
        let mut command = Command::new(&binary);
        command.args(["object", "check"]).args(more).arg(&file).uid(65534).gid(65534);
        command.output().expect("changing to another user takes root")
    };
    let output = run(&["--no-load"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("relocated"), "{}", stdout(&output));
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("--no-load"), "{}", stdout(&output));
}

/// Scenario: types of another kernel, and this kernel's own, are given.
/// Guarantees: against others it is relocated but not loaded, against this kernel's it is loaded; what is not BTF is
/// wrong usage with a hint.
#[test]
fn other_kernels_types_are_relocated_against() {
    let folder = Folder::new();
    let file = folder.compile("relocated", RELOCATED);
    let own = std::fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let same = folder.write("same.btf", &own);
    let output = check(&["-o", "json", "--btf", same.to_str().unwrap()], &[&file]);
    assert_eq!(documents(&output)[0]["stage"], "loaded", "{}", stderr(&output));

    // BTF with no types at all: magic, version, flags, header length, then two empty sections; one byte of strings.
    let mut empty = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    for word in [0u32, 0, 0, 1] {
        empty.extend(word.to_le_bytes());
    }
    empty.push(0);
    let other = folder.write("other.btf", &empty);
    let output = check(&["-o", "json", "--btf", other.to_str().unwrap()], &[&file]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let list = documents(&output);
    assert_eq!((&list[0]["stage"], &list[0]["kernel"]), (&"relocated".into(), &Value::Null));

    let output = check(&["--btf", file.to_str().unwrap()], &[&file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint:") && stderr(&output).contains(".BTF"), "{}", stderr(&output));
    assert_eq!(check(&[], &[]).status.code(), Some(2));
}
