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
