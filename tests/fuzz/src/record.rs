//! Records of any bytes, read by columns of any layout.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use ig_datasource::{Bits, DataSource, Enumerators, Field, Origin, Rest, SourceKind};
use ig_model::{BootClock, FieldKind, Losses, kind::Scalar};
use ig_operators::filter::Scratch;
use ig_operators::format::Accounts;
use ig_operators::{
    Arrange, Batch, Columns, Filter, FormatContext, Limit, Outlets, Packet, Sink, SinkLedger, Sort, Stages,
    Step, Value, ValueKind, ValueScratch,
};

const KINDS: [FieldKind; 18] = [
    FieldKind::Invalid,
    FieldKind::Bool,
    FieldKind::Int8,
    FieldKind::Int16,
    FieldKind::Int32,
    FieldKind::Int64,
    FieldKind::Uint8,
    FieldKind::Uint16,
    FieldKind::Uint32,
    FieldKind::Uint64,
    FieldKind::Float32,
    FieldKind::Float64,
    FieldKind::String,
    FieldKind::CString,
    FieldKind::Bytes,
    FieldKind::Array(Scalar::Bool),
    FieldKind::Array(Scalar::Int(2)),
    FieldKind::Array(Scalar::Float(8)),
];
const TYPES: [&str; 16] = [
    "",
    "gadget_errno",
    "gadget_signal",
    "gadget_syscall",
    "gadget_timestamp",
    "gadget_bytes",
    "gadget_duration",
    "gadget_file_mode",
    "gadget_file_flags",
    "gadget_uid",
    "gadget_gid",
    "gadget_l3endpoint_t",
    "gadget_l4endpoint_t",
    "gadget_ip_addr_t",
    "e",
    "e_set",
];
const NAMES: [&str; 8] = ["a", "a_raw", "b_raw", "addr_raw", "version", "port", "proto_raw", "rest"];
/// Bytes that describe a field.
const FIELD: usize = 6;

/// Takes one byte; what is not there is zero.
fn byte(bytes: &mut &[u8]) -> u8 {
    let Some((first, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    *first
}

fn pick<T: Copy>(list: &[T], at: u8) -> Option<T> {
    list.get(usize::from(at) % list.len()).copied()
}

fn field(described: &[u8], index: usize) -> Option<Field> {
    let [what, class, offset, size, parent, bits] = *described else { return None };
    let (name, type_name) = (pick(&NAMES, what >> 5)?, pick(&TYPES, class)?);
    let variants = vec![("zero".to_owned(), 0), ("odd".to_owned(), 1), ("top".to_owned(), 1 << 63)];
    Some(Field {
        full_name: format!("{name}{index}"),
        parent: (parent & 1 == 1).then_some(usize::from(parent >> 1) % 16),
        types: vec![type_name.to_owned()],
        bits: (bits & 1 == 1).then_some(Bits { shift: bits >> 1 & 7, len: bits >> 4 | 1 }),
        enumerators: type_name
            .starts_with('e')
            .then(|| Arc::new(Enumerators { name: type_name.to_owned(), variants })),
        ..Field::new(name, pick(&KINDS, what & 31)?, offset.into(), usize::from(size % 40))
    })
}

/// Looks at what comes through.
#[derive(Debug)]
struct Seen(Arc<SinkLedger>);

impl Sink for Seen {
    fn take(&mut self, batch: &Batch) {
        black_box(batch.iter().map(<[u8]>::len).sum::<usize>());
    }

    fn ledger(&self) -> &Arc<SinkLedger> {
        &self.0
    }
}

/// A count, fields, a line of text that serves as rule and as sort keys, and a record.
pub(crate) fn record(mut bytes: &[u8]) {
    let count = usize::from(byte(&mut bytes) % 16);
    let len = byte(&mut bytes);
    let (described, rest) = bytes.split_at(bytes.len().min(count * FIELD));
    let (text, record) = rest.split_at(rest.len().min(usize::from(len)));
    let origin = Origin::Tracer { map: "events".to_owned() };
    let source = DataSource {
        fields: described.chunks(FIELD).enumerate().filter_map(|(index, one)| field(one, index)).collect(),
        rest: (len & 1 == 1).then(|| Rest { name: "trailing".to_owned(), start: 64, len: Some(8..10) }),
        ..DataSource::new("fuzz", SourceKind::Array, origin, 64)
    };
    let accounts = Arc::new(Accounts::in_root(Path::new("/nonexistent")));
    let columns = Columns::plan(&source, &FormatContext { clock: BootClock::with_offset(1), accounts });
    let mut scratch = ValueScratch::default();
    for column in columns.iter() {
        let kind = column.value_kind();
        let fits = match column.value(record, &mut scratch) {
            Value::None => true,
            Value::Bool(_) => kind == ValueKind::Bool,
            Value::Unsigned(_) => kind == ValueKind::Unsigned,
            Value::Signed(_) => kind == ValueKind::Signed,
            Value::Float(_) => kind == ValueKind::Float,
            Value::Text(_) => kind == ValueKind::Text,
            Value::Bytes(_) => kind == ValueKind::Bytes,
            Value::Array(array) => {
                let scalar = array.scalar();
                black_box(array.count());
                kind == ValueKind::Array(scalar)
            }
        };
        assert!(fits, "{} has the kind that was announced", column.name);
        let (mut input, mut text) = (Vec::new(), String::new());
        column.copy_input(record, &mut input);
        column.text(&input, &mut text);
    }
    black_box((columns.visible().count(), source.is_decodable(record)));
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(filter) = Filter::plan(text, &columns) {
        black_box(filter.keeps(record, &mut Scratch::default()));
    }
    if let Ok(sort) = Sort::plan(text, &columns) {
        let arrange = Arrange::new(sort, Some(Limit { most: 3 }));
        let mut stages = Stages::new(vec![Step::Stage(Box::new(arrange))]);
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(Seen(SinkLedger::new("seen")))];
        let (mut outlets, mut lost) = (Outlets::new(Vec::new(), sinks), Losses::default());
        stages.begin(&mut outlets, &mut lost);
        for record in record.chunks(16) {
            stages.packet(&mut Packet::borrowed(record), &mut outlets, &mut lost);
        }
        stages.end(&mut outlets, &mut lost);
        assert_eq!(outlets.take_delivered() + lost.total(), record.chunks(16).count() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a seed with an endpoint, a time stamp and a filter.
    /// Guarantees: the target reaches what it is meant to reach.
    #[test]
    fn the_seed_is_understood() {
        record(include_bytes!("../corpus/record/endpoint"));
        let described = [0b0111_1110, 13, 0, 16, 1, 0];
        let field = field(&described, 1).unwrap();
        assert_eq!((field.name.as_str(), field.kind, field.parent), ("addr_raw", FieldKind::String, Some(0)));
    }
}
