//! What happens to the records of a data source: filter and measures.

use std::time::Duration;

use ig_config::{
    metadata::Metadata,
    runtime::{Gadget, Limits, Metric, MetricKind},
};
use ig_datasource::DataSource;
use ig_exporters::series::ExporterFilter;
use ig_operators::{
    Columns, Expression, Filter, Limit, MeasurePlan, Sort,
    measure::{MetricRequest, RequestedKind, TablePlace},
};

use super::{fault, variables::OperatorParams};
use crate::status::{Reason, ReasonKind};

pub(super) struct Sinks {
    pub(super) filter: Option<Filter>,
    pub(super) expression: Option<Expression>,
    pub(super) sort: Option<Sort>,
    pub(super) limit: Option<Limit>,
    pub(super) measures: Vec<MeasurePlan>,
    pub(super) place: TablePlace,
}

pub(super) fn plan(
    gadget: &Gadget,
    source: &DataSource,
    columns: &Columns,
    metadata: &Metadata,
    operators: &OperatorParams,
    limits: &Limits,
) -> Result<Sinks, Vec<Reason>> {
    let mut reasons = Vec::new();
    let mut filter: Option<Filter> = None;
    for text in gadget.filter.as_deref().into_iter().chain(operators.filters(&source.name)) {
        match Filter::plan(text, columns) {
            Ok(planned) => {
                filter = Some(match filter.take() {
                    Some(known) => known.and(planned),
                    None => planned,
                });
            }
            Err(error) => reasons.push(fault(gadget, &error.to_string())),
        }
    }
    let mut expression: Option<Expression> = None;
    for text in gadget.filter_expr.as_deref().into_iter().chain(operators.expressions(&source.name)) {
        match Expression::plan(text, columns) {
            Ok(planned) => {
                expression = Some(match expression.take() {
                    Some(known) => known.and(planned),
                    None => planned,
                });
            }
            Err(error) => reasons.push(fault(gadget, &error.to_string())),
        }
    }
    let sort = match operators.sort(&source.name).map(|text| Sort::plan(text, columns)) {
        Some(Ok(sort)) => sort,
        Some(Err(error)) => {
            reasons.push(fault(gadget, &error.to_string()));
            None
        }
        None => None,
    };
    let limit = operators.limit(&source.name);

    let mut measures = Vec::new();
    if gadget.image_metrics {
        // What operators say of their own fields counts where gadget.yaml is silent.
        let annotations = |field: &str| {
            let own = columns.find(field).map(|column| column.annotations.clone());
            let mut annotations = own.unwrap_or_default();
            annotations.extend(metadata.field_annotations(&source.name, field));
            annotations
        };
        match MeasurePlan::from_annotations(source, columns, annotations) {
            Ok(plan) => measures.extend(plan),
            Err(error) => reasons.push(Reason::new(ReasonKind::Object, &error)),
        }
    }
    let wanted: Vec<&Metric> = gadget
        .metrics
        .iter()
        .filter(|metric| metric.datasource.as_deref().is_none_or(|name| name == source.name))
        .collect();
    let requests: Vec<MetricRequest> = wanted.iter().map(|metric| request(metric)).collect();
    let planned = MeasurePlan::from_requests(source, columns, &requests);
    measures.extend(planned.plans);
    for error in planned.errors {
        let at =
            wanted.iter().find(|metric| metric.name == error.metric).map_or(&gadget.at, |metric| &metric.at);
        reasons.push(Reason {
            kind: ReasonKind::Config,
            text: format!("{at}: gadget `{}`: {error}", gadget.name),
        });
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let place = TablePlace {
        gadget: gadget.name.clone(),
        scope: operators.scope(&source.name).unwrap_or(&gadget.name).to_owned(),
        limit: gadget.series_limit.unwrap_or(limits.series_per_gadget),
        stale_after: (limits.stale_after > Duration::ZERO).then_some(limits.stale_after),
        exporters: match &gadget.exporters {
            None => ExporterFilter::All,
            Some(names) => ExporterFilter::Names(names.clone()),
        },
    };
    Ok(Sinks { filter, expression, sort, limit, measures, place })
}

/// Faults of metrics that name no data source of the gadget, or leave open which of several they mean.
pub(super) fn unknown_sources(gadget: &Gadget, sources: &[&str]) -> Vec<Reason> {
    gadget
        .metrics
        .iter()
        .filter_map(|metric| {
            let problem = match metric.datasource.as_deref() {
                Some(name) if !sources.contains(&name) => {
                    format!("the image has no data source `{name}` (it has: {})", sources.join(", "))
                }
                None if sources.len() > 1 => {
                    format!(
                        "the image has several data sources ({}); name one with `datasource`",
                        sources.join(", ")
                    )
                }
                _ => return None,
            };
            let text =
                format!("{}: gadget `{}`: metric `{}`: {problem}", metric.at, gadget.name, metric.name);
            Some(Reason { kind: ReasonKind::Config, text })
        })
        .collect()
}

fn request(metric: &Metric) -> MetricRequest {
    let kind = match metric.kind {
        MetricKind::Counter => RequestedKind::Counter,
        MetricKind::Gauge => RequestedKind::Gauge,
        MetricKind::Histogram => RequestedKind::Histogram,
    };
    MetricRequest {
        field: metric.field.clone(),
        labels: metric.labels.iter().map(|label| (label.name.clone(), label.field.clone())).collect(),
        unit: metric.unit.clone().unwrap_or_default(),
        description: metric.description.clone().unwrap_or_default(),
        scale: metric.scale.unwrap_or(1.0),
        bounds: metric.buckets.as_ref().map(ig_config::runtime::Buckets::bounds),
        ..MetricRequest::new(&metric.name, kind)
    }
}
