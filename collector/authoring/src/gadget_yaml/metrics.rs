//! Annotations that make metrics of fields: what the exporter would refuse, said before there is an image.

use ig_config::yaml::{Entry, Node};
use ig_datasource::{DataSource, Discovered, Field};
use ig_model::{
    FieldKind, InstrumentKind, Position,
    instrument::scale_fault,
    names::{Claims, Exposed},
};

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
        let kind = get("metrics.type").and_then(|entry| kind_of(path::text(&entry.value)?));
        let problem = match scale {
            None => Some("expected a number"),
            // Without a type the field's own decides, which is none of a gauge more often than not.
            Some(scale) => scale_fault(kind.unwrap_or(InstrumentKind::Counter), scale),
        };
        if let Some(problem) = problem {
            review.errors.push(fault(entry, "metrics.scale", &format!("bad scale: {problem}")));
        }
    }
}

fn kind_of(role: &str) -> Option<InstrumentKind> {
    InstrumentKind::ALL.into_iter().find(|kind| kind.name() == role)
}

/// Finds metrics of which an exporter would lose one, because it shows both under one name. All data sources of a gadget
/// are in one scope unless whoever runs it says otherwise.
pub(super) fn clashes(context: &Context<'_>, review: &mut Review) {
    let source = &context.document.source;
    let mut claims: Claims<Position> = Claims::default();
    for entry in path::entries(&context.document.root, &["datasources"]) {
        let flat = path::find(&entry.value, &["annotations"]).map(path::flatten).unwrap_or_default();
        let get = |key: &str| flat.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
        if get("metrics.collect").and_then(|(_, entry)| path::text(&entry.value)) != Some("true") {
            continue;
        }
        let counter = get("metrics.implicit-counter.name").map(|(_, entry)| *entry);
        let mut named: Vec<(String, String, InstrumentKind, &Entry)> = Vec::new();
        if let Some(entry) = counter
            && let Some(name) = path::text(&entry.value)
        {
            named.push((name.to_owned(), String::new(), InstrumentKind::Counter, entry));
        }
        let known = |found: &Discovered| found.sources.iter().find(|known| known.name == entry.key).cloned();
        let known = context.found.and_then(known);
        if let Some(fields) = path::find(&entry.value, &["fields"]) {
            let fields = path::fields(fields);
            named.extend(fields.into_iter().filter_map(|(name, field)| metric(&name, field, known.as_ref())));
        }
        for (name, unit, kind, at) in named {
            let exposed = Exposed { name: &name, unit: &unit, kind, scope: "" };
            let Err(clash) = claims.claim(exposed, source.position(at.key_span)) else { continue };
            let way = format!("datasources.{}", entry.key);
            let fault = source.fault(at.key_span, way, format!("metric `{name}` {}", clash.reason));
            review.errors.push(match clash.other {
                Some(other) => fault.other(other).hint("give one of them another `metrics.name`"),
                None => fault.hint("give it another `metrics.name`"),
            });
        }
    }
}

/// The metric that a field is: its name, unit and kind, and where it is described.
fn metric<'n>(
    name: &str,
    field: &'n Entry,
    source: Option<&DataSource>,
) -> Option<(String, String, InstrumentKind, &'n Entry)> {
    let flat = path::find(&field.value, &["annotations"]).map(path::flatten).unwrap_or_default();
    let get = |key: &str| {
        let (_, entry) = flat.iter().find(|(known, _)| known.eq_ignore_ascii_case(key))?;
        path::text(&entry.value)
    };
    let types = || source.and_then(|source| source.field(name)).map(|field| field.types.as_slice());
    let implied = |stem: &str| types().unwrap_or_default().iter().any(|known| known.starts_with(stem));
    let kind = match get("metrics.type") {
        Some(role) => kind_of(role)?,
        None if implied("gadget_histogram_slot__") => InstrumentKind::Histogram,
        None if implied("gadget_counter__") => InstrumentKind::Counter,
        None if implied("gadget_gauge__") => InstrumentKind::Gauge,
        None => return None,
    };
    let text = |key: &str| get(key).map(str::to_owned);
    Some((
        text("metrics.name").unwrap_or_else(|| name.to_owned()),
        text("metrics.unit").unwrap_or_default(),
        kind,
        field,
    ))
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
