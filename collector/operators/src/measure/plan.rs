//! Planning: from annotations or configured metrics to label columns and instruments.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use ig_datasource::{DataSource, Field, SourceKind};
use ig_model::{
    FieldKind, InstrumentKind, Position,
    instrument::{DEFAULT_BOUNDS, raw_bounds, scale_fault},
    kind::Scalar,
};
use ig_series::{ExporterFilter, InstrumentSpec, LabelKind, LabelSpec, Labeler, NumberKind, TableSpec};
use thiserror::Error;

use super::{ColumnLabeler, Value};
use crate::column::{Column, Columns, Render};

/// Longest slot array whose boundaries fit 64 bits.
const MAX_SLOTS: usize = 63;

/// A set of instruments that share their labels.
#[derive(Clone, Debug)]
pub struct MeasurePlan {
    /// Labels in order of the key.
    pub labels: Vec<MeasureLabel>,
    /// Instruments in order of the table.
    pub instruments: Vec<Instrument>,
    /// Whether gauges describe the latest fetch only.
    pub snapshot: bool,
}

/// A label and where its value comes from.
#[derive(Clone, Debug)]
pub struct MeasureLabel {
    /// Name of the attribute.
    pub name: String,
    /// The column that gives its value.
    pub column: Column,
}

/// An instrument and where its values come from.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// Name, unit, description and kind.
    pub spec: InstrumentSpec,
    /// Source of the values.
    pub value: Value,
    /// Where the configuration asks for it; the image does, otherwise.
    pub at: Option<Position>,
}

/// A metric somebody asked for, in the terms of this crate.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricRequest {
    /// Instrument name.
    pub name: String,
    /// Counter, gauge or histogram.
    pub kind: InstrumentKind,
    /// The field that gives the values; records are counted without one.
    pub field: Option<String>,
    /// Label names and the fields that give their values.
    pub labels: Vec<(String, String)>,
    /// UCUM unit, or empty.
    pub unit: String,
    /// One sentence.
    pub description: String,
    /// Factor from the field's unit to `unit`.
    pub scale: f64,
    /// Bucket boundaries in `unit`.
    pub bounds: Option<Vec<f64>>,
    /// Where the configuration asks for it; the image does, otherwise.
    pub at: Option<Position>,
}

