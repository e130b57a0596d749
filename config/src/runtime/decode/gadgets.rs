//! The items of `gadgets`.

use std::collections::BTreeMap;

use ig_model::{
    InstrumentKind,
    instrument::{raw_bounds, scale_fault},
};

use super::exporters::literals;
use crate::{
    runtime::{Buckets, Gadget, Label, Metric, tables},
    source::{at_index, join},
    table::{
        check::Checker,
        fields::{Fields, number},
    },
    yaml::Node,
};

/// Reads one gadget; `None` if it lacks what makes it one.
pub(in crate::runtime) fn gadget(checker: &mut Checker<'_>, node: &Node, path: &str) -> Option<Gadget> {
    let fields = Fields::new(Some(node), &tables::GADGET, checker.source);
    let metrics = metrics(checker, fields, &join(path, "metrics"));
    Some(Gadget {
        name: fields.text("name")?,
        image: fields.text("image")?,
        params: literals(fields.entries("params")),
        filter: fields.text("filter"),
        filter_expr: fields.text("filter-expr"),
        metrics,
        image_metrics: fields.boolean("image-metrics"),
        interval: fields.duration("interval"),
        annotate: fields.texts("annotate"),
        exporters: fields.node("exporters").and_then(Node::as_sequence).map(|_| fields.texts("exporters")),
        series_limit: fields.object("limits").whole("series"),
        manifest: None,
        at: checker.source.position(node.span).into(),
    })
}

fn metrics(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for (index, node) in fields.list("metrics").iter().enumerate() {
        let path = at_index(path, index);
        let Some(metric) = metric(checker, node, &path) else { continue };
        if let Some(first) = metrics.iter().find(|first| first.name == metric.name) {
            let span = node.get("name").map_or(node.span, |name| name.span);
            let fault = checker.source.fault(span, join(&path, "name"), "metric is written twice");
            let name = checker.source.shown(span, &metric.name);
            checker.push(fault.value(name).other(first.at.cloned()));
        }
        metrics.push(metric);
    }
    metrics
}

fn metric(checker: &mut Checker<'_>, node: &Node, path: &str) -> Option<Metric> {
    let source = checker.source;
    let fields = Fields::new(Some(node), &tables::METRIC, source);
    let labels = labels(checker, fields, &join(path, "labels"));
    let buckets = buckets(checker, fields, &join(path, "buckets"));
    let kind: InstrumentKind = fields.word("type")?;
    let span = |key: &str| fields.node(key).map_or(node.span, |value| value.span);
    let mut refuse = |key: &str, problem: &str, hint: &str| {
        checker.push(source.fault(span(key), join(path, key), problem).hint(hint));
    };
    if kind == InstrumentKind::Histogram && !fields.has("field") {
        refuse("field", "a histogram needs a field to observe", "add `field`");
    }
    if kind != InstrumentKind::Histogram && fields.has("buckets") {
        refuse("buckets", "only a histogram has buckets", "write `type: histogram`, or leave out `buckets`");
    }
    let scale = fields.number("scale");
    if let Some(scale) = scale {
        if let Some(problem) = scale_fault(kind, scale) {
            refuse("scale", problem, if scale == 0.0 { "leave out `scale`" } else { "write another scale" });
        } else if !fields.has("field") && kind != InstrumentKind::Histogram {
            refuse(
                "scale",
                "records are counted, there is no value to scale",
                "add `field`, or leave out `scale`",
            );
        } else if let Some(buckets) = &buckets
            && let Err(problem) = raw_bounds(&buckets.bounds(), scale)
        {
            refuse("buckets", problem, "choose other bounds or another scale");
        }
    }
    if kind == InstrumentKind::Histogram
        && let Some(at) = labels.iter().position(|label| label.name == "le")
    {
        let node = fields.list("labels").get(at).unwrap_or(node);
        let path = at_index(&join(path, "labels"), at);
        let fault = source.fault(node.span, path, "name is taken by the bounds of the buckets").value("le");
        checker.push(fault.hint("give the label another name: `{name: ..., field: le}`"));
    }
    Some(Metric {
        name: fields.text("name")?,
        kind,
        datasource: fields.text("datasource"),
        field: fields.text("field"),
        labels,
        unit: fields.text("unit"),
        description: fields.text("description"),
        scale,
        buckets,
        at: source.position(node.span).into(),
    })
}

