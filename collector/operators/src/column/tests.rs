//! Columns planned from fields, and their values in records made by hand.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ig_config::metadata::Metadata;
use ig_datasource::{Bits, DataSource, Enumerators, Field, FieldWords, Number, Origin, Rest, SourceKind};
use ig_model::{BootClock, FieldKind, kind::Scalar};
use proptest::prelude::*;

use super::{Column, Columns, FormatContext, Render, Resolver, Value, ValueKind, ValueScratch};
use crate::{
    filter::{Filter, Scratch},
    format::Accounts,
};

const SIZE: usize = 128;

fn context() -> FormatContext {
    FormatContext {
        clock: BootClock::with_offset(1_700_000_000_000_000_000),
        accounts: Arc::new(Accounts::in_root(Path::new("/nonexistent"))),
    }
}

fn field(name: &str, kind: FieldKind, offset: usize, size: usize, types: &[&str]) -> Field {
    Field {
        types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..Field::new(name, kind, offset, size)
    }
}

fn child(parent: usize, parent_name: &str, field: Field) -> Field {
    Field { parent: Some(parent), full_name: format!("{parent_name}.{}", field.name), ..field }
}

fn enumerated(field: Field, name: &str, variants: &[(&str, u64)]) -> Field {
    let variants = variants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Field { enumerators: Some(Arc::new(Enumerators { name: name.to_owned(), variants })), ..field }
}

/// The address, version, port and protocol of an endpoint at `offset`.
fn endpoint(fields: &mut Vec<Field>, name: &str, offset: usize) {
    let parent = fields.len();
    fields.push(field(name, FieldKind::Bytes, offset, 32, &["gadget_l4endpoint_t"]));
    let mut member = |child_field| fields.push(child(parent, name, child_field));
    member(field("addr_raw", FieldKind::Bytes, offset, 16, &["gadget_ip_addr_t"]));
    member(field("port", FieldKind::Uint16, offset + 16, 2, &[]));
    member(field("proto_raw", FieldKind::Uint16, offset + 18, 2, &[]));
    member(field("version", FieldKind::Uint8, offset + 20, 1, &[]));
    let address = parent + 1;
    let v4 = child(address, &format!("{name}.addr_raw"), field("v4", FieldKind::Uint32, offset, 4, &[]));
    fields.push(v4);
}

fn source(fields: Vec<Field>, metadata: &str) -> DataSource {
    let origin = Origin::Tracer { map: "events".into() };
    let words = FieldWords::of(&Metadata::parse(metadata).unwrap(), "events");
    let mut source =
        DataSource { fields, words, ..DataSource::new("events", SourceKind::Single, origin, SIZE) };
    for field in &mut source.fields {
        source.words.complete(&field.full_name, &mut field.annotations);
    }
    source
}

fn planned(fields: Vec<Field>, metadata: &str) -> Columns {
    Columns::plan(&source(fields, metadata), &context())
}

fn visible(columns: &Columns) -> Vec<&str> {
    columns.visible().map(|column| column.name.as_str()).collect()
}

