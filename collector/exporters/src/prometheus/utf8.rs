//! Names as gadgets write them, for readers that ask for `escaping=allow-utf-8`: in quotes, with unit and suffix.
//!
//! Units have no line of their own in this form: readers compare it with the name before they take off the quotes, and
//! give the whole page up.
//!
//! # Source
//! OpenMetrics 1.0 as Prometheus extends it: a quoted name stands first between the braces.

use std::collections::HashMap;

use ig_model::InstrumentKind;
use ig_model::names::{FamilyName, family};
use ig_series::{Directory, Family, LabelPlan, Member, escape};

use super::names;

/// The families of a directory under names that are not escaped. What is one family when it is escaped may be several.
pub(super) fn families(directory: &Directory) -> Vec<Family> {
    let mut out: Vec<Family> = Vec::with_capacity(directory.families.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for family in &directory.families {
        for Member { table, instrument } in &family.members {
            let spec = table.instruments().get(*instrument);
            let unescaped = spec.map(|spec| metric(&spec.name, &spec.unit, spec.kind));
            let mut name = unescaped.unwrap_or_else(|| family.name.clone());
            let known = places.get(&name).and_then(|place| out.get(*place));
            // Never two blocks of one name.
            if known.is_some_and(|known| known.kind != family.kind) {
                name.clone_from(&family.name);
            }
            let place = *places.entry(name.clone()).or_insert_with(|| {
                out.push(Family { name, kind: family.kind, unit: None, members: Vec::new() });
                out.len() - 1
            });
            if let Some(family) = out.get_mut(place) {
                family.members.push(Member { table: table.clone(), instrument: *instrument });
            }
        }
    }
    out
}

/// The name of a metric as it is written, with what the rules for names put behind it. Where they change more than
/// that, the name that they make.
fn metric(name: &str, unit: &str, kind: InstrumentKind) -> String {
    let FamilyName { full, .. } = family(name, unit, kind);
    let special = match kind {
        InstrumentKind::Counter => "total",
        InstrumentKind::Gauge if unit == "1" => "ratio",
        InstrumentKind::Gauge | InstrumentKind::Histogram => "",
    };
    let base = name.strip_suffix(special).filter(|_| !special.is_empty());
    let base = base.map_or(name, |base| base.trim_end_matches(['_', '.']));
    let stem = family(base, "", InstrumentKind::Histogram).full;
    match full.strip_prefix(&stem) {
        Some(rest) if !base.is_empty() && (rest.is_empty() || rest.starts_with('_')) => {
            format!("{base}{rest}")
        }
        _ => full,
    }
}

/// Whether a name needs no quotes. A label's has no colon either.
fn is_plain(name: &str, colon: char) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == colon)
}

/// A metric's name with a suffix, in quotes if it needs them.
pub(super) fn quoted(name: &str, suffix: &str) -> String {
    let whole = format!("{name}{suffix}");
    if is_plain(name, ':') { whole } else { in_quotes(&whole) }
}

/// The name of a label, in quotes if it needs them.
pub(super) fn quoted_label(name: &str) -> String {
    if is_plain(name, '_') { name.to_owned() } else { in_quotes(name) }
}

fn in_quotes(name: &str) -> String {
    let mut text = b"\"".to_vec();
    escape(name, &mut text);
    text.push(b'"');
    String::from_utf8_lossy(&text).into_owned()
}

/// A sample's name as far as its first label: `name{` or `{"name",`.
pub(super) fn opening(name: &str, suffix: &str) -> Vec<u8> {
    let text = quoted(name, suffix);
    let text = if text.starts_with('"') { format!("{{{text},") } else { format!("{text}{{") };
    text.into_bytes()
}

/// The labels of a table under names that are not escaped.
#[derive(Debug)]
pub(super) struct LabelNames {
    /// Name as the gadget writes it, and `name="` as the page does.
    openings: Vec<(String, Vec<u8>)>,
}

impl LabelNames {
    /// `None` if the labels look the same with underscores, or could not be told apart without.
    pub(super) fn new(plan: &LabelPlan, has_histograms: bool) -> Option<Self> {
        let mut openings: Vec<(String, Vec<u8>)> = Vec::with_capacity(plan.specs().len());
        let mut differs = false;
        for spec in plan.specs() {
            let escaped = names::label(&spec.name, has_histograms);
            // Names that the page needs are moved out of the way in this form too.
            let name =
                if escaped.starts_with("exported_") || spec.name.is_empty() { &escaped } else { &spec.name };
            differs |= *name != escaped;
            let mut opening = quoted_label(name).into_bytes();
            opening.extend_from_slice(b"=\"");
            if openings.iter().any(|(_, known)| *known == opening) {
                return None;
            }
            openings.push((spec.name.clone(), opening));
        }
        differs.then_some(Self { openings })
    }

    /// The labels of a row with this text, made in `out`.
    pub(super) fn labels<'a>(&self, plan: &LabelPlan, text: &[u8], out: &'a mut Vec<u8>) -> &'a [u8] {
        out.clear();
        plan.read_back(text, |spec, value| {
            if value.is_empty() {
                return;
            }
            if let Some((_, opening)) = self.openings.iter().find(|(name, _)| *name == spec.name) {
                out.extend_from_slice(opening);
                escape(value, out);
                out.extend_from_slice(b"\",");
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: names that are not escaped have the same words at their end as those that are.
    #[test]
    fn unescaped_names_keep_their_dots() {
        use InstrumentKind::{Counter, Gauge, Histogram};
        for (name, unit, kind, expected) in [
            ("proc.opens", "", Counter, "proc.opens_total"),
            ("proc.opens.total", "", Counter, "proc.opens_total"),
            ("opens", "", Counter, "opens_total"),
            ("subtotal", "", Counter, "subtotal_total"),
            ("total.executions", "", Counter, "executions_total"),
            ("io.bytes", "By", Counter, "io.bytes_total"),
            ("open.latency", "s", Histogram, "open.latency_seconds"),
            ("cpu.used", "1", Gauge, "cpu.used_ratio"),
            ("io.rate", "By/s", Gauge, "io.rate_bytes_per_second"),
        ] {
            assert_eq!(metric(name, unit, kind), expected, "{name} in {unit}");
        }
    }
}
