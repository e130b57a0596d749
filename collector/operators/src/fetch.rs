//! `fetch`: how often maps are read.
//!
//! # Source
//! Inspektor Gadget, parameters `map-fetch-interval` and `map-fetch-count` of the eBPF part of an image: a value for
//! all data sources, or `name:value,…`.

use std::time::Duration;

use ig_datasource::{DataSource, Origin, ParamDesc, param::EBPF_PREFIX};

use crate::{
    operator::{Draft, Fault, GadgetContext, Operator, Params, Phase, PlanContext, Timing},
    spec::PerSource,
};

/// Time between reads of a map.
pub const INTERVAL: &str = "operator.oci.ebpf.map-fetch-interval";
/// How often maps are read.
pub const COUNT: &str = "operator.oci.ebpf.map-fetch-count";

/// Reads the parameters.
#[derive(Debug)]
pub(crate) struct FetchOperator;

/// The parameters, not yet checked value by value.
struct Values {
    intervals: PerSource,
    counts: PerSource,
}

impl Values {
    fn read(params: &Params, names: &[&str]) -> Result<Self, Vec<Fault>> {
        let read = |key| params.per_source(key, ',', names).map_err(|problem| Fault::param(key, problem));
        match (read(INTERVAL), read(COUNT)) {
            (Ok(intervals), Ok(counts)) => Ok(Self { intervals, counts }),
            (intervals, counts) => Err(intervals.err().into_iter().chain(counts.err()).collect()),
        }
    }

    /// When a data source is read.
    fn of(&self, source: &DataSource) -> Result<Timing, Fault> {
        let interval = self.intervals.of(&source.name).map(interval).transpose()?;
        let count = self.counts.of(&source.name).map(count).transpose()?;
        let is_at_end_only = interval.is_some_and(|interval| interval.is_zero());
        if is_map(source) && is_at_end_only && count.is_some_and(|count| count > 1) {
            let name = &source.name;
            let problem = format!("data source `{name}` cannot be read more than once without an interval");
            return Err(Fault::param(COUNT, problem));
        }
        Ok(Timing { interval, first: None, count })
    }
}

fn interval(text: &str) -> Result<Duration, Fault> {
    ig_config::value::duration(text).map_err(|hint| {
        let problem = format!("`{text}` is no duration; expected one like 1s or 500ms: {hint}");
        Fault::param(INTERVAL, problem)
    })
}

fn count(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_unspecific| Fault::param(COUNT, format!("`{text}` is no whole number from 0 on")))
}

fn is_map(source: &DataSource) -> bool {
    matches!(source.origin, Origin::MapIterator { .. })
}

impl Operator for FetchOperator {
    fn name(&self) -> &'static str {
        "fetch"
    }

    fn phase(&self) -> Phase {
        Phase::Extend
    }

    fn params(&self, sources: &[&DataSource]) -> Vec<ParamDesc> {
        if !sources.iter().any(|source| is_map(source)) {
            return Vec::new();
        }
        let new = |key, description| ParamDesc::new(EBPF_PREFIX, key, description);
        vec![
            new(
                "map-fetch-interval",
                "Time between reads of maps, 0 for a read at the end only; name:interval,… for single data sources",
            )
            .of_type("string", "1000ms"),
            new(
                "map-fetch-count",
                "How often maps are read, 0 for no limit; name:count,… for single data sources",
            )
            .of_type("string", "0"),
        ]
    }

    fn check(&self, gadget: &GadgetContext<'_>) -> Result<(), Vec<Fault>> {
        let values = Values::read(gadget.params, &gadget.names())?;
        let mut faults: Vec<Fault> =
            gadget.sources.iter().filter_map(|source| values.of(source).err()).collect();
        faults.dedup_by(|left, right| left.text == right.text);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn plan(&self, context: &PlanContext<'_>, draft: &mut Draft) -> Result<(), Vec<Fault>> {
        if is_map(draft.schema.source()) {
            let values = Values::read(context.params, context.names)?;
            draft.timing = values.of(draft.schema.source()).map_err(|fault| vec![fault])?;
        }
        Ok(())
    }
}