/// The value of a column as text, numbers included.
fn value(columns: &Columns, name: &str, record: &[u8]) -> String {
    let mut scratch = ValueScratch::default();
    match columns.find(name).unwrap().value(record, &mut scratch) {
        Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Scenario: one field of each kind that a formatter takes, with the name rule's three outcomes.
/// Guarantees: the output is called by the annotation, else without `_raw`, else does not exist; it stands where its
/// input stands and the input is hidden; enums, users and groups stand last; a template says how it looks.
#[test]
fn formatters_replace_their_inputs() {
    let columns = planned(
        vec![
            field("timestamp_raw", FieldKind::Uint64, 0, 8, &["gadget_timestamp"]),
            enumerated(field("op_raw", FieldKind::Uint32, 8, 4, &[]), "op", &[("read", 0), ("write", 1)]),
            field("error_raw", FieldKind::Uint32, 12, 4, &["gadget_errno"]),
            field("sig", FieldKind::Uint32, 16, 4, &["gadget_signal"]),
            field("uid", FieldKind::Uint32, 20, 4, &["gadget_uid"]),
            field("size", FieldKind::Uint64, 24, 8, &["gadget_bytes"]),
            field("plain", FieldKind::Int16, 32, 2, &[]),
            enumerated(field("quiet", FieldKind::Uint32, 36, 4, &[]), "op", &[("read", 0)]),
        ],
        "datasources: {events: {fields: {timestamp: {annotations: {columns.hidden: false}}, \
         sig: {annotations: {formatters.signal.target: name, columns.hidden: false}}}}}",
    );
    assert_eq!(visible(&columns), ["timestamp", "error", "sig", "name", "size", "plain", "op"]);
    assert!(columns.find("user").unwrap().hidden && columns.find("uid").unwrap().hidden);
    assert!(columns.find("quiet").unwrap().hidden, "an enum without a target is hidden all the same");
    assert_eq!(columns.find("error").unwrap().annotation("columns.width"), Some("12"));
    assert!(columns.find("name").unwrap().annotation("value.one-of").unwrap().contains("SIGKILL"));
    assert_eq!(columns.find("op").unwrap().annotation("value.one-of"), Some("read, write"));

    let mut record = vec![0; SIZE];
    record[..8].copy_from_slice(&1_000_000_001_u64.to_ne_bytes());
    record[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    record[12..16].copy_from_slice(&2_u32.to_ne_bytes());
    assert_eq!(value(&columns, "timestamp", &record), "2023-11-14T22:13:21.000000001Z");
    assert_eq!(value(&columns, "timestamp_raw", &record), "1700000001000000001", "on the wall clock, too");
    assert_eq!(
        (value(&columns, "op", &record), value(&columns, "error", &record)),
        ("write".into(), "ENOENT".into())
    );
    assert_eq!(value(&columns, "user", &record), "uid:0");
}

/// Scenario: a time stamp with a layout of its own; bit-fields as number and as enum; an enum that is a set.
/// Guarantees: each is read and written as declared.
#[test]
fn declared_forms() {
    let bits = |field: Field, shift, len| Field { bits: Some(Bits { shift, len }), ..field };
    let columns = planned(
        vec![
            field("at_raw", FieldKind::Uint64, 0, 8, &["gadget_timestamp"]),
            bits(field("low", FieldKind::Int32, 8, 1, &[]), 0, 3),
            enumerated(
                bits(field("op_raw", FieldKind::Uint32, 8, 1, &[]), 3, 2),
                "op",
                &[("a", 0), ("b", 3)],
            ),
            enumerated(field("caps_raw", FieldKind::Uint8, 9, 1, &[]), "caps_set", &[("x", 1), ("y", 4)]),
        ],
        "datasources: {events: {fields: {at_raw: {annotations: {formatters.timestamp.format: '15:04:05.000'}}, \
         caps_raw: {annotations: {ebpf.formatter.bitfield.separator: '+'}}}}}",
    );
    let mut record = vec![0; SIZE];
    record[..8].copy_from_slice(&1_500_000_000_u64.to_ne_bytes());
    record[8] = 0b11_111;
    record[9] = 7;
    assert_eq!(value(&columns, "at", &record), "22:13:21.500");
    assert_eq!((value(&columns, "low", &record), value(&columns, "op", &record)), ("-1".into(), "b".into()));
    assert_eq!(value(&columns, "caps", &record), "x+y");
    assert_eq!(columns.find("low").unwrap().value_kind(), ValueKind::Signed);
}

/// Scenario: an endpoint with IPv4, IPv6 and an IP version that does not exist; one that gadget.yaml opens.
/// Guarantees: the group stands for its endpoint, the members are hidden, the raw address is shown nowhere; an
/// unknown version has an empty address.
#[test]
fn endpoints_are_one_column() {
    let mut fields = Vec::new();
    endpoint(&mut fields, "src", 0);
    endpoint(&mut fields, "dst", 32);
    let columns = planned(
        fields,
        "datasources: {events: {fields: {dst.port: {annotations: {columns.hidden: false}}}}}",
    );
    assert_eq!(visible(&columns), ["src", "dst", "dst.port"]);
    let src = columns.find("src").unwrap();
    assert_eq!(
        (src.annotation("columns.replace"), src.value_kind()),
        (Some("src.endpoint"), ValueKind::Members)
    );
    let hidden_but_there =
        ["src.addr", "src.port", "src.version", "src.proto", "src.endpoint", "src.proto_raw"];
    for name in hidden_but_there {
        let column = columns.find(name).unwrap();
        assert!(column.hidden && column.referenced, "{name}");
    }
    for name in ["src.addr_raw", "src.addr_raw.v4"] {
        assert!(!columns.find(name).unwrap().referenced, "{name}");
    }
    let end = columns.find("src.endpoint").unwrap();
    assert_eq!(
        (end.annotation("json.skip"), end.tags.as_slice()),
        (Some("true"), &["endpoint".to_owned()][..])
    );

    let mut record = vec![0; SIZE];
    record[..4].copy_from_slice(&[192, 0, 2, 1]);
    record[16..18].copy_from_slice(&443_u16.to_ne_bytes());
    record[18..20].copy_from_slice(&6_u16.to_ne_bytes());
    record[20] = 4;
    assert_eq!(value(&columns, "src.endpoint", &record), "192.0.2.1:443");
    assert_eq!(
        (value(&columns, "src.addr", &record), value(&columns, "src.proto", &record)),
        ("192.0.2.1".into(), "TCP".into())
    );
    record[20] = 6;
    assert_eq!(value(&columns, "src.endpoint", &record), "[c000:201::]:443");
    record[20] = 9;
    assert_eq!(value(&columns, "src.addr", &record), "");
}

/// Scenario: groups, arrays, nested arrays, trailing data with a length.
/// Guarantees: values have the kinds that sinks are told, and end where the record says.
#[test]
fn values_of_every_kind() {
    let mut source = source(
        vec![
            field("proc", FieldKind::Bytes, 0, 8, &["proc"]),
            child(0, "proc", field("pid", FieldKind::Uint32, 0, 4, &[])),
            field("slots", FieldKind::Array(Scalar::Uint(2)), 8, 6, &[]),
            field("flags", FieldKind::Array(Scalar::Bool), 14, 3, &[]),
            field("matrix", FieldKind::Invalid, 20, 4, &[]),
            field("len", FieldKind::Uint32, 24, 4, &[]),
        ],
        "",
    );
    source.rest = Some(Rest { name: "payload".into(), start: SIZE, len: Some(24..28) });
    let columns = Columns::plan(&source, &context());
    assert_eq!(visible(&columns), ["proc.pid", "slots", "flags", "matrix", "len", "payload"]);
    let mut record = vec![0; SIZE];
    record[8..14].copy_from_slice(&[1_u16, 2, 700].map(u16::to_ne_bytes).concat());
    record[14..17].copy_from_slice(&[1, 0, 2]);
    record[24] = 3;
    record.extend(*b"abcdef");
    let mut scratch = ValueScratch::default();
    let kind = |name: &str| columns.find(name).unwrap().value_kind();
    let Value::Array(slots) = columns.find("slots").unwrap().value(&record, &mut scratch) else { panic!() };
    assert_eq!(slots.collect::<Vec<_>>(), [1, 2, 700].map(Number::Unsigned));
    let Value::Array(flags) = columns.find("flags").unwrap().value(&record, &mut scratch) else { panic!() };
    assert_eq!(flags.collect::<Vec<_>>(), [1, 0, 0].map(Number::Unsigned));
    assert_eq!(
        (kind("slots"), kind("flags")),
        (ValueKind::Array(Scalar::Uint(2)), ValueKind::Array(Scalar::Bool))
    );
    assert_eq!(columns.find("payload").unwrap().value(&record, &mut scratch), Value::Bytes(b"abc"));
    assert_eq!(columns.find("proc").unwrap().value(&record, &mut scratch), Value::None);
    assert_eq!(columns.find("matrix").unwrap().value(&record, &mut scratch), Value::Bytes(&[0; 4]));
    let mut text = String::new();
    columns.find("slots").unwrap().text(&record[8..14], &mut text);
    assert_eq!(text, "[1,2,700]");

    let filter = |rule: &str| Filter::plan(rule, &columns).unwrap().keeps(&record, &mut Scratch::default());
    assert!(filter("payload==616263") && !filter("payload~^62"));
    for rule in ["proc==1", "slots==1"] {
        assert!(Filter::plan(rule, &columns).unwrap_err().reason.contains("no single value"), "{rule}");
    }
}

/// Scenario: an operator that adds columns of its own, one under a name that is taken.
/// Guarantees: gadget.yaml has the last word on how they look; the second of a name is refused.
#[test]
fn operators_add_columns() {
    #[derive(Debug)]
    struct Upper;
    impl Resolver for Upper {
        fn text(&self, input: &[u8], out: &mut String) {
            out.push_str(&String::from_utf8_lossy(input).to_uppercase());
        }
    }
    let mut columns = planned(
        vec![field("name", FieldKind::CString, 0, 4, &[])],
        "datasources: {events: {fields: {Loud: {annotations: {columns.width: 40, template: pid}, tags: [t]}}}}",
    );
    let loud = Column::new("loud", std::iter::once(0..4).collect(), Render::Resolved(Arc::new(Upper)));
    columns.push(loud.clone().annotated(&[("columns.hidden", "true"), ("columns.width", "9")])).unwrap();
    let pushed = columns.find("loud").unwrap();
    assert_eq!(
        (pushed.annotation("columns.width"), pushed.annotation("columns.minwidth")),
        (Some("40"), Some("7"))
    );
    assert!(pushed.hidden && pushed.tags == ["t"]);
    assert_eq!(value(&columns, "loud", b"abcdefgh"), "ABCD");
    let clash = columns.push(loud).unwrap_err();
    assert_eq!(clash.to_string(), "data source `events`: field `loud` already exists");
    columns.hide("name");
    assert_eq!(visible(&columns), [""; 0]);
}

/// Scenario: a formatter whose output has the name of another field.
/// Guarantees: the field stays, and the oddity is told.
#[test]
fn clashes_of_formatters_are_warned_of() {
    let columns = planned(
        vec![
            field("error", FieldKind::Uint32, 0, 4, &[]),
            field("error_raw", FieldKind::Uint32, 4, 4, &["gadget_errno"]),
        ],
        "",
    );
    assert!(matches!(columns.find("error").unwrap().render, Render::Number(_)));
    assert!(columns.warnings()[0].contains("field `error` already exists"));
}

fn any_field() -> impl Strategy<Value = Field> {
    let kinds = prop::sample::select(vec![
        FieldKind::Bool,
        FieldKind::Int8,
        FieldKind::Uint16,
        FieldKind::Int32,
        FieldKind::Uint32,
        FieldKind::Uint64,
        FieldKind::Float32,
        FieldKind::Float64,
        FieldKind::CString,
        FieldKind::Bytes,
        FieldKind::Invalid,
        FieldKind::Array(Scalar::Uint(8)),
        FieldKind::Array(Scalar::Bool),
    ]);
    let types = prop::sample::select(vec![
        "",
        "gadget_errno",
        "gadget_timestamp",
        "gadget_syscall",
        "gadget_uid",
        "gadget_bytes",
        "gadget_l4endpoint_t",
        "gadget_ip_addr_t",
        "gadget_l3endpoint_t",
        "gadget_file_mode",
    ]);
    let name = prop::sample::select(vec!["a_raw", "b", "addr_raw", "version", "port", "proto_raw"]);
    let bits = prop::option::of((0..8_u8, 0..80_u8));
    let parent = prop::option::of(0..6_usize);
    (name, kinds, types, 0..200_usize, 0..20_usize, bits, any::<bool>(), parent).prop_map(
        |(name, kind, types, offset, size, bits, is_enum, parent)| Field {
            bits: bits.map(|(shift, len)| Bits { shift, len }),
            parent,
            enumerators: is_enum
                .then(|| Arc::new(Enumerators { name: "e_set".into(), variants: vec![("v".into(), 1)] })),
            annotations: BTreeMap::new(),
            ..field(name, kind, offset, size, &[types])
        },
    )
}

proptest! {
    /// Scenario: any fields, nonsensical ones too, over records of any length.
    /// Guarantees: planning, values, text and filters end without a panic; a value has the kind that was announced.
    #[test]
    fn any_layout_over_any_record(
        mut fields in prop::collection::vec(any_field(), 0..8),
        record in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for (index, field) in fields.iter_mut().enumerate() {
            field.full_name = format!("{}{index}", field.name);
        }
        let columns = planned(fields, "");
        let mut scratch = ValueScratch::default();
        for column in columns.iter() {
            let fits = match (column.value(&record, &mut scratch), column.value_kind()) {
                (Value::None, _)
                | (Value::Bool(_), ValueKind::Bool)
                | (Value::Unsigned(_), ValueKind::Unsigned)
                | (Value::Signed(_), ValueKind::Signed)
                | (Value::Float(_), ValueKind::Float)
                | (Value::Text(_), ValueKind::Text)
                | (Value::Bytes(_), ValueKind::Bytes) => true,
                (Value::Array(array), ValueKind::Array(scalar)) => array.scalar() == scalar,
                _ => false,
            };
            prop_assert!(fits, "{}", column.name);
            let mut input = Vec::new();
            column.copy_input(&record, &mut input);
            prop_assert_eq!(input.len(), column.input_len());
            column.text(&input, &mut String::new());
            if let Ok(filter) = Filter::plan(&format!("{}==1", column.name), &columns) {
                filter.keeps(&record, &mut Scratch::default());
            }
        }
    }
}
