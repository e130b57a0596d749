//! Discovery from a real object, compiled here by clang.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{path::Path, process::Command};

use ig_config::metadata::Metadata;
use ig_datasource::{DataSource, Discovered, Number, Origin, ParamType, SourceKind, discover};
use ig_loader::Object;
use ig_model::{FieldKind, kind::Scalar};

mod layouts;

fn compile_text(text: &str) -> Object {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("shapes.bpf.c"), folder.path().join("shapes.o"));
    std::fs::write(&input, text).unwrap();
    let clang = if Path::new("/usr/bin/clang-19").exists() { "clang-19" } else { "clang" };
    let status = Command::new(clang)
        .args(["-target", "bpf", "-O2", "-g", "-c"])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .status()
        .expect("clang is needed: tests/tools.sh build installs it");
    assert!(status.success());
    Object::parse("shapes", &std::fs::read(&output).unwrap()).unwrap()
}

fn compile(extra: &str) -> Object {
    compile_text(&(include_str!("shapes.bpf.c").to_owned() + extra))
}

fn discovered(metadata: &str) -> Discovered {
    discover(&compile(""), &Metadata::parse(metadata).unwrap()).unwrap()
}

fn source<'a>(found: &'a Discovered, name: &str) -> &'a DataSource {
    found.sources.iter().find(|source| source.name == name).unwrap()
}

/// Scenario: a record with every shape of member.
/// Guarantees: names, kinds, offsets and sizes are those of the struct; what makes no field (private, pointer) is
/// absent; members of an anonymous struct belong to the struct around it.
#[test]
fn members_become_fields() {
    let found = discovered("");
    let seen = source(&found, "seen");
    assert_eq!(seen.kind, SourceKind::Single);
    assert_eq!(seen.origin, Origin::Tracer { map: "events".into() });
    let fields: Vec<(&str, FieldKind, usize, usize)> = seen
        .fields
        .iter()
        .map(|field| (field.full_name.as_str(), field.kind, field.offset, field.size))
        .collect();
    assert_eq!(
        fields,
        [
            ("timestamp_raw", FieldKind::Uint64, 0, 8),
            ("proc", FieldKind::Bytes, 8, 20),
            ("proc.left", FieldKind::Int32, 8, 4),
            ("proc.name", FieldKind::CString, 12, 16),
            ("both", FieldKind::Bytes, 28, 4),
            ("both.as_int", FieldKind::Uint32, 28, 4),
            ("both.as_bytes", FieldKind::Array(Scalar::Uint(1)), 28, 4),
            ("hidden_in_anonymous", FieldKind::Uint16, 32, 2),
            ("color_raw", FieldKind::Uint32, 36, 4),
            ("caps", FieldKind::Uint32, 40, 4),
            ("error_raw", FieldKind::Uint32, 44, 4),
            ("yes", FieldKind::Bool, 48, 1),
            ("ratio", FieldKind::Float64, 56, 8),
            ("many", FieldKind::Array(Scalar::Uint(8)), 64, 24),
            ("bits", FieldKind::Uint32, 88, 1),
            ("text", FieldKind::CString, 104, 8),
        ]
    );
    assert!(seen.field("error_raw").unwrap().has_type("gadget_errno"));
    let color = seen.field("color_raw").unwrap().enumerators.clone().unwrap();
    assert_eq!(color.variants, [("red".to_owned(), 1), ("blue".to_owned(), 5)]);
    assert_eq!(seen.field("PROC.LEFT").unwrap().full_name, "proc.left");
    assert_eq!(seen.nearest_field("proc.nam"), Some("proc.name"));
    let mut record = vec![0; seen.record_size];
    record[8..12].copy_from_slice(&(-7_i32).to_ne_bytes());
    assert_eq!(seen.field("proc.left").unwrap().number(&record), Some(Number::Signed(-7)));
}

/// Scenario: a map iterator and an iterator.
/// Guarantees: keys come before values, with the role of keys and offsets into the joined record.
#[test]
fn maps_and_iterators_become_arrays() {
    let found = discovered("");
    let counted = source(&found, "counted");
    assert_eq!(counted.kind, SourceKind::Array);
    assert_eq!(counted.record_size, 20);
    let dev = counted.field("dev").unwrap();
    let latency = counted.field("latency").unwrap();
    assert!(dev.role_key && !latency.role_key);
    assert_eq!((latency.offset, latency.size), (4, 16));
    assert!(latency.has_type("gadget_histogram_slot__u32"));
    assert_eq!(source(&found, "listed").origin, Origin::Iterator { programs: vec!["walk".into()] });
}

/// Scenario: parameters of several types, with and without a word in gadget.yaml.
/// Guarantees: keys, types and defaults follow gadget.yaml, the well-known names and the object, in this order.
#[test]
fn parameters_have_keys_types_and_defaults() {
    let found = discovered(
        "params:\n  ebpf:\n    port: {key: listen-port, defaultValue: '99', description: Port}\n    \
         prefix: {key: prefix, defaultValue: ab}\n",
    );
    let param = |key: &str| found.params.iter().find(|param| param.key == key).unwrap();
    assert_eq!(param("listen-port").kind, ParamType::Scalar(FieldKind::Uint16));
    assert_eq!(param("listen-port").default, "80", "the object's value wins over gadget.yaml's");
    assert_eq!(param("listen-port").description, "Port");
    assert_eq!(param("listen-port").full_key(), "operator.oci.ebpf.listen-port");
    assert_eq!((param("prefix").kind, param("prefix").default.as_str()), (ParamType::Text(6), "ab"));
    assert_eq!(param("targ_verbose").default, "true");
    assert_eq!(param("pid").variable, "targ_pid");
    assert_eq!(param("odd").kind, ParamType::Opaque(4));
}

/// Scenario: markers that name what does not exist.
/// Guarantees: the error names the marker and what is missing.
#[test]
fn wrong_markers_are_named() {
    for (marker, expected) in [
        ("gadget_tracer_a___no_such_map___event", "no map `no_such_map`"),
        ("gadget_tracer_a___counts___event", "neither a ring buffer"),
        ("gadget_tracer_a___events___no_such_struct", "no struct `no_such_struct`"),
        ("gadget_tracer_a___events", "expected 3 parts"),
        ("gadget_iter_a___inner___no_such_program", "no program `no_such_program`"),
        ("gadget_mapiter_a___events", "is a ring buffer; only a plain hash map"),
        ("gadget_param_no_such_variable", "no global variable"),
    ] {
        let object = compile(&format!("\nMARKER({marker});\n"));
        let error = discover(&object, &Metadata::parse("").unwrap()).unwrap_err();
        assert_eq!(error.marker, marker);
        assert!(error.problem.contains(expected), "{marker}: {}", error.problem);
    }
}