/// A metric that cannot be planned.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("metric `{metric}`: {reason}")]
pub struct MeasureError {
    /// Name of the metric.
    pub metric: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl MeasurePlan {
    /// Plans what the gadget's own annotations ask for; `None` if they ask for nothing.
    ///
    /// `annotations` answers with the annotations of a field or formatter output by its full name.
    ///
    /// # Errors
    /// When an annotated field cannot play its role.
    pub fn from_annotations(
        source: &DataSource,
        columns: &Columns,
        annotations: impl Fn(&str) -> BTreeMap<String, String>,
    ) -> Result<Option<Self>, MeasureError> {
        if !source.is_annotated("metrics.collect") {
            return Ok(None);
        }
        let mut labels = Vec::new();
        let mut requests = Vec::new();
        if let Some(name) = source.annotations.get("metrics.implicit-counter.name") {
            let description = source.annotations.get("metrics.implicit-counter.description");
            requests.push(MetricRequest {
                description: description.cloned().unwrap_or_default(),
                ..MetricRequest::new(name, InstrumentKind::Counter)
            });
        }
        let names = columns.iter().map(|column| column.name.clone());
        let arrays = source.fields.iter().filter(|field| columns.find(&field.full_name).is_none());
        for name in names.chain(arrays.map(|field| field.full_name.clone())) {
            let known = annotations(&name);
            let metric_name = known.get("metrics.name").cloned().unwrap_or_else(|| name.clone());
            let kind = match known
                .get("metrics.type")
                .map(String::as_str)
                .or_else(|| implied_role(source, &name))
            {
                None => continue,
                Some("key") => {
                    labels.push((metric_name, name));
                    continue;
                }
                Some("counter") => InstrumentKind::Counter,
                Some("gauge") => InstrumentKind::Gauge,
                Some("histogram") => InstrumentKind::Histogram,
                Some(other) => {
                    return Err(MeasureError {
                        metric: name,
                        reason: format!(
                            "annotation metrics.type is `{other}`, expected key, counter, gauge or histogram"
                        ),
                    });
                }
            };
            requests.push(MetricRequest {
                field: Some(name),
                unit: known.get("metrics.unit").cloned().unwrap_or_default(),
                description: known.get("metrics.description").cloned().unwrap_or_default(),
                scale: known.get("metrics.scale").map_or(Ok(1.0), |text| scale(&metric_name, kind, text))?,
                bounds: known
                    .get("metrics.boundaries")
                    .map(|text| boundaries(&metric_name, text))
                    .transpose()?,
                ..MetricRequest::new(&metric_name, kind)
            });
        }
        for request in &mut requests {
            request.labels.clone_from(&labels);
        }
        let plans = Self::from_requests(source, columns, &requests);
        match (plans.plans.into_iter().next(), plans.errors.into_iter().next()) {
            (_, Some(error)) => Err(error),
            (plan, None) => Ok(plan),
        }
    }

    /// Plans metrics somebody configured; those with the same labels share a table.
    pub fn from_requests(source: &DataSource, columns: &Columns, requests: &[MetricRequest]) -> Plans {
        let mut groups: Vec<(&[(String, String)], Self)> = Vec::new();
        let mut errors = Vec::new();
        for request in requests {
            let planned = plan_instrument(source, columns, request)
                .and_then(|instrument| Ok((instrument, plan_labels(columns, &request.labels)?)));
            match planned {
                Err(reason) => errors.push(MeasureError { metric: request.name.clone(), reason }),
                Ok((instrument, labels)) => {
                    match groups.iter_mut().find(|(known, _)| *known == request.labels.as_slice()) {
                        Some((_, plan)) => plan.instruments.push(instrument),
                        None => groups.push((
                            &request.labels,
                            Self {
                                labels,
                                instruments: vec![instrument],
                                snapshot: source.kind == SourceKind::Array,
                            },
                        )),
                    }
                }
            }
        }
        Plans { plans: groups.into_iter().map(|(_, plan)| plan).collect(), errors }
    }

    /// What to register in the series store.
    pub fn table_spec(&self, place: TablePlace) -> TableSpec {
        TableSpec {
            gadget: place.gadget,
            scope: place.scope,
            labels: self
                .labels
                .iter()
                .map(|label| LabelSpec { name: label.name.clone(), kind: label_kind(&label.column) })
                .collect(),
            key_len: self.labels.iter().map(|label| label.column.input_len()).sum(),
            instruments: self.instruments.iter().map(|instrument| instrument.spec.clone()).collect(),
            limit: place.limit,
            stale_after: place.stale_after,
            exporters: place.exporters,
            snapshot: self.snapshot,
        }
    }

    /// What renders label text from keys.
    pub fn labeler(&self) -> Box<dyn Labeler> {
        Box::new(ColumnLabeler::new(self.labels.iter().map(|label| label.column.clone())))
    }
}

/// The outcome of planning several metrics at once.
#[derive(Debug)]
pub struct Plans {
    /// One plan per set of labels.
    pub plans: Vec<MeasurePlan>,
    /// One error per metric that could not be planned.
    pub errors: Vec<MeasureError>,
}

/// Where a table belongs and what bounds it.
#[derive(Clone, Debug)]
pub struct TablePlace {
    /// The gadget's name in the configuration.
    pub gadget: String,
    /// The scope (`otel_scope_name`).
    pub scope: String,
    /// Most series the table may hold.
    pub limit: usize,
    /// Idle time after which a series may go.
    pub stale_after: Option<Duration>,
    /// Which exporters see the table.
    pub exporters: ExporterFilter,
}

impl MetricRequest {
    /// A request without field, labels, unit or description.
    pub fn new(name: &str, kind: InstrumentKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            field: None,
            labels: Vec::new(),
            unit: String::new(),
            description: String::new(),
            scale: 1.0,
            bounds: None,
            at: None,
        }
    }
}

/// The role that a field's C type gives it.
fn implied_role(source: &DataSource, name: &str) -> Option<&'static str> {
    let field = source.field(name)?;
    let is = |stem: &str| {
        field
            .types
            .iter()
            .any(|known| known == &format!("gadget_{stem}__u32") || known == &format!("gadget_{stem}__u64"))
    };
    if is("histogram_slot") {
        Some("histogram")
    } else if is("counter") {
        Some("counter")
    } else if is("gauge") {
        Some("gauge")
    } else {
        None
    }
}

/// `metrics.scale` is ours: the factor from the field's unit to `metrics.unit`, so that an image can export base
/// units although its programs count in others.
fn scale(metric: &str, kind: InstrumentKind, text: &str) -> Result<f64, MeasureError> {
    let scale = text.trim().parse().map_err(|_not_a_number| "expected a number");
    scale.and_then(|scale| scale_fault(kind, scale).map_or(Ok(scale), Err)).map_err(|problem| MeasureError {
        metric: metric.to_owned(),
        reason: format!("annotation metrics.scale is `{text}`: {problem}"),
    })
}