fn labels(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) -> Vec<Label> {
    let source = checker.source;
    let mut seen: BTreeMap<String, crate::Position> = BTreeMap::new();
    let mut labels = Vec::new();
    for (index, node) in fields.list("labels").iter().enumerate() {
        let at = source.position(node.span);
        let label = if let Some(scalar) = node.as_scalar() {
            Label { name: scalar.text.clone(), field: scalar.text.clone(), at: at.clone().into() }
        } else {
            let fields = Fields::new(Some(node), &tables::LABEL, source);
            let (Some(name), Some(field)) = (fields.text("name"), fields.text("field")) else { continue };
            Label { name, field, at: at.clone().into() }
        };
        if let Some(first) = seen.insert(label.name.clone(), at) {
            let fault = source.fault(node.span, at_index(path, index), "label is written twice");
            checker.push(fault.value(source.shown(node.span, &label.name)).other(first));
        }
        labels.push(label);
    }
    labels
}

fn buckets(checker: &mut Checker<'_>, fields: Fields<'_>, path: &str) -> Option<Buckets> {
    let node = fields.node("buckets")?;
    let rule = fields.object("buckets");
    let count = |rule: Fields<'_>| u32::try_from(rule.whole("count")?).ok();
    let buckets = if let Some(items) = node.as_sequence() {
        explicit(items)?
    } else if rule.has("explicit") {
        explicit(rule.list("explicit"))?
    } else if rule.has("exponential") {
        let rule = rule.object("exponential");
        let (start, factor) = (rule.number("start")?, rule.number("factor")?);
        Buckets::Exponential { start, factor, count: count(rule)? }
    } else {
        let rule = rule.object("linear");
        Buckets::Linear { start: rule.number("start")?, width: rule.number("width")?, count: count(rule)? }
    };
    match refusal(&buckets) {
        None => Some(buckets),
        Some(problem) => {
            checker.push(checker.source.fault(node.span, path, problem));
            None
        }
    }
}

/// The bounds in a list, or `None` if the table has refused one of them already.
fn explicit(items: &[Node]) -> Option<Buckets> {
    items.iter().map(number).collect::<Option<Vec<_>>>().map(Buckets::Explicit)
}

/// What is wrong with bounds, if anything.
fn refusal(buckets: &Buckets) -> Option<String> {
    let most = Buckets::MOST as usize;
    match buckets {
        Buckets::Explicit(bounds) if bounds.is_empty() => {
            return Some("no bounds, expected at least one".to_owned());
        }
        Buckets::Explicit(bounds) if bounds.len() > most => {
            return Some(format!("{} bounds are too many, expected at most {most}", bounds.len()));
        }
        // The table has refused larger counts; without this a refused one would still be computed.
        Buckets::Exponential { count, .. } | Buckets::Linear { count, .. } if *count > Buckets::MOST => {
            return None;
        }
        Buckets::Exponential { start, .. } if *start <= 0.0 => {
            return Some("the first bound is not above 0".to_owned());
        }
        Buckets::Exponential { factor, .. } if *factor <= 1.0 => {
            return Some("the factor is not above 1".to_owned());
        }
        Buckets::Linear { width, .. } if *width <= 0.0 => return Some("the width is not above 0".to_owned()),
        _ => {}
    }
    let bounds = buckets.bounds();
    if bounds.iter().any(|bound| !bound.is_finite()) {
        return Some("bounds grow past what a number can hold".to_owned());
    }
    let pairs = bounds.iter().zip(bounds.iter().skip(1));
    let falls = pairs.into_iter().find(|(low, high)| low >= high);
    falls.map(|(low, high)| format!("bounds do not increase: {high} follows {low}"))
}
