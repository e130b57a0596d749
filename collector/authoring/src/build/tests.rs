use std::fs;

use ig_image::Gadget;
use ig_image::manifest::{Annotations, BUILDER_VERSION, CREATED};
use ig_model::Hint as _;
use tempfile::TempDir;

use super::headers::missing_package;
use super::*;

const PROGRAM: &str = r#"#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include "local.h"

SEC("raw_tracepoint/sys_enter")
int count(void *ctx)
{
	hits += STEP;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
"#;
const METADATA: &str = "name: tiny\ndescription: counts <system> calls\nannotations:\n  io.example.level: 3\n  \
                        io.example.on: true\n  org.opencontainers.image.url: overridden\n";

struct Bench {
    folder: TempDir,
    store: Store,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let bench = Self { folder, store };
        fs::create_dir(bench.gadget()).unwrap();
        for (name, content) in files {
            fs::write(bench.gadget().join(name), content).unwrap();
        }
        bench
    }

    fn tiny() -> Self {
        let header = "volatile int hits;\n#define STEP 2\n";
        Self::new(&[("program.bpf.c", PROGRAM), ("local.h", header), ("gadget.yaml", METADATA)])
    }

    fn gadget(&self) -> PathBuf {
        self.folder.path().join("gadget")
    }

    fn request(&self) -> BuildRequest {
        BuildRequest {
            tag: Some(Reference::parse("tiny").unwrap()),
            source_date_epoch: Some(1_767_323_045),
            cache: Some(self.folder.path().join("cache")),
            ..BuildRequest::new(self.gadget())
        }
    }

    fn build(&self, request: &BuildRequest) -> Result<(BuiltImage, Vec<String>), BuildError> {
        let mut steps = Vec::new();
        let built = build(&self.store, request, &mut |step| steps.push(format!("{step:?}")))?;
        Ok((built, steps))
    }

    fn load(&self) -> Gadget {
        self.store.load_gadget(&Reference::parse("tiny").unwrap(), Arch::host()).unwrap()
    }

    fn error(&self) -> BuildError {
        self.build(&self.request()).unwrap_err()
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Scenario: a small C gadget is built by the real compiler against the running kernel's types.
/// Guarantees: the image loads; the object is stripped of DWARF, keeps BTF and source lines, and knows no path of
/// this machine; annotations are those of the metadata.
#[test]
fn tiny_gadget_builds() {
    let bench = Bench::tiny();
    let (built, steps) = bench.build(&bench.request()).unwrap();
    assert!(steps.iter().any(|step| step.contains("Compiling")), "{steps:?}");
    assert_eq!(built.to_string(), format!("ghcr.io/inspektor-gadget/gadget/tiny:latest@{}", built.digest));

    let gadget = bench.load();
    assert_eq!(gadget.digest, built.digest);
    assert_eq!(gadget.metadata.as_deref(), Some(METADATA));
    let object = gadget.ebpf.unwrap();
    assert!(object.starts_with(b"\x7fELF"));
    assert!(contains(&object, ".BTF.ext") && !contains(&object, ".debug_info"));
    assert!(contains(&object, "hits += STEP;"), "line information keeps the source text");
    assert!(!contains(&object, bench.folder.path().to_str().unwrap()), "no path of this machine");
    assert!(!contains(&object, "ig-include-"));
    let expected = [
        ("org.opencontainers.image.title", "tiny"),
        ("org.opencontainers.image.description", "counts <system> calls"),
        ("org.opencontainers.image.url", "overridden"),
        ("org.opencontainers.image.documentation", ""),
        ("org.opencontainers.image.source", ""),
        ("io.example.level", "3"),
        ("io.example.on", "true"),
        (BUILDER_VERSION, concat!("v", env!("CARGO_PKG_VERSION"))),
        (CREATED, "2026-01-02T03:04:05Z"),
    ];
    let expected: Annotations = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    assert_eq!(gadget.annotations, expected);
}

/// Scenario: the same sources are built twice, in two folders, into two stores; then one of them is edited.
/// Guarantees: the digest depends on content, not on place or moment.
#[test]
fn builds_are_reproducible() {
    let (one, two) = (Bench::tiny(), Bench::tiny());
    let digest = |bench: &Bench| bench.build(&bench.request()).unwrap().0.digest;
    assert_eq!(digest(&one), digest(&two));
    fs::write(two.gadget().join("local.h"), "volatile int hits;\n#define STEP 3\n").unwrap();
    assert_ne!(digest(&one), digest(&two));

    let unstamped = BuildRequest { source_date_epoch: None, ..one.request() };
    let first = one.build(&unstamped).unwrap().0.digest;
    assert_eq!(first, one.build(&unstamped).unwrap().0.digest, "the newest source gives the time");
}

/// Scenario: both architectures are asked for.
/// Guarantees: each has its object, the author is warned about the borrowed kernel types, objects are left in the
/// output folder.
#[test]
fn both_architectures_build() {
    let bench = Bench::tiny();
    let output = bench.folder.path().join("out");
    fs::create_dir(&output).unwrap();
    let request = BuildRequest {
        archs: vec![Arch::Arm64, Arch::Amd64, Arch::Arm64],
        output: Some(output.clone()),
        ..bench.request()
    };
    let (_, steps) = bench.build(&request).unwrap();
    assert_eq!(
        steps.iter().filter(|step| step.contains("no vmlinux.h was given for")).count(),
        1,
        "{steps:?}"
    );
    for arch in Arch::ALL {
        let gadget = bench.store.load_gadget(&Reference::parse("tiny").unwrap(), arch).unwrap();
        assert_eq!(fs::read(output.join(format!("{arch}.bpf.o"))).unwrap(), gadget.ebpf.unwrap());
    }
}

/// Scenario: sources with an error, with a warning, and with a header that does not exist.
/// Guarantees: the compiler's words come through with file and line; nothing is stored under the name.
#[test]
fn diagnostics_come_through() {
    let bench = Bench::new(&[("program.bpf.c", "int f(void)\n{\n\treturn nonsense;\n}\n")]);
    let error = bench.error();
    assert!(matches!(error, BuildError::Compile { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("program.bpf.c:3:9: error:") && text.contains("nonsense"), "{text}");
    assert!(bench.store.list().unwrap().is_empty());

    fs::write(bench.gadget().join("program.bpf.c"), "static int unused;\n#warning look here\nint used;\n")
        .unwrap();
    let (_, steps) = bench.build(&bench.request()).unwrap();
    assert!(
        steps.iter().any(|step| step.starts_with("Diagnostics") && step.contains("look here")),
        "{steps:?}"
    );

    let clash = "#include <vmlinux.h>\ntypedef int gadget_timestamp;\n#include <gadget/types.h>\n";
    fs::write(bench.gadget().join("program.bpf.c"), clash).unwrap();
    let text = bench.error().to_string();
    assert!(text.contains("include/gadget/types.h:") && !text.contains("ig-include-"), "{text}");

    fs::write(bench.gadget().join("program.bpf.c"), "#include <bpf/none.h>\n").unwrap();
    assert_eq!(bench.error().hint(), None, "no package brings this header");
}

/// Scenario: machines that lack libbpf's headers, those of the kernel, and none.
/// Guarantees: the hint names the package that brings what is missing, whatever the compiler's words are.
#[test]
fn missing_headers_are_named_by_their_package() {
    let folder = tempfile::tempdir().unwrap();
    let folders = [folder.path().join("one"), folder.path().join("two")];
    assert_eq!(missing_package(&folders), Some("apt-get install libbpf-dev"));
    for (header, expected) in
        [("one/bpf/bpf_helpers.h", Some("apt-get install linux-libc-dev")), ("two/asm/types.h", None)]
    {
        let path = folder.path().join(header);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        assert_eq!(missing_package(&folders), expected);
    }
}

/// Scenario: every embedded header is included at once.
/// Guarantees: they are found under `gadget/` and compile together.
#[test]
fn embedded_headers_are_found() {
    let source = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n#include <gadget/macros.h>\n#include <gadget/types.h>\n\
                  struct event { gadget_timestamp at; gadget_comm comm[16]; };\n\
                  volatile struct event event;\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n";
    let bench = Bench::new(&[("program.bpf.c", source)]);
    let (_, steps) = bench.build(&bench.request()).unwrap();
    assert!(!steps.iter().any(|step| step.starts_with("Diagnostics")), "{steps:?}");
}

/// Scenario: a gadget whose records the collector makes, a gadget with a ready-made WASM module; folders without a
/// program, with and without a description of one.
/// Guarantees: the first two are images; the others are errors that say what was looked for and what would help.
#[test]
fn parts_are_optional() {
    let bench = Bench::new(&[("gadget.yaml", "operator: {process: {emitstats: true}}")]);
    bench.build(&bench.request()).unwrap();
    let gadget = bench.load();
    assert!(gadget.ebpf.is_none() && gadget.metadata.is_some());

    let bench = Bench::new(&[("build.yaml", "wasm: m.wasm\nfuture: 1\n"), ("m.wasm", "\0asm\u{1}\0\0\0")]);
    let (_, steps) = bench.build(&bench.request()).unwrap();
    assert!(steps.iter().any(|step| step.contains("unknown key `future`")), "{steps:?}");
    let gadget = bench.load();
    assert!(gadget.metadata.is_none() && gadget.wasm.is_some());
    assert_eq!(gadget.annotations.len(), 1, "only the time of the build");

    for files in
        [&[][..], &[("gadget.yaml", METADATA)], &[("gadget.yaml", "operator: {}")], &[("gadget.yaml", "")]]
    {
        let error = Bench::new(files).error();
        assert!(
            error.to_string().contains("has nothing to build: no eBPF source `program.bpf.c`"),
            "{error}"
        );
        assert!(error.hint().unwrap().contains("`ebpfsource`"));
    }
}

/// Scenario: a build without a name, in a folder whose name can be an image's and in ones whose cannot.
/// Guarantees: the image has the folder's name; otherwise nothing is stored and the hint says how to name it.
#[test]
fn images_without_a_name_get_that_of_the_folder() {
    let bench = Bench::new(&[("gadget.yaml", "operator: {process: {emitstats: true}}")]);
    let request = |folder: &Path| BuildRequest { tag: None, folder: folder.to_owned(), ..bench.request() };
    let (built, _) = bench.build(&request(&bench.gadget())).unwrap();
    assert_eq!(built.tag, Reference::parse("gadget").unwrap());
    assert_eq!(bench.store.resolve(&built.tag).unwrap().digest, built.digest);
    for name in ["My Gadget", "a:b", "-x", "x@sha256"] {
        let folder = bench.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::copy(bench.gadget().join("gadget.yaml"), folder.join("gadget.yaml")).unwrap();
        let error = bench.build(&request(&folder)).unwrap_err();
        assert!(error.hint().unwrap().contains("-t NAME"), "{error}");
    }
    assert_eq!(bench.store.list().unwrap().len(), 1);
}

/// Scenario: faults in the two documents, option-like names, missing files, sources of WASM, wrong modules.
/// Guarantees: each error names file and fault, and its kind is the user's fault.
#[test]
fn wrong_inputs_are_named() {
    let rows: [(&[(&str, &str)], &str); 11] = [
        (&[("build.yaml", "ebpfsource: [a]")], "ebpfsource"),
        (&[("build.yaml", "- a")], "a list"),
        (&[("build.yaml", "ebpfsource: -ofoo")], "may not start with"),
        (&[("build.yaml", "metadata: ' @x'")], "may not start with"),
        (&[("build.yaml", "ebpfsource: other.c")], "other.c"),
        (&[("build.yaml", "wasm: main.py")], "`wasm: main.py` in build.yaml is neither a module"),
        (&[("build.yaml", "wasm: main.go")], "main.go"),
        (&[("build.yaml", "wasm: m.wasm"), ("m.wasm", "text")], "is not a WASM module"),
        (&[("gadget.yaml", "name: [")], "gadget.yaml"),
        (&[("gadget.yaml", "a: 1\n---\nb: 2\n")], "a second document"),
        (&[("gadget.yaml", "annotations: {a: {b: c}}")], "annotations.a"),
    ];
    for (files, expected) in rows {
        let error = Bench::new(files).error();
        assert!(error.to_string().contains(expected), "{files:?}: {error}");
    }
    let bench = Bench::new(&[("program.bpf.c", "")]);
    fs::write(bench.gadget().join("gadget.yaml"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(bench.error().to_string().contains("more than the 1048576 bytes"));
    let missing = BuildRequest::new(bench.folder.path().join("none"));
    assert!(matches!(bench.build(&missing), Err(BuildError::Io { .. })));
    let no_file = BuildRequest { file: Some(bench.folder.path().join("b.yaml")), ..bench.request() };
    assert!(matches!(bench.build(&no_file), Err(BuildError::Io { .. })));
}

/// Scenario: a module in C, with a hook and an import, built in two folders; then one with an error.
/// Guarantees: one layer for all architectures that exports the hook and depends on content only; the compiler's words
/// come through.
#[test]
fn modules_are_compiled_from_c() {
    let source = "__attribute__((import_module(\"ig\"), import_name(\"gadgetLog\"))) void gadget_log(int, long long);\n\
                  long long gadgetAPIVersion(void) { return 1; }\n\
                  int gadgetInit(void) { gadget_log(2, 0); return 0; }\n";
    let build_yaml = ("build.yaml", "wasm: program.c\n");
    let files = [("gadget.yaml", "name: w\n"), build_yaml, ("program.c", source)];
    let (one, two) = (Bench::new(&files), Bench::new(&files));
    let (built, steps) = one.build(&one.request()).unwrap();
    assert!(steps.iter().any(|step| step.starts_with("CompilingWasm")), "{steps:?}");
    assert_eq!(built.digest, two.build(&two.request()).unwrap().0.digest);
    let module = one.load().wasm.unwrap();
    assert!(
        contains(&module, "gadgetInit")
            && contains(&module, "gadgetAPIVersion")
            && contains(&module, "gadgetLog")
    );

    fs::write(one.gadget().join("program.c"), "int x = nonsense;\n").unwrap();
    let error = one.error();
    assert!(matches!(error, BuildError::CompileWasm { .. }), "{error}");
    assert!(error.to_string().contains("program.c:1:9: error"), "{error}");
}

const PARAMETER: &str = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n#include <gadget/macros.h>\n#include <gadget/buffer.h>\n\
    struct event { __u32 pid; };\nGADGET_TRACER_MAP(events, 1024 * 256);\nGADGET_TRACER(seen, events, event);\n\
    const volatile bool wanted = false;\nGADGET_PARAM(wanted);\n\
    SEC(\"raw_tracepoint/sys_enter\")\nint count(void *ctx)\n{\n\treturn wanted;\n}\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n";

/// Scenario: a gadget without metadata, updated; then one whose metadata names a variable that is not there.
/// Guarantees: the file is made and becomes part of the image; a second update changes nothing; a wrong one ends the
/// build with the line, and passes where validation is off.
#[test]
fn metadata_is_made_and_checked() {
    let bench = Bench::new(&[("program.bpf.c", PARAMETER)]);
    let update = BuildRequest { update_metadata: true, ..bench.request() };
    let first = bench.build(&update).unwrap().0.digest;
    let path = bench.gadget().join("gadget.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("  seen:\n") && text.contains("    wanted:\n      key: wanted\n"), "{text}");
    assert_eq!(bench.load().metadata.as_deref(), Some(text.as_str()));
    assert_eq!(bench.build(&update).unwrap().0.digest, first);

    fs::write(&path, text.replace("    wanted:\n", "    wantd:\n")).unwrap();
    let error = bench.error();
    assert!(matches!(error, BuildError::Document { .. }), "{error}");
    assert!(error.to_string().contains("the object has no variable of this name \"wantd\""), "{error}");
    bench.build(&BuildRequest { validate_metadata: false, ..bench.request() }).unwrap();

    fs::write(&path, "name: x\ndatasources: {sen: {}}\n").unwrap();
    let (_, steps) = bench.build(&bench.request()).unwrap();
    assert!(steps.iter().any(|step| step.contains("did you mean")), "{steps:?}");
    let empty = Bench::new(&[("gadget.yaml", "operator: {process: {emitstats: true}}\n")]);
    let request = BuildRequest { update_metadata: true, ..empty.request() };
    assert!(matches!(empty.build(&request), Err(BuildError::NoObject { .. })));
}

/// Scenario: a gadget that relocates, built for both architectures with an archive that has one kernel of one of them.
/// Guarantees: the layer comes last in the manifest of that architecture, holds the kernel, and is left in the output
/// folder under its usual name; the author is told about the other.
#[test]
fn types_of_other_kernels_are_brought_along() {
    let source = "#include <vmlinux.h>\n#include <bpf/bpf_helpers.h>\n#include <bpf/bpf_core_read.h>\n#include <bpf/bpf_tracing.h>\n\
                  SEC(\"kprobe/x\")\nint BPF_KPROBE(hit, struct file *file)\n{\n\treturn BPF_CORE_READ(file, f_flags);\n}\n\
                  char LICENSE[] SEC(\"license\") = \"GPL\";\n";
    let bench = Bench::new(&[("program.bpf.c", source)]);
    let (output, archive) = (bench.folder.path().join("out"), bench.folder.path().join("archive"));
    let types = archive.join("debian/12/x86_64");
    fs::create_dir(&output).unwrap();
    fs::create_dir_all(&types).unwrap();
    fs::copy(ig_kernel::btf::VMLINUX_PATH, types.join("6.1.0-1-amd64.btf")).unwrap();
    let request = BuildRequest {
        archs: Arch::ALL.to_vec(),
        btf_archive: Some(archive),
        output: Some(output.clone()),
        ..bench.request()
    };
    let (_, steps) = bench.build(&request).unwrap();
    assert!(steps.iter().any(|step| step.contains("has no types of arm64 kernels")), "{steps:?}");
    let gadget = bench.store.load_gadget(&Reference::parse("tiny").unwrap(), Arch::Amd64).unwrap();
    let layer = bench.store.read_layer(&gadget.btfgen.unwrap()).unwrap();
    assert_eq!(fs::read(output.join("btfs-x86_64.tar.gz")).unwrap(), layer);
    let kernel = ig_image::btfgen::Kernel::new("ID=debian\nVERSION_ID=12\n", "x86_64", "6.1.0-1-amd64");
    assert!(ig_image::btfgen::select(layer.as_slice(), &kernel).is_ok());
    let other = bench.store.load_gadget(&Reference::parse("tiny").unwrap(), Arch::Arm64).unwrap();
    assert!(other.btfgen.is_none() && other.ebpf.is_some());
}
