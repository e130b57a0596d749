//! When maps and iterators are read.
//!
//! # Source
//! The reference's rules: map iterators follow the parameters `map-fetch-interval` and `map-fetch-count`, iterators
//! the annotations `fetch-interval` and `fetch-count` of their data source. A collector never ends, so what would be
//! read once, or only at the end, is read at intervals there.

use std::time::Duration;

use ig_datasource::{DataSource, Origin};

use ig_operators::operator::Timing;

use super::Purpose;
use crate::reader::Schedule;

/// How often maps are read when nobody says.
const MAP_INTERVAL: Duration = Duration::from_secs(1);
/// How often an iterator that would run once is run when it feeds metrics.
const ITERATOR_INTERVAL: Duration = Duration::from_secs(15);

/// Plans it: `stated` is the configuration's interval for every data source of the gadget, `timing` what operators say of
/// this one.
pub(super) fn plan(
    source: &DataSource,
    stated: Option<Duration>,
    timing: Timing,
    purpose: Purpose,
) -> Schedule {
    let annotated = |key: &str| source.annotations.get(key).map(String::as_str);
    match (&source.origin, purpose) {
        (Origin::Operator { .. }, purpose) => {
            let interval = stated.or(timing.interval);
            let is_collected = purpose == Purpose::Collect;
            Schedule {
                interval: interval.unwrap_or(ITERATOR_INTERVAL),
                first: timing.first,
                count: timing.count.filter(|_count| !is_collected).unwrap_or(0),
                at_start: false,
                // What counters did since the last report would be lost.
                at_end: is_collected,
            }
        }
        (Origin::Iterator { .. }, Purpose::Watch) => {
            let interval = stated.or_else(|| annotated("fetch-interval").and_then(duration));
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
            let annotated_interval =
                || annotated("fetch-interval").and_then(duration).filter(|interval| !interval.is_zero());
            let interval = stated.or_else(annotated_interval).unwrap_or(ITERATOR_INTERVAL);
            Schedule { interval, first: None, count: 0, at_start: true, at_end: false }
        }
        (_, Purpose::Watch) => {
            let interval = stated.or(timing.interval).unwrap_or(MAP_INTERVAL);
            let count = timing.count.unwrap_or(0);
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
            let of_map = timing.interval.filter(|interval| !interval.is_zero());
            let interval = stated.or(of_map).unwrap_or(MAP_INTERVAL);
            // What a map holds at the end is an increment since the last fetch and would be lost.
            Schedule { interval, first: None, count: 0, at_start: true, at_end: true }
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    ig_config::value::duration(text).ok()
}
