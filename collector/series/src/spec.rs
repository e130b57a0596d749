//! What a caller says about a table before the first event: labels, instruments, limits and who may see it.

use std::sync::Arc;
use std::time::Duration;

use ig_model::InstrumentKind;

use crate::registry::RegisterError;
use crate::shape::Shape;

/// Describes one table: the series of one data source of one gadget.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The gadget instance that owns the table; conflicts are reported by this name.
    pub gadget: String,
    /// The OpenTelemetry scope name, `otel_scope_name` in the exposition.
    pub scope: String,
    /// The labels, in the order in which [`Labeler::render`] is asked for them.
    pub labels: Vec<LabelSpec>,
    /// Bytes of a key.
    pub key_len: usize,
    /// The instruments, addressed by their position.
    pub instruments: Vec<InstrumentSpec>,
    /// How many rows the table may hold before new ones go to the overflow row.
    pub limit: usize,
    /// How long a row must be idle before it ends: gauges then, counters and histograms after their last export. For ever
    /// if there is none.
    pub stale_after: Option<Duration>,
    /// The exporters that show this table.
    pub exporters: ExporterFilter,
    /// Whether the source is an array read as a whole: gauges absent from the last reading disappear.
    pub snapshot: bool,
}

impl TableSpec {
    /// A table with labels of text, in a scope named like its gadget, without bounds and for every exporter.
    pub fn new(gadget: &str, labels: &[&str], key_len: usize, instruments: Vec<InstrumentSpec>) -> Self {
        let label = |name: &&str| LabelSpec { name: (*name).to_owned(), kind: LabelKind::Str };
        Self {
            gadget: gadget.to_owned(),
            scope: gadget.to_owned(),
            labels: labels.iter().map(label).collect(),
            key_len,
            instruments,
            limit: usize::MAX,
            stale_after: None,
            exporters: ExporterFilter::All,
            snapshot: false,
        }
    }

    /// Whether a registry can make the table.
    ///
    /// # Errors
    /// What [`Registry::register`](crate::Registry::register) would say.
    pub fn check(&self) -> Result<(), RegisterError> {
        Shape::new(self).map(drop)
    }
}

/// One label of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpec {
    /// The name as the gadget writes it, for instance `proc.comm`.
    pub name: String,
    /// The type its text stands for, which OTLP keeps.
    pub kind: LabelKind,
}

/// The type that the text of a label stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// Text.
    Str,
    /// A decimal integer.
    Int,
    /// `true` or `false`.
    Bool,
    /// A decimal number.
    Float,
}

/// One instrument of a table.
///
/// A value leaves the process multiplied by `scale`; with a scale of one, integers leave as integers.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentSpec {
    /// The name as the gadget writes it; exporters adapt it to their format.
    pub name: String,
    /// One sentence for `# HELP` and OTLP's description; may be empty.
    pub description: String,
    /// A UCUM unit such as `By` or `s`; may be empty.
    pub unit: String,
    /// What it does with values.
    pub kind: InstrumentKind,
    /// How values, or the sum of a histogram, are kept.
    pub number: NumberKind,
    /// Factor from raw to exposed value; only a gauge's may be negative.
    pub scale: f64,
    /// Of a gauge: values of several keys make one by addition, as numbers of records do. The overflow series shows
    /// no other gauge.
    pub adds_up: bool,
    /// Upper bounds of a histogram's buckets, in raw values (before `scale`), strictly growing and finite; other
    /// kinds have none.
    pub bounds: Arc<[f64]>,
}

impl InstrumentSpec {
    /// An instrument of integers without description, unit, scale or bounds.
    pub fn new(name: &str, kind: InstrumentKind) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            unit: String::new(),
            kind,
            number: NumberKind::Int,
            scale: 1.0,
            adds_up: false,
            bounds: Arc::default(),
        }
    }

    /// Whether both measure the same thing, so that their values may be continued; descriptions may differ.
    pub(crate) fn same_identity(&self, other: &Self) -> bool {
        let Self { name, description: _, unit, kind, number, scale, adds_up, bounds } = self;
        (name, unit, kind, number, adds_up)
            == (&other.name, &other.unit, &other.kind, &other.number, &other.adds_up)
            && scale.total_cmp(&other.scale).is_eq()
            && *bounds == other.bounds
    }
}

/// How a number is accumulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// In 64-bit integers, exactly.
    Int,
    /// In 64-bit floating point.
    Float,
}

impl NumberKind {
    /// Two cells together; integers wrap.
    pub fn sum(self, a: u64, b: u64) -> u64 {
        match self {
            Self::Int => a.wrapping_add(b),
            Self::Float => (f64::from_bits(a) + f64::from_bits(b)).to_bits(),
        }
    }

    /// What a cell has gained since it was `old`; integers wrap.
    pub fn gain(self, new: u64, old: u64) -> u64 {
        match self {
            Self::Int => new.wrapping_sub(old),
            Self::Float => (f64::from_bits(new) - f64::from_bits(old)).to_bits(),
        }
    }
}

/// Which exporters show a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExporterFilter {
    /// Every exporter.
    #[default]
    All,
    /// The exporters of these names; `prometheus` is the scrape endpoint.
    Names(Vec<String>),
}

impl ExporterFilter {
    /// Whether the exporter of this name shows the table.
    pub fn allows(&self, exporter: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.iter().any(|name| name == exporter),
        }
    }
}

/// Turns the bytes of a key into label text; called once per label of each new key, under the table's lock.
pub trait Labeler: Send + Sync {
    /// Appends the text of label `index` of `key` to `out`, unescaped.
    ///
    /// Text beyond 4096 bytes is cut at a character boundary.
    fn render(&self, key: &[u8], index: usize, out: &mut String);

    /// Tells apart labelers that would read the same key differently.
    ///
    /// Two registrations share a table only if their fingerprints are equal.
    fn fingerprint(&self) -> u64 {
        0
    }
}

/// An instrument that is not exposed, and why; the other instruments of its table work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The exposed metric name.
    pub metric: String,
    /// What stands against it, naming the gadget in the way.
    pub reason: String,
}
