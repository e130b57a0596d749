//! `ig image build` and `ig image inspect` as people and programs see them, with the real compiler.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// A store with the repository's `trace_open`.
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        let gadget = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gadgets/trace_open");
        let built = bench.ig(&["build", gadget.to_str().unwrap(), "-t", "trace_open"]);
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        assert!(built.status.success(), "{said}");
        assert!(
            said.contains("Successfully built ghcr.io/inspektor-gadget/gadget/trace_open:latest@sha256:"),
            "{said}"
        );
        bench
    }

    fn ig(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ig"))
            .arg("image")
            .args(arguments)
            .env("IG_STORE", self.store())
            .output()
            .unwrap()
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// What the command prints; it has to succeed.
    fn answer(&self, arguments: &[&str]) -> String {
        let output = self.ig(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.answer(arguments)).unwrap()
    }

    /// What the command complains of; it has to fail with wrong usage.
    fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.ig(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Scenario: a real gadget is built and looked at as a program would: the map, entries of it, parts of entries, data
/// sources, in JSON and YAML.
/// Guarantees: keys and forms are those of the Go project's command; entries that are documents come as documents;
/// wrong keys and paths are wrong usage with what would be right.
#[test]
fn programs_get_documents() {
    let bench = Bench::new();
    let map = bench.json(&["inspect", "trace_open"]);
    let keys: Vec<&str> = map.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "ebpf.flowchart",
        "ebpf.maps",
        "ebpf.programs",
        "ebpf.sections",
        "ebpf.sequence",
        "ebpf.variables",
        "oci.created",
        "oci.digest",
        "oci.manifest",
        "oci.metadata",
        "oci.repository",
        "oci.tag",
    ];
    assert_eq!(keys, expected);
    assert_eq!(map["oci.metadata"]["contentType"], "text/yaml");
    assert_eq!(
        (&map["oci.repository"]["content"], &map["oci.tag"]["content"]),
        (&"trace_open".into(), &"latest".into())
    );

    let manifest = bench.json(&["inspect", "trace_open", "--extra-info", "oci.manifest"]);
    assert_eq!(manifest["config"]["digest"], map["oci.digest"]["content"]);
    let maps = bench.json(&["inspect", "trace_open", "--extra-info", "ebpf.maps"]);
    assert!(maps.as_array().unwrap().iter().any(|map| map["Type"] == "RingBuf"), "{maps}");
    let program =
        bench.json(&["inspect", "trace_open", "--extra-info", "ebpf.programs", "--jsonpath", "[0]"]);
    assert!(program["Source"].as_str().unwrap().contains("exit"), "{program}");
    assert!(program["SourceWithRelocation"].as_str().unwrap().contains("exit"));
    let name = bench.json(&["inspect", "trace_open", "--extra-info", "oci.metadata", "--jsonpath", ".name"]);
    assert_eq!(name, "trace open");
    let chart = bench.answer(&["inspect", "trace_open", "--extra-info", "ebpf.flowchart"]);
    assert!(chart.starts_with("flowchart LR\n") && chart.contains("events"), "{chart}");

    let sources = bench.json(&["inspect", "trace_open", "--show-datasources", "-o", "json"]);
    let fields = sources[0]["fields"].as_array().unwrap();
    let comm = fields.iter().find(|field| field["fullName"] == "proc.comm").unwrap();
    assert_eq!((&sources[0]["type"], &comm["kind"]), (&1.into(), &"CString".into()));
    let yaml = bench.answer(&["inspect", "trace_open", "--show-datasources", "-o", "yaml"]);
    assert!(yaml.contains("\"fullName\": \"proc.comm\""), "{yaml}");

    let complaint = bench.complaint(&["inspect", "trace_open", "--extra-info", "oci.metadat"]);
    assert!(complaint.contains("did you mean `oci.metadata`?"), "{complaint}");
    assert!(bench.complaint(&["inspect", "trace_open", "--jsonpath", ".a"]).contains("--show-datasources"));
    let text = ["inspect", "trace_open", "--extra-info", "ebpf.flowchart", "--jsonpath", ".a"];
    assert!(bench.complaint(&text).contains("text/mermaid"));
}

/// Scenario: the same for a reader.
/// Guarantees: the page names what there is to know: data, parameters, programs, needs, size, signature.
#[test]
fn people_get_a_page() {
    let bench = Bench::new();
    let page = bench.answer(&["inspect", "trace_open", "-o", "text"]);
    for expected in [
        "ghcr.io/inspektor-gadget/gadget/trace_open:latest",
        "Data source open (events from map events)",
        "proc.comm",
        "Parameters",
        "tracepoint/syscalls/sys_enter_open",
        "RingBuf",
        "CAP_BPF, CAP_PERFMON",
        "eBPF object",
        "signature",
    ] {
        assert!(page.contains(expected), "`{expected}` in\n{page}");
    }
    // Built here and signed by nobody: no word of a signature that was verified.
    let line = page.lines().find(|line| line.trim_start().starts_with("signature ")).unwrap();
    assert!(line.contains("built on this machine") && !line.contains("verified"), "{line}");
    let missing = bench.ig(&["inspect", "nothing"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nothing"));
}

/// Scenario: flags of the Go project's builder that mean nothing here, and ones that contradict each other.
/// Guarantees: the first are accepted with a word, the others are wrong usage.
#[test]
fn builder_flags_are_understood() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let gadget = bench.folder.path().join("gadget");
    std::fs::create_dir(&gadget).unwrap();
    std::fs::write(gadget.join("gadget.yaml"), "name: x\noperator: {process: {emitstats: true}}\n").unwrap();
    let gadget = gadget.to_str().unwrap();
    let built = bench.ig(&[
        "build",
        gadget,
        "--builder-image",
        "x",
        "--builder-image-pull",
        "missing",
        "--validate-metadata=false",
    ]);
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success() && said.contains("no builder image is used"), "{said}");
    assert!(
        bench
            .complaint(&["build", gadget, "--local", "--builder-image", "x"])
            .contains("cannot be used with")
    );
    assert!(said.contains("Successfully built ghcr.io/inspektor-gadget/gadget/gadget:latest@"), "{said}");
    let digest = format!("x@sha256:{}", "a".repeat(64));
    assert!(bench.complaint(&["build", gadget, "-t", &digest]).contains("which an image cannot be given"));
    assert!(bench.complaint(&["build", gadget, "--btfgen"]).contains("--btfhub-archive"));
    assert!(bench.complaint(&["build", gadget, "-o", "/nowhere"]).contains("does not exist"));
}

/// Scenario: an image whose description, parameters and field descriptions hold sequences that terminals act upon, and a
/// name on the command line that does.
/// Guarantees: no such character reaches the page, the list, the help of the gadget, or an error.
#[test]
fn escape_sequences_of_images_reach_no_terminal() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let gadget = bench.folder.path().join("gadget");
    std::fs::create_dir(&gadget).unwrap();
    let evil = r#""evil\e[2J\e]0;title\a\u202e""#;
    let metadata = format!(
        "name: {evil}\ndescription: {evil}\noperator: {{process: {{emitstats: true}}}}\ndatasources:\n  processes:\n    \
         fields:\n      comm:\n        annotations: {{description: {evil}}}\nannotations: {{note: {evil}}}\n"
    );
    std::fs::write(gadget.join("gadget.yaml"), metadata).unwrap();
    bench.answer(&["build", gadget.to_str().unwrap(), "-t", "evil", "--validate-metadata=false"]);
    let help = Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["run", "evil", "--help"])
        .env("IG_STORE", bench.store())
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("evil\\u{1b}[2J"), "{help}");
    let page = bench.answer(&["inspect", "evil", "-o", "text"]);
    assert!(page.contains("evil\\u{1b}[2J"), "{page}");
    let error = bench.complaint(&["inspect", "evil\u{1b}[2J"]);
    for text in [help, page, error, bench.answer(&["list"]), bench.answer(&["inspect", "evil", "-o", "yaml"])]
    {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
}

/// Scenario: the name of an image that is here is mistyped, with a registry that would take its time.
/// Guarantees: before the registry is waited for, the right name is suggested.
#[test]
fn slips_are_told_before_a_registry_is_asked() {
    let bench = Bench { folder: tempfile::tempdir().unwrap() };
    let gadget = bench.folder.path().join("gadget");
    std::fs::create_dir(&gadget).unwrap();
    std::fs::write(gadget.join("gadget.yaml"), "operator: {process: {emitstats: true}}\n").unwrap();
    // A registry that takes the connection and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    bench.answer(&["build", gadget.to_str().unwrap(), "-t", &format!("{host}/team/trace_mine")]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ig"))
        .args(["run", &format!("{host}/team/trace_mnie:v1"), "--insecure-registries", &host])
        .env("IG_STORE", bench.store())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut said).unwrap();
    assert!(said.contains(&format!("did you mean `{host}/team/trace_mine`?")), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
}
