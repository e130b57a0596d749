//! The bars of one distribution.

use std::fmt::Write as _;

use crate::text::number;

/// Characters of the longest bar.
const BAR: u128 = 40;

/// How many values fell between two boundaries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) start: f64,
    /// `None` if there is no boundary above.
    pub(super) end: Option<f64>,
    pub(super) count: u64,
}

/// Appends the head line and a row per bucket; with `short`, the empty ones at the end are left out.
pub(super) fn chart(unit: &str, buckets: &[Bucket], short: bool, out: &mut String) {
    let most = buckets.iter().map(|bucket| bucket.count).max().unwrap_or(0);
    let used = buckets.iter().rposition(|bucket| bucket.count > 0).map_or(0, |last| last + 1);
    let shown = if short { used } else { buckets.len() };
    // Writing to a string cannot fail.
    writeln!(out, "        {unit:<16} : count    distribution").unwrap_or_default();
    let (mut start, mut end) = (String::new(), String::new());
    for bucket in buckets.iter().take(shown) {
        start.clear();
        end.clear();
        number::es6(bucket.start, &mut start);
        match bucket.end {
            Some(bound) => {
                number::es6(bound, &mut end);
            }
            None => end.push_str("+Inf"),
        }
        let stars = if most == 0 { 0 } else { u128::from(bucket.count) * BAR / u128::from(most) };
        let bar = "*".repeat(usize::try_from(stars).unwrap_or(0));
        writeln!(out, "{start:>10} -> {end:<10} : {:<8} |{bar:<40}|", bucket.count).unwrap_or_default();
    }
}

/// The unit of the boundaries as they are drawn: that of the field, which times `scale` is the one exported.
pub(super) fn unit(exported: &str, scale: f64) -> String {
    let is = |factor: f64| (scale / factor - 1.0).abs() < 1e-9;
    let known =
        [("s", 1e-3, "ms"), ("s", 1e-6, "µs"), ("s", 1e-9, "ns"), ("ms", 1e-3, "µs"), ("ms", 1e-6, "ns")];
    if is(1.0) {
        return exported.to_owned();
    }
    match known.iter().find(|(unit, factor, _)| *unit == exported && is(*factor)) {
        Some((_, _, unit)) => (*unit).to_owned(),
        None => format!("{scale:e} {exported}"),
    }
}
