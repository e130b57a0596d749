//! OTLP attributes of rows, encoded once and kept for as long as the exporter and the row live.

use std::collections::{HashMap, HashSet};

use ig_series::{Arena, LabelKind, LabelPlan, Retired, RowView, Span};

use super::wire;

/// Field number of `attributes` in a number data point.
pub(super) const IN_NUMBER_POINT: u64 = 7;
/// Field number of `attributes` in a histogram data point.
pub(super) const IN_HISTOGRAM_POINT: u64 = 9;

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
            Some((born, span)) if *born == row.id.born && *span != Span::default() => self.arena.get(*span),
            _ => self.encode(row, labels),
        }
    }

    fn encode(&mut self, row: &RowView<'_>, labels: &LabelPlan) -> &[u8] {
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        if row.overflow {
            let mut value = Vec::new();
            wire::integer(&mut value, 2, 1);
            attribute(&mut encoded, "otel.metric.overflow", &value);
        } else {
            labels.read_back(row.text, |spec, text| {
                attribute(&mut encoded, &spec.name, &any_value(spec.kind, text));
            });
        }
        if self.rows.len() <= row.id.position {
            self.rows.resize(row.id.position + 1, (0, Span::default()));
        }
        let span = self.arena.push(&encoded).unwrap_or_default();
        if let Some(slot) = self.rows.get_mut(row.id.position) {
            self.arena.release(slot.1);
            *slot = (row.id.born, span);
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
            *slot = (0, Span::default());
        }
        self.compact();
    }

    fn compact(&mut self) {
        if self.arena.wants_compaction() {
            self.arena.compact(self.rows.iter_mut().map(|(_, span)| span));
        }
    }
}

/// Appends one attribute, field 7, with the encoded `AnyValue`.
fn attribute(out: &mut Vec<u8>, key: &str, value: &[u8]) {
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
        // Written even when empty: an absent value would mean none at all.
        wire::head(&mut out, 1, text.len());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// Appends attributes as they stand in a histogram data point: the same bytes under another field number.
pub(super) fn extend_for_histogram(out: &mut Vec<u8>, encoded: &[u8]) {
    let mut rest = encoded;
    while let Some((len, used)) = read_varint(rest.get(1..).unwrap_or_default()) {
        let end = 1 + used + len;
        let Some(body) = rest.get(1 + used..end) else { return };
        wire::bytes(out, IN_HISTOGRAM_POINT, body);
        rest = rest.get(end..).unwrap_or_default();
    }
}

fn read_varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}
