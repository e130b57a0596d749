//! When maps and iterators are read.
//!
//! # Source
//! The reference's rules: map iterators follow the parameters `map-fetch-interval` and `map-fetch-count`, iterators
//! the annotations `fetch-interval` and `fetch-count` of their data source. A collector never ends, so what would be
//! read once, or only at the end, is read at intervals there.

use std::time::Duration;

use ig_datasource::{DataSource, Origin};

use super::{Purpose, stats::Timing};
use crate::reader::Schedule;

/// How often maps are read when nobody says.
const MAP_INTERVAL: Duration = Duration::from_secs(1);
/// How often an iterator that would run once is run when it feeds metrics.
const ITERATOR_INTERVAL: Duration = Duration::from_secs(15);

/// What the user and the parameters of the gadget say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes {
    /// The configuration's `interval`, for every data source of the gadget.
    pub(super) interval: Option<Duration>,
    /// `map-fetch-interval` for this data source.
    pub(super) map_interval: Option<Duration>,
    /// `map-fetch-count` for this data source.
    pub(super) map_count: Option<u64>,
    /// What an operator is told that feeds this data source.
    pub(super) statistics: Option<Timing>,
}

pub(super) fn plan(source: &DataSource, wishes: Wishes, purpose: Purpose) -> Schedule {
    let annotated = |key: &str| source.annotations.get(key).map(String::as_str);
    match (&source.origin, purpose) {
        (Origin::Operator { .. }, purpose) => {
            let timing = wishes.statistics;
            let interval = wishes.interval.or(timing.map(|timing| timing.interval));
            let is_collected = purpose == Purpose::Collect;
            Schedule {
                interval: interval.unwrap_or(ITERATOR_INTERVAL),
                first: timing.and_then(|timing| timing.first),
                count: timing.filter(|_timing| !is_collected).map_or(0, |timing| timing.count),
                at_start: false,
                // What counters did since the last report would be lost.
                at_end: is_collected,
            }
        }
        (Origin::Iterator { .. }, Purpose::Watch) => {
            let interval = wishes.interval.or_else(|| annotated("fetch-interval").and_then(duration));
            let interval = interval.unwrap_or(Duration::ZERO);
            let count = annotated("fetch-count").and_then(|text| text.parse().ok()).unwrap_or(1);
            Schedule {
                interval,
                first: None,
                count,
                at_start: interval.is_zero() && count == 1,
                at_end: source.is_annotated("ebpf.iter.fetch-on-stop"),
            }
        }
        (Origin::Iterator { .. }, Purpose::Collect) => {
            let stated =
                || annotated("fetch-interval").and_then(duration).filter(|interval| !interval.is_zero());
            let interval = wishes.interval.or_else(stated).unwrap_or(ITERATOR_INTERVAL);
            Schedule { interval, first: None, count: 0, at_start: true, at_end: false }
        }
        (_, Purpose::Watch) => {
            let interval = wishes.interval.or(wishes.map_interval).unwrap_or(MAP_INTERVAL);
            let count = wishes.map_count.unwrap_or(0);
            Schedule {
                interval,
                first: None,
                count,
                at_start: interval.is_zero() && count == 1,
                at_end: source.is_annotated("ebpf.map.flush-on-stop"),
            }
        }
        (_, Purpose::Collect) => {
            // Zero asks for a read at the end only; a collector that never ends would never read.
            let stated = wishes.map_interval.filter(|interval| !interval.is_zero());
            let interval = wishes.interval.or(stated).unwrap_or(MAP_INTERVAL);
            // What a map holds at the end is an increment since the last fetch and would be lost.
            Schedule { interval, first: None, count: 0, at_start: true, at_end: true }
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    ig_config::value::duration(text).ok()
}
