//! Golden layouts: structs compiled by clang, and the fields that are made of them.

use std::fmt::Write as _;

use ig_config::metadata::Metadata;
use ig_datasource::{DataSource, Discovered, Number, Origin, discover};
use ig_loader::Object;

use super::compile_text;

fn compile(extra: &str) -> Object {
    compile_text(&(include_str!("layouts.bpf.c").to_owned() + extra))
}

fn discovered(metadata: &str) -> Discovered {
    discover(&compile(""), &Metadata::parse(metadata).unwrap()).unwrap()
}

fn source<'a>(found: &'a Discovered, name: &str) -> &'a DataSource {
    found.sources.iter().find(|source| source.name == name).unwrap()
}

/// One field a line: name, kind, bytes, bits, enum.
fn shown(source: &DataSource) -> Vec<String> {
    let line = |field: &ig_datasource::Field| {
        let mut text = format!("{} {:?} {}+{}", field.full_name, field.kind, field.offset, field.size);
        if let Some(bits) = field.bits {
            write!(text, " bits {}+{}", bits.shift, bits.len).unwrap();
        }
        if let Some(enumerators) = &field.enumerators {
            write!(text, " {}", enumerators.name).unwrap();
        }
        text
    };
    source.fields.iter().map(line).collect()
}

/// Scenario: bit-fields of every base type next to each other, initialised by the compiler.
/// Guarantees: each is read as the value the compiler put there; padding is not a field.
#[test]
fn bit_fields_read_right() {
    let found = discovered("");
    let bits = source(&found, "bits");
    let object = compile("");
    let record = object.initial_value(object.variable("sample").unwrap());
    let read: Vec<(&str, Number)> =
        bits.fields.iter().map(|field| (field.name.as_str(), field.number(&record).unwrap())).collect();
    assert_eq!(
        read,
        [
            ("low", Number::Unsigned(5)),
            ("high", Number::Unsigned(17)),
            ("negative", Number::Signed(-3)),
            ("op_raw", Number::Unsigned(1)),
            ("flag", Number::Unsigned(1)),
            ("wide", Number::Unsigned(0x12_3456_789a)),
            ("whole", Number::Unsigned(7)),
        ]
    );
    assert!(bits.field("whole").unwrap().bits.is_none());
    assert_eq!(bits.field("op_raw").unwrap().enumerators.clone().unwrap().name, "op");
}

/// Scenario: anonymous members within each other, qualified and typedef'd structs, arrays of structs, private members.
/// Guarantees: what is anonymous belongs to the struct around it; only structs that are named directly have members;
/// the rest makes no field.
#[test]
fn nesting() {
    let found = discovered("");
    assert_eq!(
        shown(source(&found, "nested")),
        [
            "v4 Uint32 0+4",
            "first Uint8 0+1",
            "second Uint8 1+1",
            "named Bytes 4+2",
            "named.deepest Int16 4+2",
            "plain Bytes 40+8",
            "plain.x Int32 40+4",
            "plain.y Int32 44+4",
            "opaque Bytes 48+16",
        ]
    );
}

/// Scenario: every kind of scalar and array, enums of three widths, and what has no kind.
/// Guarantees: kinds and sizes are those of C; enumerators of 64 bits and of one byte are whole; a typedef'd enum is a
/// number; 128-bit numbers, pointers and empty arrays make no field.
#[test]
fn kinds() {
    let found = discovered("");
    let kinds = source(&found, "kinds");
    assert_eq!(
        shown(kinds),
        [
            "wide_raw Uint64 0+8 wide_set",
            "tiny_raw Uint8 8+1 tiny",
            "alias_raw Uint32 12+4",
            "flags Array(Bool) 16+3",
            "single Float32 20+4",
            "twice Float64 24+8",
            "text CString 32+5",
            "bytes Array(Int(1)) 37+2",
            "comm CString 39+16",
            "matrix Invalid 55+6",
            "ops Array(Uint(4)) 64+8",
            "constant Int64 104+8",
        ]
    );
    let variants = |name: &str| kinds.field(name).unwrap().enumerators.clone().unwrap().variants.clone();
    assert_eq!(variants("wide_raw")[1], ("wide_high".to_owned(), 1 << 40));
    assert_eq!(variants("tiny_raw"), [("tiny_a".to_owned(), 200)]);
    let tags = kinds.field("comm").unwrap().tags();
    assert_eq!(tags, ["type:gadget_comm", "type:char", "name:comm", "src:ebpf"]);
}

