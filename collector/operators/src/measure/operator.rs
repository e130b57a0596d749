//! Metrics, as annotations and the configuration ask for them.

use std::time::Duration;

use ig_config::runtime::Metric;
use ig_datasource::{DataSource, ParamDesc};
use ig_model::chain;
use ig_series::{ExporterFilter, RegisterError};

use super::{MeasurePlan, MetricRequest, TablePlace};
use crate::operator::{
    Draft, Fault, FaultKind, GadgetContext, Operator, Params, Phase, PlanContext, PlannedMeasure,
};

/// Scopes of metrics.
pub const SCOPES: &str = "operator.otel-metrics.otel-metrics-name";

/// Makes series of records.
#[derive(Debug)]
pub(crate) struct MeasureOperator;

impl Operator for MeasureOperator {
    fn name(&self) -> &'static str {
        "otel-metrics"
    }

    fn phase(&self) -> Phase {
        Phase::Outlet
    }

    fn params(&self, sources: &[&DataSource]) -> Vec<ParamDesc> {
        let annotated = |key: &str| sources.iter().any(|source| source.is_annotated(key));
        if !annotated("metrics.collect") && !annotated("metrics.print") {
            return Vec::new();
        }
        let new = |key, description| ParamDesc::new("operator.otel-metrics.", key, description);
        vec![
            new("otel-metrics-name", "Scopes of the metrics of data sources: name:scope,…")
                .of_type("string", ""),
            new("otel-metrics-exporter", "Accepted for compatibility; exporters are configured")
                .of_type("string", ""),
            new("otel-metrics-print-interval", "Time between prints of metrics")
                .of_type("duration", "1000ms"),
        ]
    }

    fn ignored_params(&self) -> &'static [&'static str] {
        &["operator.otel-metrics.otel-metrics-exporter", "operator.otel-metrics.otel-metrics-print-interval"]
    }

    /// Finds metrics that name no data source of the gadget, or leave open which of several they mean.
    fn check(&self, gadget: &GadgetContext<'_>) -> Result<(), Vec<Fault>> {
        let names = gadget.names();
        let fault = |metric: &Metric| {
            let problem = match metric.datasource.as_deref() {
                Some(name) if !names.contains(&name) => {
                    format!("the image has no data source `{name}` (it has: {})", names.join(", "))
                }
                None if names.len() > 1 => {
                    format!(
                        "the image has several data sources ({}); name one with `datasource`",
                        names.join(", ")
                    )
                }
                _ => return None,
            };
            Some(at(metric, format!("metric `{}`: {problem}", metric.name)))
        };
        let faults: Vec<Fault> = gadget.gadget.metrics.iter().filter_map(fault).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        let (source, columns) = (draft.schema.source(), draft.schema.columns());
        let mut faults = Vec::new();
        let mut plans = Vec::new();
        if context.gadget.image_metrics {
            // What operators say of their own fields counts where gadget.yaml is silent.
            let annotations = |field: &str| {
                let own = columns.find(field).map(|column| column.annotations.clone());
                let mut annotations = own.unwrap_or_default();
                annotations.extend(context.metadata.field_annotations(&source.name, field));
                annotations
            };
            match MeasurePlan::from_annotations(source, columns, annotations) {
                Ok(plan) => plans.extend(plan),
                Err(error) => faults.push(Fault::image(chain(&error))),
            }
        }
        let wanted: Vec<&Metric> = context
            .gadget
            .metrics
            .iter()
            .filter(|metric| metric.datasource.as_deref().is_none_or(|name| name == source.name))
            .collect();
        let requests: Vec<MetricRequest> = wanted.iter().map(|metric| request(metric)).collect();
        let planned = MeasurePlan::from_requests(source, columns, &requests);
        plans.extend(planned.plans);
        for error in planned.errors {
            let metric = wanted.iter().find(|metric| metric.name == error.metric);
            let text = error.to_string();
            faults.push(match metric {
                Some(metric) => at(metric, text),
                None => Fault::config(text),
            });
        }
        let place = place(context, &source.name);
        for plan in &plans {
            // What no table can be made of is said here, by name; the rest of the gadget's metrics have other tables.
            if let Err(error) = plan.table_spec(place.clone()).check() {
                let named = |metric: &str| plan.instruments.iter().find(|known| known.spec.name == metric);
                let at = match &error {
                    RegisterError::Instrument { metric, .. } => named(metric),
                    _ => plan.instruments.first(),
                };
                let at = at.and_then(|instrument| instrument.at.clone());
                let kind = if at.is_some() { FaultKind::Config } else { FaultKind::Image };
                faults.push(Fault { kind, at, text: chain(&error) });
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        draft.measures.extend(plans.into_iter().map(|plan| PlannedMeasure { plan, place: place.clone() }));
        Ok(())
    }
}

fn at(metric: &Metric, text: String) -> Fault {
    Fault { kind: FaultKind::Config, at: Some(metric.at.cloned()), text }
}

fn place(context: &PlanContext<'_>, source: &str) -> TablePlace {
    let (gadget, limits) = (context.gadget, context.limits);
    TablePlace {
        gadget: gadget.name.clone(),
        scope: scope(context.params, source).unwrap_or(&gadget.name).to_owned(),
        limit: gadget.series_limit.unwrap_or(limits.series_per_gadget),
        stale_after: (limits.stale_after > Duration::ZERO).then_some(limits.stale_after),
        exporters: match &gadget.exporters {
            None => ExporterFilter::All,
            Some(names) => ExporterFilter::Names(names.clone()),
        },
    }
}

/// The scope that a data source is mapped to by `ds:scope,ds2:scope2`; an empty one is the source's own name, and one
/// without data source maps nothing, as in the reference.
fn scope<'a>(params: &'a Params, source: &'a str) -> Option<&'a str> {
    let parts = params.get(SCOPES).unwrap_or_default().split(',').filter_map(|part| part.split_once(':'));
    let scope = parts.filter(|(name, _)| *name == source).map(|(_, scope)| scope).next_back()?;
    Some(if scope.is_empty() { source } else { scope })
}

fn request(metric: &Metric) -> MetricRequest {
    MetricRequest {
        field: metric.field.clone(),
        labels: metric.labels.iter().map(|label| (label.name.clone(), label.field.clone())).collect(),
        unit: metric.unit.clone().unwrap_or_default(),
        description: metric.description.clone().unwrap_or_default(),
        scale: metric.scale.unwrap_or(1.0),
        bounds: metric.buckets.as_ref().map(ig_config::runtime::Buckets::bounds),
        at: Some(metric.at.cloned()),
        ..MetricRequest::new(&metric.name, metric.kind)
    }
}
