//! Where each instrument's cells lie in a record; fixed when a table is made.

use super::bounds::Bounds;
use super::registry::RegisterError;
use super::spec::{InstrumentKind, NumberKind, TableSpec};

/// The longest key, in bytes; room for a few paths.
const MAX_KEY_BYTES: usize = 32 * 1024;
/// The most labels of a table.
const MAX_LABELS: usize = 64;
/// The most instruments of a table.
const MAX_INSTRUMENTS: usize = 256;

/// What one instrument keeps in a record.
#[derive(Clone, Debug)]
pub(crate) enum Cells {
    /// One cell: a sum.
    Counter,
    /// One cell: the last value.
    Gauge,
    /// The sum, which stands first to share a cache line with the key, then one cell a bucket, the last `+Inf`.
    Histogram(Bounds),
}

/// A value as it leaves the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Exposed {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

/// One instrument as the store sees it.
#[derive(Clone, Debug)]
pub(crate) struct Instrument {
    /// Words from the start of the record to its first cell.
    pub(crate) offset: usize,
    pub(crate) cells: Cells,
    pub(crate) number: NumberKind,
    pub(crate) scale: f64,
}

impl Instrument {
    /// How many cells it has.
    pub(crate) fn len(&self) -> usize {
        match &self.cells {
            Cells::Counter | Cells::Gauge => 1,
            Cells::Histogram(bounds) => bounds.len() + 2,
        }
    }

    /// A raw value in the exposed unit.
    ///
    /// Scales such as 1e-6 have no exact binary form but their inverse has: dividing by it gives the number nearest
    /// to the true quotient, so 21184 microseconds are 0.021184 seconds and not 0.021183999999999998.
    fn scaled(&self, raw: f64) -> f64 {
        let inverse = (1.0 / self.scale).round();
        // Exact inverses below 2^53 only.
        if (1.0..9e15).contains(&inverse) && (inverse * self.scale - 1.0).abs() < f64::EPSILON {
            raw / inverse
        } else {
            raw * self.scale
        }
    }

    /// What a value cell shows: scaled, and an integer where that is exact. A sum of a histogram may be negative,
    /// a counter not.
    #[inline]
    pub(crate) fn exposed(&self, cell: u64) -> Exposed {
        let scaled = self.scale.to_bits() != 1f64.to_bits();
        match (self.number, &self.cells) {
            (NumberKind::Float, _) if scaled => Exposed::Float(self.scaled(f64::from_bits(cell))),
            (NumberKind::Float, _) => Exposed::Float(f64::from_bits(cell)),
            (NumberKind::Int, Cells::Counter) if scaled => Exposed::Float(self.scaled(cell as f64)),
            (NumberKind::Int, Cells::Counter) => Exposed::Unsigned(cell),
            (NumberKind::Int, _) if scaled => Exposed::Float(self.scaled(cell.cast_signed() as f64)),
            (NumberKind::Int, _) => Exposed::Signed(cell.cast_signed()),
        }
    }

    pub(crate) fn is_gauge(&self) -> bool {
        matches!(self.cells, Cells::Gauge)
    }
}

/// The layout of a record: one stamp word, the key, the cells.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) key_len: usize,
    pub(crate) key_words: usize,
    /// Words of a record.
    pub(crate) stride: usize,
    pub(crate) instruments: Vec<Instrument>,
    /// Nothing but gauges: a row without a current gauge shows nothing.
    pub(crate) gauges_only: bool,
    pub(crate) has_gauges: bool,
}

impl Shape {
    /// Lays out a record for `spec`.
    pub(crate) fn new(spec: &TableSpec) -> Result<Self, RegisterError> {
        let gadget = || spec.gadget.clone();
        if spec.instruments.is_empty() {
            return Err(RegisterError::NoInstruments { gadget: gadget() });
        }
        check(&spec.gadget, "instruments", spec.instruments.len(), MAX_INSTRUMENTS)?;
        check(&spec.gadget, "labels", spec.labels.len(), MAX_LABELS)?;
        check(&spec.gadget, "key bytes", spec.key_len, MAX_KEY_BYTES)?;

        let key_words = spec.key_len.div_ceil(8);
        let mut offset = 1 + key_words;
        let mut instruments = Vec::with_capacity(spec.instruments.len());
        for wanted in &spec.instruments {
            let (cells, number, scale) = match &wanted.kind {
                InstrumentKind::Counter { value, scale } => (Cells::Counter, *value, *scale),
                InstrumentKind::Gauge { value, scale } => (Cells::Gauge, *value, *scale),
                InstrumentKind::Histogram { bounds, value, scale } => {
                    let bounds = Bounds::new(std::sync::Arc::clone(bounds)).map_err(|reason| {
                        RegisterError::Instrument { gadget: gadget(), metric: wanted.name.clone(), reason }
                    })?;
                    (Cells::Histogram(bounds), *value, *scale)
                }
            };
            if !scale.is_finite() || scale <= 0.0 {
                return Err(RegisterError::Instrument {
                    gadget: gadget(),
                    metric: wanted.name.clone(),
                    reason: "has a scale that is not a positive number",
                });
            }
            let instrument = Instrument { offset, cells, number, scale };
            offset += instrument.len();
            instruments.push(instrument);
        }
        Ok(Self {
            key_len: spec.key_len,
            key_words,
            stride: offset,
            gauges_only: instruments.iter().all(Instrument::is_gauge),
            has_gauges: instruments.iter().any(Instrument::is_gauge),
            instruments,
        })
    }
}

fn check(gadget: &str, what: &'static str, got: usize, most: usize) -> Result<(), RegisterError> {
    if got > most {
        return Err(RegisterError::TooMany { gadget: gadget.to_owned(), what, got, most });
    }
    Ok(())
}
