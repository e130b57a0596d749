//! What the operators of statistics have in common: gadget.yaml turns them on under `operator.NAME`, and says when they
//! are read.
//!
//! Custom parameters patch these keys, so that what a user gives arrives here as well: it is checked, and a fault names
//! the key.

use std::time::Duration;

use ig_config::metadata::Metadata;
use ig_datasource::{DataSource, Origin};

use crate::{
    operator::{Brought, Fault, Timing},
    schema::SourceSchema,
};

/// What gadget.yaml says of one operator.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    pub(super) operator: &'static str,
    pub(super) metadata: &'a Metadata,
}

impl<'a> Section<'a> {
    /// The full name of a key.
    pub(super) fn path(self, key: &str) -> String {
        format!("operator.{}.{key}", self.operator)
    }

    fn text(self, key: &str) -> Option<&'a str> {
        self.metadata.get(&self.path(key)).map(str::trim).filter(|text| !text.is_empty())
    }

    /// Brings `source`, if gadget.yaml asks for it.
    pub(super) fn bring(self, source: impl FnOnce() -> DataSource, interval: Duration) -> Brought {
        let mut brought = Brought::default();
        if !self.text("emitstats").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return brought;
        }
        let timing = self.timing(interval, &mut brought.faults);
        let mut source = source();
        let interval = ig_config::value::show_duration(timing.interval.unwrap_or(interval));
        source.annotations.insert("fetch-interval".to_owned(), interval);
        brought.sources.push(source);
        brought
    }

    /// When it is read: at `interval` unless gadget.yaml says otherwise.
    pub(super) fn timing(self, interval: Duration, faults: &mut Vec<Fault>) -> Timing {
        let mut read = |key: &str| self.text(key).and_then(|text| duration(&self.path(key), text, faults));
        let (stated, first) = (read("interval"), read("first-interval"));
        let count = self.text("count").map_or(0, |text| {
            text.parse().unwrap_or_else(|_unspecific| {
                faults.push(Fault::config(format!(
                    "{}: `{text}` is no whole number from 0 on",
                    self.path("count")
                )));
                0
            })
        });
        Timing { interval: Some(stated.unwrap_or(interval)), first, count: Some(count) }
    }
}

/// Whether a data source is one of `operator`.
pub(super) fn is_of(schema: &SourceSchema, operator: &str) -> bool {
    matches!(&schema.source().origin, Origin::Operator { operator: its } if its == operator)
}

/// A duration; zero is as good as none, as in the reference.
fn duration(path: &str, text: &str, faults: &mut Vec<Fault>) -> Option<Duration> {
    match ig_config::value::duration(text) {
        Ok(duration) => Some(duration).filter(|duration| !duration.is_zero()),
        Err(hint) => {
            let text = format!("{path}: `{text}` is no duration; expected one like 3s or 500ms: {hint}");
            faults.push(Fault::config(text));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Operators;

    fn found(text: &str) -> Vec<Brought> {
        let metadata = Metadata::parse(text).unwrap();
        let all =
            Operators::standard().iter().map(|operator| operator.sources(&metadata)).collect::<Vec<_>>();
        all.into_iter()
            .filter(|brought| {
                !brought.sources.is_empty() || !brought.faults.is_empty() || !brought.warnings.is_empty()
            })
            .collect()
    }

    /// Scenario: operators that are on, off, spelled in another case, and texts that are no durations or counts.
    /// Guarantees: each that is on has its source with the times asked for or the defaults; faults name the key.
    #[test]
    fn gadget_yaml_turns_statistics_on() {
        let all = found(
            "operator:\n  process: {emitStats: 'True', interval: 3s, first-interval: 250ms, count: 2}\n  \
             cgroup: {emitstats: true}\n  ebpf: {emitstats: true}\n",
        );
        assert!(
            all.iter().all(|brought| brought.faults.is_empty() && brought.warnings.is_empty()),
            "{all:?}"
        );
        let intervals: Vec<_> = all
            .iter()
            .flat_map(|brought| &brought.sources)
            .map(|source| (source.name.as_str(), source.annotations["fetch-interval"].as_str()))
            .collect();
        assert_eq!(intervals, [("processes", "3s"), ("cgroups", "5s"), ("bpfstats", "1s")]);

        let text = "operator:\n  process: {interval: 3s, first-interval: 250ms, count: 2}\n";
        let metadata = Metadata::parse(text).unwrap();
        let section = Section { operator: "process", metadata: &metadata };
        let timing = section.timing(Duration::from_secs(60), &mut Vec::new());
        let first = Some(Duration::from_millis(250));
        assert_eq!(timing, Timing { interval: Some(Duration::from_secs(3)), first, count: Some(2) });

        assert!(found("operator:\n  process: {emitstats: false, interval: never}\n").is_empty());

        let bad =
            found("operator:\n  process: {emitstats: true, interval: soon, count: -1, fields: [pid, com]}\n");
        let [Brought { warnings, faults, .. }] = bad.as_slice() else { panic!("{bad:?}") };
        assert!(faults[0].text.starts_with("operator.process.interval: `soon` is no duration"), "{faults:?}");
        assert_eq!(faults[1].text, "operator.process.count: `-1` is no whole number from 0 on");
        assert!(warnings[0].ends_with("no field `com`; did you mean `comm`?"), "{warnings:?}");
    }
}
