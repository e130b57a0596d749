//! OTLP attributes of rows, encoded once and kept for as long as the exporter and the row live.

use std::collections::{HashMap, HashSet};

use ig_series::{Arena, LabelKind, LabelPlan, Retired, RowId, RowView, Span};

use super::wire;

/// Field number of `attributes` in a number data point.
pub(super) const IN_NUMBER_POINT: u64 = 7;
/// Field number of `attributes` in a histogram data point.
pub(super) const IN_HISTOGRAM_POINT: u64 = 9;

/// Beside the attributes of no row: no row is born so late.
const NO_ROW: (u64, Span) = (u64::MAX, Span::NOWHERE);

/// Encoded attributes of every table, by table id.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    tables: HashMap<u64, AttributeCache>,
}

impl Attributes {
    /// Those of one table.
    pub(super) fn of_table(&mut self, table: u64) -> &mut AttributeCache {
        self.tables.entry(table).or_default()
    }

    /// Whether a row of a table has been written.
    pub(super) fn has_written(&self, table: u64, row: RowId) -> bool {
        self.tables.get(&table).is_some_and(|cache| cache.has_written(row))
    }

    /// Forgets a row that has ended.
    pub(super) fn forget(&mut self, row: &Retired) {
        if let Some(cache) = self.tables.get_mut(&row.table) {
            cache.forget(row);
        }
    }

    /// Bytes held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.tables.values().map(|cache| cache.arena.capacity()).sum()
    }

    /// Forgets every table not in `kept`.
    pub(super) fn retain(&mut self, kept: &HashSet<u64>) {
        self.tables.retain(|table, _| kept.contains(table));
    }
}

/// Encoded attributes by row, as they stand in a number data point.
#[derive(Debug, Default)]
pub(super) struct AttributeCache {
    /// Birth of the row they belong to, and where they are.
    rows: Vec<(u64, Span)>,
    arena: Arena,
    scratch: Vec<u8>,
}

impl AttributeCache {
    /// The attributes of `row`, encoded now if they are not known.
    #[inline]
    pub(super) fn of(&mut self, row: &RowView<'_>, labels: &LabelPlan) -> &[u8] {
        match self.rows.get(row.id.position) {
            Some((born, span)) if *born == row.id.born => self.arena.get(*span),
            _ => self.encode(row, labels),
        }
    }

    /// Whether the row has been asked for.
    pub(super) fn has_written(&self, row: RowId) -> bool {
        self.rows.get(row.position).is_some_and(|(born, _)| *born == row.born)
    }

    fn encode(&mut self, row: &RowView<'_>, labels: &LabelPlan) -> &[u8] {
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        of_labels(&mut encoded, row.text, row.overflow, labels);
        if self.rows.len() <= row.id.position {
            self.rows.resize(row.id.position + 1, NO_ROW);
        }
        let span = self.arena.push(&encoded);
        if let Some(slot) = self.rows.get_mut(row.id.position) {
            self.arena.release(slot.1);
            *slot = span.map_or(NO_ROW, |span| (row.id.born, span));
        }
        self.compact();
        self.scratch = encoded;
        &self.scratch
    }

    fn forget(&mut self, row: &Retired) {
        if let Some(slot) = self.rows.get_mut(row.row.position)
            && slot.0 == row.row.born
        {
            self.arena.release(slot.1);
            *slot = NO_ROW;
        }
        self.compact();
    }

    fn compact(&mut self) {
        if self.arena.wants_compaction() {
            self.arena.compact(self.rows.iter_mut().map(|(_, span)| span));
        }
    }
}

/// Appends the attributes of a row with this label text. Labels without a value are none, as in a scrape.
pub(super) fn of_labels(out: &mut Vec<u8>, text: &[u8], overflow: bool, labels: &LabelPlan) {
    if overflow {
        let mut value = Vec::new();
        wire::integer(&mut value, 2, 1);
        attribute(out, "otel.metric.overflow", &value);
        return;
    }
    labels.read_back(text, |spec, text| {
        if !text.is_empty() {
            attribute(out, &spec.name, &any_value(spec.kind, text));
        }
    });
}

/// Appends one attribute, field 7, with the encoded `AnyValue`.
pub(super) fn attribute(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let key_len = if key.is_empty() { 0 } else { wire::len_field(1, key.len()) };
    wire::head(out, IN_NUMBER_POINT, key_len + wire::len_field(2, value.len()));
    wire::bytes(out, 1, key.as_bytes());
    wire::head(out, 2, value.len());
    out.extend_from_slice(value);
}

/// An `AnyValue` of the label's type; text that does not read as that type stays text.
pub(super) fn any_value(kind: LabelKind, text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    match kind {
        LabelKind::Bool => {
            if let Ok(value) = text.parse::<bool>() {
                wire::integer(&mut out, 2, u64::from(value));
            }
        }
        LabelKind::Int => {
            if let Ok(value) = text.parse::<i64>() {
                wire::integer(&mut out, 3, value.cast_unsigned());
            }
        }
        LabelKind::Float => {
            if let Ok(value) = text.parse::<f64>() {
                wire::fixed64(&mut out, 4, value.to_bits());
            }
        }
        LabelKind::Str => {}
    }
    if out.is_empty() {
        wire::bytes(&mut out, 1, text.as_bytes());
    }
    out
}

/// Appends attributes as they stand in a histogram data point: the same bytes under another field number.
pub(super) fn extend_for_histogram(out: &mut Vec<u8>, encoded: &[u8]) {
    for field in wire::fields(encoded) {
        wire::bytes(out, IN_HISTOGRAM_POINT, field.body);
    }
}
