//! Parameters: which variables get which bytes, and what the other operators are told.

use std::{collections::BTreeMap, time::Duration};

use ig_config::{metadata::Metadata, runtime::Gadget};
use ig_datasource::{DataSource, Param, ParamType, param::EBPF_PREFIX};
use ig_model::nearest;

/// The outcome of resolving a gadget's parameters.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) variables: BTreeMap<String, Vec<u8>>,
    pub(super) operators: OperatorParams,
    pub(super) faults: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Parameters of operators other than the eBPF one.
#[derive(Debug, Default)]
pub(super) struct OperatorParams {
    /// `operator.filter.filter`.
    pub(super) filter: Option<String>,
    scopes: BTreeMap<String, String>,
    map_intervals: BTreeMap<String, Duration>,
}

const METRICS_NAME: &str = "operator.otel-metrics.otel-metrics-name";
const FILTER: &str = "operator.filter.filter";
const ANNOTATE: &str = "operator.oci.annotate";
const MAP_FETCH_INTERVAL: &str = "map-fetch-interval";
/// Parameters of the reference that have no meaning here but do no harm either: everything already runs on the
/// host, without container filter, and output goes to exporters.
const WITHOUT_EFFECT: [&str; 8] = [
    "operator.LocalManager.host",
    "operator.KubeManager.all-namespaces",
    "operator.oci.pull",
    "operator.oci.validate-metadata",
    "operator.oci.ebpf.map-fetch-count",
    "operator.otel-metrics.otel-metrics-exporter",
    "operator.otel-metrics.otel-metrics-print-interval",
    "operator.cli.output",
];

pub(super) fn resolve(
    gadget: &Gadget,
    params: &[Param],
    metadata: &Metadata,
    sources: &[DataSource],
) -> Settings {
    let mut settings = Settings::default();
    // The image's own wishes first: text defaults, then `paramDefaults`.
    for param in params {
        if let (ParamType::Text(_), false) = (param.kind, param.default.is_empty()) {
            settings.set(param, &param.default);
        }
    }
    for (key, value) in metadata.param_defaults() {
        if let Some(param) = find(params, &key) {
            settings.set(param, &value);
        } else if is_map_interval(&key) {
            settings.map_interval(&value, sources);
        }
    }
    for (key, value) in &gadget.params {
        if let Some(param) = find(params, key) {
            settings.set(param, value);
        } else if is_map_interval(key) {
            settings.map_interval(value, sources);
        } else if key == METRICS_NAME {
            settings.operators.scopes = per_source(value);
        } else if key == FILTER {
            settings.operators.filter = Some(value.clone());
        } else if key == ANNOTATE {
            // Already part of the metadata.
        } else if WITHOUT_EFFECT.contains(&key.as_str()) {
            settings.warnings.push(format!("parameter `{key}` has no effect in a collector"));
        } else {
            let text = unknown(key, params);
            // Manifests of the reference are accepted as they are.
            if gadget.manifest.is_some() { &mut settings.warnings } else { &mut settings.faults }.push(text);
        }
    }
    settings
}

impl Settings {
    fn set(&mut self, param: &Param, value: &str) {
        match param.encode(value) {
            Ok(bytes) => {
                self.variables.insert(param.variable.clone(), bytes);
            }
            Err(error) => self.faults.push(error.to_string()),
        }
    }

    fn map_interval(&mut self, text: &str, sources: &[DataSource]) {
        for (name, value) in per_source(text) {
            match ig_config::value::duration(&value).ok() {
                None => self.faults.push(format!(
                    "parameter `{MAP_FETCH_INTERVAL}`: `{value}` is no duration; expected one like 1s or 500ms"
                )),
                Some(_) if !name.is_empty() && !sources.iter().any(|source| source.name == name) => {
                    self.faults.push(format!("parameter `{MAP_FETCH_INTERVAL}`: no data source `{name}`"));
                }
                Some(interval) => {
                    self.operators.map_intervals.insert(name, interval);
                }
            }
        }
    }
}

impl OperatorParams {
    /// The scope that `otel-metrics-name` maps a data source to.
    pub(super) fn scope<'a>(&'a self, source: &'a str) -> Option<&'a str> {
        self.scopes.get(source).map(|scope| if scope.is_empty() { source } else { scope.as_str() })
    }

    pub(super) fn map_interval(&self, source: &str) -> Option<Duration> {
        let interval = self.map_intervals.get(source).or_else(|| self.map_intervals.get(""));
        // Zero asks for a read at the end only; a collector that never ends would never read.
        interval.copied().filter(|interval| !interval.is_zero())
    }
}

fn is_map_interval(key: &str) -> bool {
    key.strip_prefix(EBPF_PREFIX).unwrap_or(key) == MAP_FETCH_INTERVAL
}

/// `ds:value,ds2:value2`, or one bare value under the empty name.
fn per_source(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once(':') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (String::new(), part.to_owned()),
        })
        .collect()
}

fn find<'a>(params: &'a [Param], key: &str) -> Option<&'a Param> {
    let short = key.strip_prefix(EBPF_PREFIX).unwrap_or(key);
    params
        .iter()
        .find(|param| param.key == short)
        .or_else(|| params.iter().find(|param| param.key.eq_ignore_ascii_case(short)))
}

fn unknown(key: &str, params: &[Param]) -> String {
    let short = key.strip_prefix(EBPF_PREFIX).unwrap_or(key);
    let hint = nearest(short, params.iter().map(|param| param.key.as_str()))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    let known: Vec<&str> = params.iter().map(|param| param.key.as_str()).collect();
    format!("unknown parameter `{key}`{hint} (the image has: {})", known.join(", "))
}
