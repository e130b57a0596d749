//! Layouts of statistics records: fields one behind the other, in the order in which records are written.

use std::ops::Range;

use ig_datasource::{DataSource, Field, Origin, SourceKind};
use ig_model::FieldKind;

/// A field of a layout.
pub(super) struct Spec {
    pub(super) name: &'static str,
    kind: FieldKind,
    size: usize,
    types: &'static [&'static str],
    annotations: &'static [(&'static str, &'static str)],
}

type Annotations = &'static [(&'static str, &'static str)];

impl Spec {
    /// A number.
    pub(super) const fn number(name: &'static str, kind: FieldKind, annotations: Annotations) -> Self {
        Self { name, kind, size: size_of_kind(kind), types: &[], annotations }
    }

    /// A number of a type that a formatter knows.
    pub(super) const fn typed(
        name: &'static str,
        types: &'static [&'static str],
        annotations: Annotations,
    ) -> Self {
        Self { name, kind: FieldKind::Uint64, size: 8, types, annotations }
    }

    /// Text of at most `size` bytes.
    pub(super) const fn text(name: &'static str, size: usize, annotations: Annotations) -> Self {
        Self { name, kind: FieldKind::CString, size, types: &[], annotations }
    }
}

const fn size_of_kind(kind: FieldKind) -> usize {
    match kind {
        FieldKind::Bool | FieldKind::Int8 | FieldKind::Uint8 => 1,
        FieldKind::Int16 | FieldKind::Uint16 => 2,
        FieldKind::Int32 | FieldKind::Uint32 | FieldKind::Float32 => 4,
        _ => 8,
    }
}

/// The data source `name` of `operator` with those of `specs` that are `shown`.
pub(super) fn source(name: &str, operator: &str, specs: &[Spec], shown: impl Fn(&str) -> bool) -> DataSource {
    let origin = Origin::Operator { operator: operator.to_owned() };
    let mut source = DataSource::new(name, SourceKind::Array, origin, 0);
    for spec in specs {
        if shown(spec.name) {
            let own = spec.annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            source.fields.push(Field {
                types: spec.types.iter().map(|name| (*name).to_owned()).collect(),
                annotations: own.collect(),
                ..Field::new(spec.name, spec.kind, source.record_size, spec.size)
            });
        }
        source.record_size += spec.size;
    }
    source
}

/// Where the field `name` is in a record.
pub(super) fn place(specs: &[Spec], name: &str) -> Range<usize> {
    let start = specs.iter().take_while(|spec| spec.name != name).map(|spec| spec.size).sum();
    start..start + specs.iter().find(|spec| spec.name == name).map_or(0, |spec| spec.size)
}

/// Writes a record field by field.
pub(super) struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// A writer of one record to `out`, which is emptied.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        Self(out)
    }

    /// Appends the bytes of a number.
    pub(super) fn number<const N: usize>(&mut self, bytes: [u8; N]) -> &mut Self {
        self.0.extend_from_slice(&bytes);
        self
    }

    /// Appends text, cut to `size` and filled up with zeros.
    pub(super) fn text(&mut self, text: &[u8], size: usize) -> &mut Self {
        let end = self.0.len() + size;
        self.0.extend_from_slice(text.get(..size).unwrap_or(text));
        self.0.resize(end, 0);
        self
    }
}
