//! Annotations that make metrics of fields: what the exporter would refuse, said before there is an image.

use ig_config::yaml::{Entry, Node};
use ig_datasource::Field;
use ig_model::FieldKind;

use super::{Review, lint::Context, path};

/// Most boundaries of a histogram.
const MAX_BOUNDARIES: usize = 512;

pub(super) fn check(
    context: &Context<'_>,
    annotations: &Node,
    way: &str,
    field: Option<&Field>,
    review: &mut Review,
) {
    let flat = path::flatten(annotations);
    let get =
        |key: &str| flat.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, entry)| *entry);
    let fault = |entry: &Entry, key: &str, problem: &str| {
        let fault = context.document.source.fault(entry.value.span, format!("{way}.{key}"), problem);
        fault.value(path::text(&entry.value).unwrap_or_default())
    };
    if let Some(entry) = get("metrics.type")
        && let (Some(kind), Some(field)) = (path::text(&entry.value), field)
        && let Some(expected) = mismatch(kind, field.kind)
    {
        let fault = fault(entry, "metrics.type", "the field cannot be this part of a metric");
        review.errors.push(fault.expected(expected));
    }
    if let Some(entry) = get("metrics.boundaries")
        && let Err(expected) = boundaries(path::text(&entry.value).unwrap_or_default())
    {
        review.errors.push(fault(entry, "metrics.boundaries", "bad boundaries").expected(expected));
    }
    if let Some(entry) = get("metrics.scale") {
        let scale = path::text(&entry.value).and_then(|text| text.trim().parse::<f64>().ok());
        if scale.is_none_or(|scale| !scale.is_finite() || scale <= 0.0) {
            let fault = fault(entry, "metrics.scale", "bad scale");
            review.errors.push(fault.expected("a number greater than zero"));
        }
    }
}

/// What would be right where a field of `kind` cannot play the role.
fn mismatch(role: &str, kind: FieldKind) -> Option<&'static str> {
    let number = kind.is_integer() || matches!(kind, FieldKind::Float32 | FieldKind::Float64);
    match role {
        "counter" | "gauge" if !number => Some("a number as the field"),
        "histogram" if !number && !matches!(kind, FieldKind::Array(_)) => {
            Some("a number or an array of numbers as the field")
        }
        "key" if matches!(kind, FieldKind::Array(_) | FieldKind::Invalid) => {
            Some("a single value as the field")
        }
        _ => None,
    }
}

/// Finite numbers, each greater than the one before.
fn boundaries(text: &str) -> Result<(), String> {
    let mut last = f64::NEG_INFINITY;
    for (index, part) in text.split(',').enumerate() {
        let part = part.trim();
        let number: f64 = part.parse().map_err(|_not_a_number| "numbers joined by commas".to_owned())?;
        if !number.is_finite() {
            return Err("finite numbers; the last bucket has no bound anyway".to_owned());
        }
        if number <= last {
            return Err(format!("rising numbers, {number} follows {last}"));
        }
        if index >= MAX_BOUNDARIES {
            return Err(format!("at most {MAX_BOUNDARIES} numbers"));
        }
        last = number;
    }
    Ok(())
}
