//! What the records of a data source look like to everything behind its reader.

use std::{collections::BTreeMap, ops::Range};

use ig_datasource::{DataSource, Field};
use ig_model::FieldKind;

use crate::column::{Column, ColumnClash, Columns, FormatContext, NumberForm, Render};

/// Most bytes of a record that operators may add: a record is copied with them.
const MAX_ADDED: usize = 64 << 10;

/// A data source, its columns, and the layout of what operators add to its records.
///
/// Operators extend it one after the other; then it is sealed, and filters, labels, sort keys and sinks take their
/// offsets from it.
#[derive(Clone, Debug)]
pub struct SourceSchema {
    source: DataSource,
    columns: Columns,
    layout: RecordLayout,
    sealed: bool,
}

/// How a record of the kernel becomes a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLayout {
    /// Bytes of the fixed part as the kernel writes it.
    kernel: usize,
    /// Bytes of added fields behind it.
    added: usize,
    /// Whether stages write to the record, so that it must be copied.
    copied: bool,
}

/// The place of a field that a stage writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    start: usize,
    len: usize,
}

/// A field that cannot be added.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// Its name is taken.
    #[error(transparent)]
    Clash(#[from] ColumnClash),
    /// Offsets are in use already.
    #[error("field `{field}` is added after the layout of data source `{source_name}` was settled")]
    Sealed {
        /// Name of the data source.
        source_name: String,
        /// Name of the field.
        field: String,
    },
    /// It has no bytes, not those of its kind, or too many.
    #[error("field `{field}` of kind {kind:?} cannot have {size} bytes")]
    Size {
        /// Name of the field.
        field: String,
        /// Its kind.
        kind: FieldKind,
        /// The bytes asked for.
        size: usize,
    },
    /// There is no field of this name to rewrite.
    #[error("{0}")]
    Unknown(String),
}

impl SourceSchema {
    /// The schema of `source` with its fields and what formatters make of them.
    pub fn new(source: DataSource, format: &FormatContext) -> Self {
        let columns = Columns::plan(&source, format);
        let layout = RecordLayout { kernel: source.record_size, added: 0, copied: false };
        Self { source, columns, layout, sealed: false }
    }

    /// The data source, with the fields that operators added.
    pub fn source(&self) -> &DataSource {
        &self.source
    }

    /// Name of the data source.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// Everything of a packet that has a name.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The columns, to add some that are made of other fields.
    pub fn columns_mut(&mut self) -> &mut Columns {
        &mut self.columns
    }

    /// Data source and columns at once, for operators that read one and add to the other.
    pub fn parts_mut(&mut self) -> (&DataSource, &mut Columns) {
        (&self.source, &mut self.columns)
    }

    /// How records become packets.
    pub fn layout(&self) -> RecordLayout {
        self.layout
    }

    /// Adds a field of `size` bytes that a stage fills; it is zeros until then.
    ///
    /// # Errors
    /// The name is taken, the size does not fit the kind, or the layout is settled.
    pub fn add_field(
        &mut self,
        name: &str,
        kind: FieldKind,
        size: usize,
        annotations: &[(&str, &str)],
    ) -> Result<Slot, SchemaError> {
        self.check_open(name)?;
        let render = match kind {
            FieldKind::CString | FieldKind::String => Render::CString,
            FieldKind::Bytes | FieldKind::Invalid => Render::Hex,
            FieldKind::Array(scalar) => Render::Array(scalar),
            _ => Render::Number(NumberForm::Plain(kind)),
        };
        let fits = match (&render, kind) {
            (Render::Number(form), _) => form.read(&vec![0; size.min(16)]).is_some() && size <= 16,
            (_, FieldKind::Array(scalar)) => size > 0 && size.is_multiple_of(scalar.size().max(1)),
            _ => size > 0,
        };
        if !fits || self.layout.added.saturating_add(size) > MAX_ADDED {
            return Err(SchemaError::Size { field: name.to_owned(), kind, size });
        }
        let slot = Slot { start: self.layout.kernel + self.layout.added, len: size };
        let order = i32::try_from(self.source.fields.len()).unwrap_or(Column::LAST);
        let column = Column { order, ..Column::new(name, vec![slot.range()], render) }.annotated(annotations);
        self.columns.push(column)?;
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.source.fields.push(Field {
            annotations: annotations.iter().map(owned).collect::<BTreeMap<_, _>>(),
            ..Field::new(name, kind, slot.start, size)
        });
        self.source.record_size += size;
        if let Some(rest) = &mut self.source.rest {
            rest.start += size;
        }
        self.columns.move_rest(size);
        self.layout.added += size;
        self.layout.copied = true;
        Ok(slot)
    }

    /// Lets a stage write to a field that the record has.
    ///
    /// # Errors
    /// There is no such field, or the layout is settled.
    pub fn rewrite(&mut self, name: &str) -> Result<Slot, SchemaError> {
        self.check_open(name)?;
        let Some(field) = self.source.field(name) else {
            return Err(SchemaError::Unknown(self.columns.unknown(name)));
        };
        self.layout.copied = true;
        Ok(Slot { start: field.offset, len: field.size })
    }

    /// Settles the layout: from now on offsets count.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    /// Whether what was compiled against one reads the other as well.
    pub fn reads_like(&self, other: &Self) -> bool {
        let places = |schema: &Self| -> Vec<(String, Vec<Range<usize>>)> {
            schema.columns.iter().map(|column| (column.name.clone(), column.inputs.clone())).collect()
        };
        self.layout == other.layout && self.source.rest == other.source.rest && places(self) == places(other)
    }

    fn check_open(&self, field: &str) -> Result<(), SchemaError> {
        if self.sealed {
            return Err(SchemaError::Sealed {
                source_name: self.source.name.clone(),
                field: field.to_owned(),
            });
        }
        Ok(())
    }
}

impl RecordLayout {
    /// Bytes of the fixed part as the kernel writes it.
    pub fn kernel_size(self) -> usize {
        self.kernel
    }

    /// Bytes that operators add behind it.
    pub fn added_size(self) -> usize {
        self.added
    }

    /// Whether packets are copies that stages write to.
    pub fn is_copied(self) -> bool {
        self.copied
    }

    /// Makes the packet of a record that has at least the fixed part.
    pub fn assemble(self, record: &[u8], packet: &mut Vec<u8>) {
        let (fixed, rest) = record.split_at_checked(self.kernel).unwrap_or((record, &[]));
        packet.clear();
        packet.extend_from_slice(fixed);
        packet.resize(self.kernel + self.added, 0);
        packet.extend_from_slice(rest);
    }
}

impl Slot {
    /// Its bytes in a packet.
    pub fn range(self) -> Range<usize> {
        self.start..self.start + self.len
    }
}

#[cfg(test)]
mod tests;
