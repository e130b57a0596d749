//! The one vocabulary of instruments: what configuration, annotations, the series store and the exporters mean by them.

/// What an instrument does with the values it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InstrumentKind {
    /// Adds them up; never goes down.
    Counter,
    /// Keeps the last one.
    Gauge,
    /// Counts them into buckets.
    Histogram,
}

impl InstrumentKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];

    /// The word for it in configuration, annotations and the text formats.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Bucket boundaries of a histogram that names none, as in the OpenTelemetry SDKs.
pub const DEFAULT_BOUNDS: [f64; 15] =
    [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0];

/// Scales beyond these make no number that anybody measures, and boundaries that no number holds.
const SCALES: std::ops::RangeInclusive<f64> = 1e-100..=1e100;

/// What is wrong with a factor from raw to exposed value, if anything. Configuration, annotations and the series store
/// ask here, so that what one accepts the others do not refuse.
pub fn scale_fault(kind: InstrumentKind, scale: f64) -> Option<&'static str> {
    if scale == 0.0 {
        Some("every value would be zero")
    } else if scale < 0.0 && kind != InstrumentKind::Gauge {
        Some("a counter or histogram cannot take negative values")
    } else if !SCALES.contains(&scale.abs()) {
        Some("no value is scaled by less than 1e-100 or more than 1e100")
    } else {
        None
    }
}

/// The boundaries of a histogram in raw values, before they are scaled; rounded to the 12 digits that survive the
/// division.
///
/// # Errors
/// What is wrong with them once they are, in words.
pub fn raw_bounds(bounds: &[f64], scale: f64) -> Result<Vec<f64>, &'static str> {
    let raw = |bound: f64| {
        if scale.to_bits() == 1.0_f64.to_bits() {
            return bound;
        }
        format!("{:.11e}", bound / scale).parse().unwrap_or(bound)
    };
    let raw: Vec<f64> = bounds.iter().map(|bound| raw(*bound)).collect();
    if raw.iter().any(|bound| !bound.is_finite()) {
        return Err("boundaries grow past what a number can hold once they are divided by the scale");
    }
    if !raw.is_sorted_by(|low, high| low < high) {
        return Err("boundaries are too near to each other to be told apart");
    }
    Ok(raw)
}

/// What a number of a sum or histogram counts from.
///
/// # Source
/// OpenTelemetry metrics data model, section "Temporality".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// From a start that stays.
    #[default]
    Cumulative,
    /// From the number before.
    Delta,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: gauges may be turned round, nothing else; no scale makes a value or boundary that is none.
    #[test]
    fn scales_have_one_rule() {
        use InstrumentKind::{Counter, Gauge, Histogram};
        for (kind, scale) in [(Counter, 1e-9), (Gauge, -1.0), (Histogram, 1e100)] {
            assert_eq!(scale_fault(kind, scale), None, "{kind:?} {scale}");
        }
        for (kind, scale) in [
            (Counter, -1.0),
            (Histogram, -1.0),
            (Gauge, 0.0),
            (Gauge, -0.0),
            (Gauge, f64::NAN),
            (Gauge, f64::NEG_INFINITY),
            (Gauge, 1e-320),
        ] {
            assert!(scale_fault(kind, scale).is_some(), "{kind:?} {scale}");
        }
        assert_eq!(raw_bounds(&[1e-6, 1e-3], 1e-9).unwrap(), [1e3, 1e6]);
        assert!(raw_bounds(&[1e300], 1e-9).unwrap_err().contains("past what a number can hold"));
        assert!(raw_bounds(&[1.0, 1.000_000_000_000_01], 1e-3).unwrap_err().contains("too near"));
    }
}