fn boundaries(metric: &str, text: &str) -> Result<Vec<f64>, MeasureError> {
    let error = |reason| MeasureError { metric: metric.to_owned(), reason };
    let bounds = text
        .split(',')
        .map(|part| part.trim().parse::<f64>().ok().filter(|bound| bound.is_finite()))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| {
            error(format!("annotation metrics.boundaries is `{text}`, expected numbers joined by commas"))
        })?;
    if bounds.is_sorted_by(|left, right| left < right) {
        Ok(bounds)
    } else {
        Err(error(format!("annotation metrics.boundaries `{text}` must grow from left to right")))
    }
}

fn plan_labels(columns: &Columns, labels: &[(String, String)]) -> Result<Vec<MeasureLabel>, String> {
    labels
        .iter()
        .map(|(name, field)| {
            let column = columns.find(field).ok_or_else(|| columns.unknown(field))?;
            if !column.has_fixed_input() {
                return Err(format!(
                    "field `{field}` has no value of its own or none of a fixed length, as a label needs"
                ));
            }
            Ok(MeasureLabel { name: name.clone(), column: column.clone() })
        })
        .collect()
}

fn plan_instrument(
    source: &DataSource,
    columns: &Columns,
    request: &MetricRequest,
) -> Result<Instrument, String> {
    let (value, number) = plan_value(source, columns, request)?;
    let scale = request.scale;
    let bounds = match (request.kind, &value, &request.bounds) {
        (InstrumentKind::Counter | InstrumentKind::Gauge, ..) => Vec::new(),
        (_, Value::Slots(range, element), None) => slot_bounds(range.len() / element)?,
        (_, Value::Slots(..), Some(_)) => {
            return Err("a slot array has the boundaries 1, 2, 4, …; remove the other ones".to_owned());
        }
        (_, _, Some(bounds)) => raw_bounds(bounds, scale)?,
        (_, _, None) => raw_bounds(&DEFAULT_BOUNDS, scale)?,
    };
    let spec = InstrumentSpec {
        name: request.name.clone(),
        description: request.description.clone(),
        unit: request.unit.clone(),
        kind: request.kind,
        number,
        scale,
        adds_up: value == Value::CountOfFetch,
        bounds: bounds.into(),
    };
    Ok(Instrument { spec, value, at: request.at.clone() })
}

fn plan_value(
    source: &DataSource,
    columns: &Columns,
    request: &MetricRequest,
) -> Result<(Value, NumberKind), String> {
    let Some(name) = &request.field else {
        return match (request.kind, source.kind) {
            (InstrumentKind::Counter, _) => Ok((Value::Count, NumberKind::Int)),
            (InstrumentKind::Gauge, SourceKind::Array) => Ok((Value::CountOfFetch, NumberKind::Int)),
            (InstrumentKind::Gauge, SourceKind::Single) => Err(format!(
                "a gauge without `field` counts the records of one fetch, and `{}` is a stream of events; \
                 use a counter or name a field",
                source.name
            )),
            (InstrumentKind::Histogram, _) => Err("a histogram needs a `field` to observe".to_owned()),
        };
    };
    if let Some(field) = source.field(name)
        && let FieldKind::Array(scalar) = field.kind
    {
        return slots(field, scalar, request.kind);
    }
    let column = columns.find(name).ok_or_else(|| columns.unknown(name))?;
    match (&column.render, column.inputs.as_slice()) {
        (Render::Number(form), [range]) if form.kind() != FieldKind::Bool => {
            let number = if form.kind().is_float() { NumberKind::Float } else { NumberKind::Int };
            Ok((Value::Number(range.clone(), *form), number))
        }
        _ => Err(format!("field `{name}` is no number; a {} needs one", request.kind.name())),
    }
}

fn slots(field: &Field, scalar: Scalar, kind: InstrumentKind) -> Result<(Value, NumberKind), String> {
    let range: Range<usize> = field.offset..field.offset + field.size;
    match (kind, scalar) {
        (InstrumentKind::Histogram, Scalar::Uint(size @ (4 | 8))) => {
            Ok((Value::Slots(range, usize::from(size)), NumberKind::Int))
        }
        (InstrumentKind::Histogram, _) => {
            Err(format!("slots must be 32 or 64 bit unsigned integers, and `{}` has others", field.full_name))
        }
        _ => Err(format!("field `{}` is an array; only a histogram takes one", field.full_name)),
    }
}

fn slot_bounds(slots: usize) -> Result<Vec<f64>, String> {
    if slots == 0 || slots > MAX_SLOTS {
        return Err(format!("a slot array has 1 to {MAX_SLOTS} slots, and this one has {slots}"));
    }
    Ok((0..slots).map(|slot| (1_u64 << slot) as f64).collect())
}

fn label_kind(column: &Column) -> LabelKind {
    match &column.render {
        Render::Number(form) if form.kind() == FieldKind::Bool => LabelKind::Bool,
        Render::Number(form) if form.kind().is_float() => LabelKind::Float,
        Render::Number(_) => LabelKind::Int,
        _ => LabelKind::Str,
    }
}
