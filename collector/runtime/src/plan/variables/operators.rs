//! What parameters tell the operators.

use std::{collections::BTreeMap, time::Duration};

use ig_datasource::{DataSource, Origin, SourceKind, describe::WASM_PREFIX};
use ig_operators::{
    limit::Limit,
    params::key,
    spec::{PerSource, PerSourceError},
};

/// Parameters of operators other than the eBPF one.
#[derive(Debug, Default)]
pub(in crate::plan) struct OperatorParams {
    filters: Texts,
    expressions: Texts,
    sort: PerSource,
    max_entries: PerSource,
    map_intervals: PerSource,
    map_counts: PerSource,
    scopes: BTreeMap<String, String>,
    symbolizers: Option<String>,
    statistics_interval: Option<Duration>,
    gadgets_only: bool,
    /// Variables of the environment that images may show.
    pub(super) env_vars: Vec<String>,
    /// Values of the WASM module's parameters, by short name.
    pub(super) wasm: BTreeMap<String, String>,
}

/// One text for all data sources and one for each.
#[derive(Debug, Default)]
struct Texts {
    all: String,
    named: BTreeMap<String, String>,
}

impl Texts {
    fn of(&self, source: &str) -> impl Iterator<Item = &str> {
        [Some(&self.all), self.named.get(source)]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }
}

#[expect(dead_code, reason = "the stack and wasm operators read theirs when they are there")]
impl OperatorParams {
    /// How user stacks become names, if somebody says.
    pub(in crate::plan) fn symbolizers(&self) -> Option<&str> {
        self.symbolizers.as_deref()
    }

    /// Values of the WASM module's parameters by short name, defaults included.
    pub(in crate::plan) fn wasm(&self) -> &BTreeMap<String, String> {
        &self.wasm
    }
}

impl OperatorParams {
    /// Filter rules for the records of a data source; all must hold.
    pub(in crate::plan) fn filters(&self, source: &str) -> impl Iterator<Item = &str> {
        self.filters.of(source)
    }

    /// Expressions that the records of a data source must hold, all of them.
    pub(in crate::plan) fn expressions(&self, source: &str) -> impl Iterator<Item = &str> {
        self.expressions.of(source)
    }

    /// The order of the batches of a data source.
    pub(in crate::plan) fn sort(&self, source: &str) -> Option<&str> {
        self.sort.of(source)
    }

    /// Most records of a batch.
    pub(in crate::plan) fn limit(&self, source: &str) -> Option<Limit> {
        // Checked when it was set.
        self.max_entries.of(source).and_then(|text| Limit::plan(text).ok()?)
    }

    /// The scope that `otel-metrics-name` maps a data source to.
    pub(in crate::plan) fn scope<'a>(&'a self, source: &'a str) -> Option<&'a str> {
        self.scopes.get(source).map(|scope| if scope.is_empty() { source } else { scope.as_str() })
    }

    /// Time between reads of the map of a data source; zero asks for a read at the end only.
    pub(in crate::plan) fn map_interval(&self, source: &str) -> Option<Duration> {
        self.map_intervals.of(source).and_then(|text| ig_config::value::duration(text).ok())
    }

    /// How often the map of a data source is read; zero is no limit.
    pub(in crate::plan) fn map_count(&self, source: &str) -> Option<u64> {
        self.map_counts.of(source).and_then(|text| text.parse().ok())
    }

    /// Time between statistics of eBPF programs.
    pub(in crate::plan) fn statistics_interval(&self) -> Option<Duration> {
        self.statistics_interval
    }

    /// Whether statistics of eBPF programs are those of gadgets.
    pub(in crate::plan) fn gadgets_only(&self) -> bool {
        self.gadgets_only
    }

    /// Variables of the environment that images may show.
    pub(in crate::plan) fn env_vars(&self) -> &[String] {
        &self.env_vars
    }

