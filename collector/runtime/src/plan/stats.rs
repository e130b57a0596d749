//! Data sources that operators feed without eBPF, as gadget.yaml asks for them under `operator.NAME`.
//!
//! Custom parameters patch these keys, so that what a user gives arrives here as well: it is checked, and a fault names
//! the key.

use std::time::Duration;

use ig_config::metadata::Metadata;
use ig_datasource::DataSource;
use ig_operators::stats::{Machine, Statistics, bpfstats, cgroup, process};

use super::variables::OperatorParams;

/// When a source of statistics is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// Time between reports.
    pub(super) interval: Duration,
    /// Time until the first one, if it differs.
    pub(super) first: Option<Duration>,
    /// Reports after which there are no more; zero for no end.
    pub(super) count: u64,
}

/// A source of statistics, and how it is made.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) source: DataSource,
    pub(super) statistics: Statistics,
    pub(super) timing: Timing,
}

/// What gadget.yaml asks for.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) planned: Vec<Planned>,
    pub(super) warnings: Vec<String>,
    pub(super) faults: Vec<String>,
}

/// The statistics that `metadata` turns on.
pub(super) fn find(metadata: &Metadata) -> Found {
    let mut found = Found::default();
    for operator in [process::OPERATOR, cgroup::OPERATOR, bpfstats::OPERATOR] {
        let path = |key: &str| format!("operator.{operator}.{key}");
        if !metadata.get(&path("emitstats")).is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            continue;
        }
        let (statistics, default) = match operator {
            process::OPERATOR => {
                let (shown, unknown) = process::Shown::parse(&metadata.list(&path("fields")));
                found.warnings.extend(unknown);
                (Statistics::Process(shown), Duration::from_secs(60))
            }
            cgroup::OPERATOR => (Statistics::Cgroup, Duration::from_secs(5)),
            _ => (Statistics::Bpf(bpfstats::Scope::default()), Duration::from_secs(1)),
        };
        let mut read = |key: &str| {
            let text = metadata.get(&path(key)).map(str::trim).filter(|text| !text.is_empty());
            text.and_then(|text| duration(&path(key), text, &mut found.faults))
        };
        let (interval, first) = (read("interval"), read("first-interval"));
        let count = metadata.get(&path("count")).map(str::trim).filter(|text| !text.is_empty());
        let count = count.map_or(0, |text| {
            text.parse().unwrap_or_else(|_unspecific| {
                found.faults.push(format!("{}: `{text}` is no whole number from 0 on", path("count")));
                0
            })
        });
        let timing = Timing { interval: interval.unwrap_or(default), first, count };
        let mut source = statistics.source();
        source
            .annotations
            .insert("fetch-interval".to_owned(), ig_config::value::show_duration(timing.interval));
        found.warnings.extend(source.complete(metadata));
        found.planned.push(Planned { source, statistics, timing });
    }
    found
}

/// A duration; zero is as good as none, as in the reference.
fn duration(path: &str, text: &str, faults: &mut Vec<String>) -> Option<Duration> {
    match ig_config::value::duration(text) {
        Ok(duration) => Some(duration).filter(|duration| !duration.is_zero()),
        Err(hint) => {
            faults.push(format!("{path}: `{text}` is no duration; expected one like 3s or 500ms: {hint}"));
            None
        }
    }
}

impl Found {
    /// Adds the sources to those of the eBPF object.
    ///
    /// # Errors
    /// Both have one of the same name.
    pub(super) fn join(&self, sources: &mut Vec<DataSource>) -> Result<(), String> {
        for planned in &self.planned {
            let name = &planned.source.name;
            if sources.iter().any(|source| source.name == *name) {
                return Err(format!(
                    "data source `{name}` is declared twice: by the eBPF object and under `operator`"
                ));
            }
            sources.push(planned.source.clone());
        }
        Ok(())
    }

    /// The plan of the source of this name, if it is one of these.
    pub(super) fn of(&self, name: &str) -> Option<&Planned> {
        self.planned.iter().find(|planned| planned.source.name == name)
    }
}

impl Planned {
    /// Takes in what parameters say.
    pub(super) fn set(&mut self, params: &OperatorParams) {
        if let Statistics::Bpf(scope) = &mut self.statistics {
            if params.gadgets_only() {
                *scope = bpfstats::Scope::Gadgets;
            }
            if let Some(interval) = params.statistics_interval() {
                self.timing.interval = interval;
            }
        }
    }
}

/// What columns need to know of this machine.
pub(super) fn machine(host: &ig_model::Host) -> Machine {
    Machine { clock: host.clock, ticks_per_second: host.ticks_per_second, node: host.node.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        find(&Metadata::parse(text).unwrap())
    }

    /// Scenario: operators that are on, off, spelled in another case, and texts that are no durations or counts.
    /// Guarantees: each that is on has its source with the times asked for or the defaults; faults name the key.
    #[test]
    fn gadget_yaml_turns_statistics_on() {
        let all = found(
            "operator:\n  process: {emitStats: 'True', interval: 3s, first-interval: 250ms, count: 2}\n  \
             cgroup: {emitstats: true}\n  ebpf: {emitstats: true}\n",
        );
        assert!(all.faults.is_empty() && all.warnings.is_empty(), "{all:?}");
        let times: Vec<_> =
            all.planned.iter().map(|planned| (planned.source.name.as_str(), planned.timing)).collect();
        let plain = |seconds| Timing { interval: Duration::from_secs(seconds), first: None, count: 0 };
        let first = Timing { first: Some(Duration::from_millis(250)), count: 2, ..plain(3) };
        assert_eq!(times, [("processes", first), ("cgroups", plain(5)), ("bpfstats", plain(1))]);
        assert_eq!(all.planned[0].source.annotations["fetch-interval"], "3s");

        let none = found("operator:\n  process: {emitstats: false, interval: never}\n");
        assert!(none.planned.is_empty() && none.faults.is_empty());

        let bad =
            found("operator:\n  process: {emitstats: true, interval: soon, count: -1, fields: [pid, com]}\n");
        assert!(
            bad.faults[0].starts_with("operator.process.interval: `soon` is no duration"),
            "{:?}",
            bad.faults
        );
        assert_eq!(bad.faults[1], "operator.process.count: `-1` is no whole number from 0 on");
        assert!(bad.warnings[0].ends_with("no field `com`; did you mean `comm`?"), "{:?}", bad.warnings);
    }
}
