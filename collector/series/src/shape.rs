//! Where each instrument's cells lie in a record; fixed when a table is made.

use std::sync::Arc;

use ig_model::InstrumentKind;
use ig_model::instrument::scale_fault;

use crate::bounds::Bounds;
use crate::registry::RegisterError;
use crate::spec::{NumberKind, TableSpec};

/// The longest key, in bytes; room for a few paths.
const MAX_KEY_BYTES: usize = 32 * 1024;
/// The most labels of a table.
const MAX_LABELS: usize = 64;
/// The most instruments of a table.
const MAX_INSTRUMENTS: usize = 256;

/// A value as it leaves the process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Exposed {
    /// A sum of integers.
    Unsigned(u64),
    /// Any other integer.
    Signed(i64),
    /// Whatever is scaled or was kept as floating point.
    Float(f64),
}

/// Where the cells of one instrument lie in a record, and what they mean.
///
/// # Shape
/// A counter or gauge has one cell. A histogram has its sum, which stands first to share a cache line with the key,
/// then one cell a bucket, the last for `+Inf`.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// What it does with values.
    pub kind: InstrumentKind,
    /// How values, or the sum of a histogram, are kept.
    pub number: NumberKind,
    /// Factor from raw to exposed value.
    pub scale: f64,
    /// Of a gauge: values of several keys add up.
    pub(crate) adds_up: bool,
    /// Words from the start of the record to the first cell.
    pub(crate) offset: usize,
    pub(crate) bounds: Bounds,
}

impl Instrument {
    /// How many cells it has.
    #[inline]
    pub fn width(&self) -> usize {
        match self.kind {
            InstrumentKind::Counter | InstrumentKind::Gauge => 1,
            InstrumentKind::Histogram => self.bounds.len() + 2,
        }
    }

    /// Upper bounds of a histogram's buckets, in raw values; empty for other kinds.
    pub fn bounds(&self) -> &[f64] {
        self.bounds.raw()
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
    pub fn exposed(&self, cell: u64) -> Exposed {
        let scaled = self.scale.to_bits() != 1f64.to_bits();
        match (self.number, self.kind) {
            (NumberKind::Float, _) if scaled => Exposed::Float(self.scaled(f64::from_bits(cell))),
            (NumberKind::Float, _) => Exposed::Float(f64::from_bits(cell)),
            (NumberKind::Int, InstrumentKind::Counter) if scaled => Exposed::Float(self.scaled(cell as f64)),
            (NumberKind::Int, InstrumentKind::Counter) => Exposed::Unsigned(cell),
            (NumberKind::Int, _) if scaled => Exposed::Float(self.scaled(cell.cast_signed() as f64)),
            (NumberKind::Int, _) => Exposed::Signed(cell.cast_signed()),
        }
    }

    /// How a cell is kept: bucket counts are integers whatever the sum is.
    #[inline]
    pub fn number_of(&self, cell: usize) -> NumberKind {
        if cell == 0 { self.number } else { NumberKind::Int }
    }

    /// Whether its value can be out of date.
    #[inline]
    pub fn is_gauge(&self) -> bool {
        self.kind == InstrumentKind::Gauge
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
        if spec.instruments.is_empty() {
            return Err(RegisterError::NoInstruments { gadget: spec.gadget.clone() });
        }
        check(&spec.gadget, "instruments", spec.instruments.len(), MAX_INSTRUMENTS)?;
        check(&spec.gadget, "labels", spec.labels.len(), MAX_LABELS)?;
        check(&spec.gadget, "key bytes", spec.key_len, MAX_KEY_BYTES)?;

        let key_words = spec.key_len.div_ceil(8);
        let mut offset = 1 + key_words;
        let mut instruments = Vec::with_capacity(spec.instruments.len());
        for wanted in &spec.instruments {
            let refused = |reason| RegisterError::Instrument {
                gadget: spec.gadget.clone(),
                metric: wanted.name.clone(),
                reason,
            };
            let raw = match wanted.kind {
                InstrumentKind::Histogram => Arc::clone(&wanted.bounds),
                InstrumentKind::Counter | InstrumentKind::Gauge => Arc::default(),
            };
            if scale_fault(wanted.kind, wanted.scale).is_some() {
                return Err(refused("has a scale that it cannot have"));
            }
            let instrument = Instrument {
                kind: wanted.kind,
                number: wanted.number,
                scale: wanted.scale,
                adds_up: wanted.adds_up,
                offset,
                bounds: Bounds::new(raw).map_err(refused)?,
            };
            offset += instrument.width();
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