    /// Takes the value of a parameter by its fully qualified name.
    pub(super) fn apply(&mut self, full_key: &str, value: &str, sources: &[&str]) -> Result<(), String> {
        let per_source =
            |separator| PerSource::parse(value, separator, sources).map_err(|error| show(&error));
        match full_key {
            key::FILTER => value.clone_into(&mut self.filters.all),
            key::FILTER_EXPR => value.clone_into(&mut self.expressions.all),
            key::SORT => self.sort = per_source(';')?,
            key::MAX_ENTRIES => {
                let limits = per_source(',')?;
                for text in values(&limits, sources) {
                    Limit::plan(text).map_err(|error| error.to_string())?;
                }
                self.max_entries = limits;
            }
            key::MAP_FETCH_INTERVAL => {
                let intervals = per_source(',')?;
                for text in values(&intervals, sources) {
                    ig_config::value::duration(text).map_err(|hint| {
                        format!("`{text}` is no duration; expected one like 1s or 500ms: {hint}")
                    })?;
                }
                self.map_intervals = intervals;
            }
            key::MAP_FETCH_COUNT => {
                let counts = per_source(',')?;
                for text in values(&counts, sources) {
                    text.parse::<u64>()
                        .map_err(|_unspecific| format!("`{text}` is no whole number from 0 on"))?;
                }
                self.map_counts = counts;
            }
            key::STATISTICS_INTERVAL => {
                let interval = ig_config::value::duration(value).map_err(|hint| {
                    format!("`{value}` is no duration; expected one like 1s or 500ms: {hint}")
                })?;
                self.statistics_interval = Some(interval).filter(|interval| !interval.is_zero());
            }
            key::GADGETS_ONLY => self.gadgets_only = value.eq_ignore_ascii_case("true"),
            key::METRICS_NAME => self.scopes = scopes(value),
            key::SYMBOLIZERS => self.symbolizers = Some(value.to_owned()),
            other => self.apply_named(other, value),
        }
        Ok(())
    }

    /// Parameters whose name holds another name.
    fn apply_named(&mut self, full_key: &str, value: &str) {
        let below = |parent: &str| full_key.strip_prefix(parent).and_then(|rest| rest.strip_prefix('.'));
        if let Some(source) = below(key::FILTER) {
            self.filters.named.insert(source.to_owned(), value.to_owned());
        } else if let Some(source) = below(key::FILTER_EXPR) {
            self.expressions.named.insert(source.to_owned(), value.to_owned());
        } else if let Some(short) = full_key.strip_prefix(WASM_PREFIX) {
            self.wasm.insert(short.to_owned(), value.to_owned());
        }
    }

    /// What can be told only when all parameters are known.
    pub(super) fn check(&self, sources: &[DataSource], faults: &mut Vec<String>) {
        let arrays = sources.iter().filter(|source| source.kind == SourceKind::Array).count();
        for (full_key, values) in [(key::SORT, &self.sort), (key::MAX_ENTRIES, &self.max_entries)] {
            for source in sources.iter().filter(|source| source.kind == SourceKind::Single) {
                if values.named().any(|(name, _)| name == source.name)
                    || (values.of(&source.name).is_some() && arrays == 0)
                {
                    faults.push(format!(
                        "parameter `{full_key}`: data source `{}` is a stream of single events, not of batches",
                        source.name
                    ));
                }
            }
        }
        for source in sources.iter().filter(|source| matches!(source.origin, Origin::MapIterator { .. })) {
            let (interval, count) = (self.map_interval(&source.name), self.map_count(&source.name));
            if interval.is_some_and(|interval| interval.is_zero()) && count.is_some_and(|count| count > 1) {
                faults.push(format!(
                    "parameter `{}`: data source `{}` cannot be read more than once without an interval",
                    key::MAP_FETCH_COUNT,
                    source.name
                ));
            }
        }
    }
}

/// The distinct values that data sources get.
fn values<'a>(texts: &'a PerSource, sources: &'a [&str]) -> impl Iterator<Item = &'a str> {
    sources.iter().filter_map(|source| texts.of(source))
}

/// `ds:scope,ds2:scope2`; a scope without data source maps nothing, as in the reference.
fn scopes(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|part| part.split_once(':'))
        .map(|(name, scope)| (name.to_owned(), scope.to_owned()))
        .collect()
}

fn show(error: &PerSourceError) -> String {
    error.to_string()
}
