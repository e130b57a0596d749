//! Bad input of any kind: a clear error, nothing running is disturbed.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use ig_image::{
    Arch, Reference, Store,
    manifest::{self, Descriptor, Index, Manifest, Platform},
};
use ig_tests::{
    collector::{Collector, document},
    free_port, ig, root, store, wait_for,
};

/// Runs `ig run` on a document and returns exit status and standard error; it is expected to end by itself.
fn run_to_end(sections: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    fs::write(&file, document(address, sections)).unwrap();
    let mut child = Command::new(ig())
        .args(["run", "--store"])
        .arg(store())
        .arg("-f")
        .arg(&file)
        .stderr(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let status = wait_for("ig to give up", || child.try_wait().unwrap());
    (status.code(), fs::read_to_string(folder.path().join("log")).unwrap())
}

/// Scenario: documents that are wrong in every way a document can be.
/// Guarantees: exit status 2, and a message that names file, line and what is wrong; nothing is started.
#[test]
fn wrong_documents_are_refused() {
    for (document, expected) in [
        ("raw:gadgets: [", "runtime-config.yaml:1"),
        ("raw:apiVersion: 1\nkind: runtime-confg\n", "runtime-confg"),
        ("gadgets:\n  - {name: a, image: trace_exec, colour: red}\n", "colour"),
        ("gadgets:\n  - {name: a, image: trace_exec}\n  - {name: a, image: trace_open}\n", "a"),
        ("gadgets:\n  - {name: a, image: [trace_exec]}\n", "image"),
        ("gadgets:\n  - {name: a, image: trace_exec, interval: soon}\n", "soon"),
    ] {
        let (status, log) = run_to_end(document);
        assert_eq!(status, Some(2), "{document}\n{log}");
        assert!(log.contains(expected) && log.contains("runtime-config.yaml"), "{document}\n{log}");
    }
}

/// Scenario: sections that only the image can prove wrong: fields, parameters, filters.
/// Guarantees: exit status 2 with the place in the file, the nearest match, and nothing started.
#[test]
fn sections_that_do_not_fit_the_image_are_refused() {
    for (section, expected) in [
        ("metrics: [{name: m, type: counter, labels: [proc.com]}]", "did you mean `proc.comm`"),
        ("metrics: [{name: m, type: histogram, field: proc.comm}]", "proc.comm"),
        ("params: {ignore-faild: \"true\"}", "did you mean `ignore-failed`"),
        ("params: {pid: minus-one}", "minus-one"),
        ("filter: proc.comm", "operator"),
        ("filter: proc.pid==x", "`x`"),
        ("filter: \"proc.comm~(\"", "regular expression"),
    ] {
        let (status, log) =
            run_to_end(&format!("gadgets:\n  - name: exec\n    image: trace_exec\n    {section}\n"));
        assert_eq!(status, Some(2), "{section}\n{log}");
        assert!(log.contains(expected), "{section}\n{log}");
        assert!(log.contains("runtime-config.yaml:"), "{section}\n{log}");
    }
}

/// Scenario: the endpoint's port is in use.
/// Guarantees: exit status 1 with the address and the key that sets it.
#[test]
fn a_port_in_use_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, log) = run_to_end(&format!(
        "raw:apiVersion: 1\nkind: runtime-config\nexporters:\n  prometheus: {{listen: \"{address}\"}}\ngadgets:\n  - {{name: exec, image: trace_exec}}\n"
    ));
    assert_eq!(status, Some(1), "{log}");
    assert!(log.contains(&address.to_string()) && log.contains("listen"), "{log}");
}