/// Scenario: types of the shared headers, gadget.yaml in another case with dotted and nested keys, an unknown template.
/// Guarantees: base annotations, then what types imply, then the template of gadget.yaml, then its words; groups of
/// the headers are hidden and their members called by their short names.
#[test]
fn annotations_are_layered() {
    let found = discovered(
        "dataSources:\n  Annotated:\n    tags: [mine]\n    annotations: {ebpf: {rest: {name: payload, len: LEN}}}\n    \
         fields:\n      Proc.comm: {annotations: {columns.maxWidth: 20}, tags: [a, b]}\n      \
         proc: {creds: {uid: {annotations: {template: pid, description: Who}}}}\n      \
         mntns_id: {annotations: {columns.hidden: false}}\n      len: {annotations: {template: pidd}}\n",
    );
    let annotated = source(&found, "annotated");
    let get = |name: &str, key: &str| {
        annotated.field(name).unwrap().annotations.get(key).cloned().unwrap_or_default()
    };
    assert_eq!(annotated.tags, ["mine"]);
    assert_eq!((get("len", "columns.width"), get("len", "columns.alignment")), ("16".into(), "left".into()));
    assert_eq!(
        (get("timestamp_raw", "columns.width"), get("timestamp_raw", "columns.hidden")),
        ("35".into(), "true".into())
    );
    assert_eq!(get("mntns_id", "columns.hidden"), "false");
    assert_eq!(
        (get("proc", "columns.hidden"), get("proc.creds", "columns.hidden")),
        ("true".into(), "true".into())
    );
    assert_eq!(
        (get("proc.comm", "columns.maxwidth"), get("proc.comm", "columns.alias")),
        ("20".into(), "comm".into())
    );
    assert!(annotated.field("proc.comm").unwrap().tags().ends_with(&["a".into(), "b".into()]));
    assert_eq!(get("proc.creds.uid", "columns.minwidth"), "7");
    assert_eq!(get("proc.creds.uid", "description"), "Who");
    assert_eq!(get("proc.creds.uid", "columns.alias"), "uid");
    assert!(found.warnings.iter().any(|text| text.contains("unknown template `pidd`; did you mean `pid`?")));

    let rest = annotated.rest.as_ref().unwrap();
    let len = annotated.field("len").unwrap().offset;
    let mut record = vec![0; annotated.record_size];
    record[len] = 2;
    assert!(!annotated.is_decodable(&record), "two bytes are promised and none is there");
    record.extend(*b"abc");
    assert_eq!((rest.name.as_str(), rest.of(&record)), ("payload", Some(&b"ab"[..])));
    assert!(annotated.is_decodable(&record));
}

/// Scenario: a map iterator with a nested key, and the deprecated form of an iterator marker with two programs.
/// Guarantees: keys before values, all levels with the role; both programs are named and the old form is warned of.
#[test]
fn sets_of_records() {
    let found = discovered("");
    let counted = source(&found, "counted");
    assert_eq!(
        shown(counted),
        ["dev Uint32 0+4", "at Bytes 4+8", "at.x Int32 4+4", "at.y Int32 8+4", "count Uint64 12+8"]
    );
    assert_eq!(counted.record_size, 20);
    let roles: Vec<bool> = counted.fields.iter().map(|field| field.role_key).collect();
    assert_eq!(roles, [true, true, true, true, false]);
    assert!(counted.field("at.x").unwrap().tags().contains(&"role:key".to_owned()));
    let origin = Origin::Iterator { programs: vec!["walk".into(), "walk_again".into()] };
    assert_eq!(source(&found, "listed").origin, origin);
    assert!(found.warnings.iter().any(|text| text.contains("deprecated")), "{:?}", found.warnings);
}

/// Scenario: maps that cannot be iterated, fields that clash, trailing data with a length that is not a number.
/// Guarantees: each is refused by name, with what it is.
#[test]
fn what_cannot_be_read_is_named() {
    for (marker, metadata, expected) in [
        ("gadget_mapiter_a___per_cpu", "", "map `per_cpu` is a per-CPU hash map; only a plain hash map"),
        ("gadget_mapiter_a___by_int", "", "the key of map `by_int` is the typedef `__u32`"),
        ("gadget_mapiter_a___by_alias", "", "the key of map `by_alias` is the typedef `point_alias`"),
        ("gadget_mapiter_a___clashing", "", "field `dev` already exists"),
        ("gadget_iter_a___point___sample", "", "no program `sample`"),
        (
            "gadget_tracer_a___events___point",
            "datasources: {a: {annotations: {ebpf.rest.name: x, ebpf.rest.len: z}}}",
            "ebpf.rest.name of data source `a`: field `x` already exists",
        ),
        (
            "gadget_tracer_a___events___annotated",
            "datasources: {a: {annotations: {ebpf.rest.name: r, ebpf.rest.len: lem}}}",
            "there is no field `lem`; did you mean `len`?",
        ),
        (
            "gadget_tracer_a___events___annotated",
            "datasources: {a: {annotations: {ebpf.rest.name: r, ebpf.rest.len: proc}}}",
            "field `proc`: expected an unsigned integer",
        ),
    ] {
        let object = compile(&format!("\nMARKER({marker});\n"));
        let error = discover(&object, &Metadata::parse(metadata).unwrap()).unwrap_err();
        assert_eq!(error.marker, marker);
        assert!(error.problem.contains(expected), "{marker}: {}", error.problem);
    }
}
