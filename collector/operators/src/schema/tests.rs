//! Records with added fields.

use std::{path::Path, sync::Arc};

use ig_datasource::{DataSource, Field, Origin, Rest, SourceKind};
use ig_model::{BootClock, FieldKind};

use super::{SchemaError, SourceSchema};
use crate::{
    column::{FormatContext, Value, ValueScratch},
    filter::{Filter, Scratch},
    format::Accounts,
    packet::Packet,
};

/// pid u32 @0, len u8 @4, then `len` bytes behind the layout of 8.
fn schema() -> SourceSchema {
    let origin = Origin::Tracer { map: "events".into() };
    let source = DataSource {
        fields: vec![Field::new("pid", FieldKind::Uint32, 0, 4), Field::new("len", FieldKind::Uint8, 4, 1)],
        rest: Some(Rest { name: "data".to_owned(), start: 8, len: Some(4..5) }),
        ..DataSource::new("events", SourceKind::Single, origin, 8)
    };
    let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
    SourceSchema::new(source, &FormatContext { clock: BootClock::with_offset(0), accounts })
}

/// Scenario: two fields are added to records with trailing data; a stage fills one, rewrites a field of the kernel's,
/// and leaves the other alone.
/// Guarantees: both read like any field, in filters too; what is not filled is zero even in a buffer used before;
/// trailing data stays readable behind them.
#[test]
fn added_fields_are_fields_like_any_other() {
    let mut schema = schema();
    let name =
        schema.add_field("container", FieldKind::CString, 12, &[("description", "whose it is")]).unwrap();
    schema.add_field("depth", FieldKind::Uint16, 2, &[]).unwrap();
    let pid = schema.rewrite("pid").unwrap();
    schema.seal();
    let mut buffer = vec![0xff; 100];
    schema.layout().assemble(b"\x07\0\0\0\x03\0\0\0abcpadding", &mut buffer);
    let mut packet = Packet::copied(&mut buffer);
    assert!(packet.write(name, b"web-1") && packet.write(pid, &9_u32.to_ne_bytes()));

    let value = |name: &str, expected: Value<'_>| {
        let mut scratch = ValueScratch::default();
        assert_eq!(
            schema.columns().find(name).unwrap().value(packet.bytes(), &mut scratch),
            expected,
            "{name}"
        );
    };
    value("pid", Value::Unsigned(9));
    value("container", Value::Text(b"web-1"));
    value("depth", Value::Unsigned(0));
    value("data", Value::Bytes(b"abc"));
    let filter = Filter::plan("container==web-1,depth<1", schema.columns()).unwrap();
    assert!(filter.keeps(packet.bytes(), &mut Scratch::default()));
    assert_eq!(schema.source().field("depth").unwrap().offset, 20);
}

/// Scenario: a name that is taken, named twice, a size that is not that of its kind, a field that is too late, one that
/// is not there, and a write to the kernel's own bytes.
/// Guarantees: each is refused by name, and the layout stays as it was.
#[test]
fn what_does_not_fit_is_refused() {
    let mut schema = schema();
    for taken in ["pid", "data"] {
        let error = schema.add_field(taken, FieldKind::Uint8, 1, &[]).unwrap_err().to_string();
        assert_eq!(error, format!("data source `events`: field `{taken}` already exists"));
    }
    let slot = schema.add_field("twice", FieldKind::Uint8, 1, &[]).unwrap();
    assert!(matches!(schema.add_field("twice", FieldKind::Uint8, 1, &[]), Err(SchemaError::Clash(_))));
    for (kind, size) in [(FieldKind::Uint32, 3), (FieldKind::CString, 0), (FieldKind::Bytes, 1 << 20)] {
        assert!(
            matches!(schema.add_field("odd", kind, size, &[]), Err(SchemaError::Size { .. })),
            "{kind:?}"
        );
    }
    assert_eq!(schema.layout().added_size(), 1);
    assert!(schema.rewrite("pdi").unwrap_err().to_string().contains("did you mean `pid`"));
    schema.seal();
    assert!(matches!(schema.add_field("late", FieldKind::Uint8, 1, &[]), Err(SchemaError::Sealed { .. })));
    assert!(!Packet::borrowed(&[0; 20]).write(slot, b"x"));
}

/// Scenario: schemas of one data source with and without an added field.
/// Guarantees: what was compiled against one is not used with the other.
#[test]
fn schemas_tell_whether_they_read_alike() {
    let (plain, mut added) = (schema(), schema());
    assert!(plain.reads_like(&schema()));
    added.add_field("depth", FieldKind::Uint16, 2, &[]).unwrap();
    assert!(!plain.reads_like(&added) && !added.reads_like(&plain));
}