/// Scenario: a user without privileges runs a collector.
/// Guarantees: exit status 1 and the missing capabilities by name; checking a file works.
#[test]
fn missing_privileges_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("ig");
    ig_test_kit::executable::copy(&ig(), &binary);
    let config = folder.path().join("c.yaml");
    fs::write(
        &config,
        "apiVersion: 1\nkind: runtime-config\ngadgets:\n  - {name: exec, image: trace_exec}\n",
    )
    .unwrap();
    open_to_all(folder.path());
    let as_nobody = |arguments: &[&str]| {
        Command::new("setpriv")
            .args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--inh-caps=-all",
                "--bounding-set=-all",
            ])
            .arg(&binary)
            .args(arguments)
            .arg(&config)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = as_nobody(&["run", "-f"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("CAP_BPF") && text.contains("hint:"), "{text}");
    let output = as_nobody(&["config", "check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Scenario: gadgets whose images are damaged or empty, beside one that is well.
/// Guarantees: each damaged one is refused with a reason of its own, and the other counts on.
#[test]
fn broken_images_harm_nobody() {
    let store = tempfile::tempdir().unwrap();
    let source = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let folder = source.path().join(name);
        fs::create_dir(&folder).unwrap();
        for entry in fs::read_dir(root().join("gadgets/trace_signal")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
            }
        }
        folder
    };
    ig_tests::build_gadget(store.path(), &root().join("gadgets/trace_exec"), "trace_exec");
    // No program at all, as another builder may leave it.
    let metadata = fs::read(root().join("gadgets/trace_signal/gadget.yaml")).unwrap();
    put_image(store.path(), "empty", &[], &metadata);
    // A flipped byte in the largest blob of an image of its own.
    let flipped = copy("flipped");
    fs::write(
        flipped.join("program.bpf.c"),
        fs::read_to_string(flipped.join("program.bpf.c")).unwrap()
            + "\nconst volatile int unused_marker = 7;\n",
    )
    .unwrap();
    let before = blobs(store.path());
    ig_tests::build_gadget(store.path(), &flipped, "flipped");
    let blob = blobs(store.path())
        .into_iter()
        .filter(|path| !before.contains(path))
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let sections = format!(
        "images: {{store: \"{}\", pull: never, verify: {{required: false}}}}\ngadgets:\n  - {{name: exec, image: trace_exec}}\n  - {{name: empty, image: empty}}\n  \
         - {{name: flipped, image: flipped}}\n  - {{name: unknown, image: no_such_gadget}}\n",
        store.path().display()
    );
    fs::write(&config, document(address, &sections)).unwrap();
    let collector = Collector::spawn_with(folder, config, address);
    collector.wait_ready();
    let page = collector.get("/readyz").text();
    for (name, expected) in
        [("empty", "no eBPF program"), ("flipped", "digest"), ("unknown", "no_such_gadget")]
    {
        let line = page.lines().find(|line| line.starts_with(&format!("gadget {name}: refused"))).unwrap();
        assert!(line.contains(expected), "{line}");
    }
    assert!(page.contains("gadget exec: running"), "{page}");
}

fn blobs(store: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(store.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Puts an image of exactly these bytes into a store.
fn put_image(store: &Path, name: &str, layers: &[&[u8]], metadata: &[u8]) {
    let store = Store::open(store).unwrap();
    let config = store.put_blob(manifest::METADATA, metadata).unwrap();
    let layers = layers.iter().map(|layer| store.put_blob(manifest::EBPF, layer).unwrap()).collect();
    let content =
        manifest::to_json(&Manifest::gadget(config, layers, std::collections::BTreeMap::default())).unwrap();
    let entry = Descriptor {
        platform: Some(Platform::linux(Arch::host())),
        ..store.put_blob(manifest::MANIFEST, &content).unwrap()
    };
    store
        .put_index(
            &Index::of(vec![entry], std::collections::BTreeMap::default()),
            Some(&Reference::parse(name).unwrap()),
        )
        .unwrap();
}

/// Scenario: images that are well-formed but hold nonsense: random bytes, half an object, an object of another
/// machine, two objects, a gadget.yaml that is none.
/// Guarantees: each is refused with a reason, the collector goes on, and the gadget that is well counts on.
#[test]
fn hostile_images_harm_nobody() {
    let store = tempfile::tempdir().unwrap();
    let objects = tempfile::tempdir().unwrap();
    let output = Command::new(ig())
        .args(["image", "build", "-t", "trace_exec", "--store"])
        .arg(store.path())
        .arg("-o")
        .arg(objects.path())
        .arg(root().join("gadgets/trace_exec"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let object = fs::read(objects.path().join(format!("{}.bpf.o", Arch::host()))).unwrap();
    let random: Vec<u8> =
        (0_u32..50_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    let yaml = fs::read(root().join("gadgets/trace_exec/gadget.yaml")).unwrap();
    let mut other_machine = object.clone();
    other_machine[18] = 0x3e; // e_machine: x86-64
    put_image(store.path(), "random", &[&random], &yaml);
    put_image(store.path(), "half", &[&object[..object.len() / 2]], &yaml);
    put_image(store.path(), "machine", &[&other_machine], &yaml);
    put_image(store.path(), "two", &[&object, &random], &yaml);
    put_image(store.path(), "yaml", &[&object], b"{unclosed: [");
    put_image(store.path(), "binary", &[&object], &random);

    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let names = ["random", "half", "machine", "two", "yaml", "binary"];
    let listed: String = names.iter().map(|name| format!("  - {{name: {name}, image: {name}}}\n")).collect();
    let sections = format!(
        "images: {{store: \"{}\", pull: never, verify: {{required: false}}}}\ngadgets:\n  - {{name: exec, image: trace_exec}}\n{listed}",
        store.path().display()
    );
    fs::write(&config, document(address, &sections)).unwrap();
    let collector = Collector::spawn_with(folder, config, address);
    collector.wait_ready();
    let page = collector.get("/readyz").text();
    for name in names {
        assert!(page.contains(&format!("gadget {name}: refused (")), "{name}: {page}");
    }
    assert!(page.contains("gadget exec: running"), "{page}");
}

/// Scenario: a gadget that hooks a kernel function by kprobe, on a kernel that may have none, and one whose program
/// the verifier refuses, beside one that is well.
/// Guarantees: where the hook is missing the gadget is refused with the hook's name; the verifier's refusal names the
/// program; the others run.
#[test]
fn gadgets_the_kernel_refuses_harm_nobody() {
    let store = tempfile::tempdir().unwrap();
    let sources = tempfile::tempdir().unwrap();
    let build = |name: &str, program: &str| {
        let folder = sources.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("program.bpf.c"), program).unwrap();
        fs::write(folder.join("gadget.yaml"), format!("name: {name}\n")).unwrap();
        ig_tests::build_gadget(store.path(), &folder, name);
    };
    build(
        "hookless",
        "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\nSEC(\"raw_tp/no_such_tracepoint\") int hookless_program(void *ctx) \
         { return 0; }\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n",
    );
    build(
        "unsafe",
        "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\nSEC(\"tracepoint/syscalls/sys_enter_getpid\") int \
         unsafe_program(void *ctx) { return *(volatile int *)bpf_get_current_task(); }\n\
         char LICENSE[] SEC(\"license\") = \"GPL\";\n",
    );
    ig_tests::build_gadget(store.path(), &root().join("gadgets/trace_exec"), "trace_exec");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("runtime-config.yaml");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let sections = format!(
        "images: {{store: \"{}\", pull: never, verify: {{required: false}}}}\ngadgets:\n  - {{name: exec, image: trace_exec}}\n  - {{name: hookless, image: hookless}}\n  \
         - {{name: unsafe, image: unsafe}}\n",
        store.path().display()
    );
    fs::write(&config, document(address, &sections)).unwrap();
    let collector = Collector::spawn_with(folder, config, address);
    collector.wait_ready();
    let page = collector.get("/readyz").text();
    let line = |name: &str| {
        page.lines().find(|line| line.starts_with(&format!("gadget {name}: "))).unwrap().to_owned()
    };
    assert!(
        line("hookless").contains("missing_hook") && line("hookless").contains("no_such_tracepoint"),
        "{page}"
    );
    assert!(line("unsafe").contains("verifier") && line("unsafe").contains("unsafe_program"), "{page}");
    assert!(line("exec").ends_with("running"), "{page}");
}
